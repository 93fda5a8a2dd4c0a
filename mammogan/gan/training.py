"""The training loop: WGAN-GP on a growing pyramid, resumable bit for bit, every batch a function of images seen."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mammogan import atomic
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import augment, checkpoints, distributed
from mammogan.gan.config import CHANGEABLE, CONDITIONS, Config
from mammogan.gan.dataset import RealImages, blend, population, to_gray
from mammogan.gan.device import allow_tf32
from mammogan.gan.losses import discriminator_loss, generator_loss
from mammogan.gan.networks import GROUP, Architecture, Discriminator, Generator
from mammogan.gan.schedule import Phase
from mammogan.types import Progress, no_progress

MAX_BASE = 16  # pixels of a side at which growing may begin
MAX_SKIPPED = 100  # updates with non-finite gradients that a run tolerates
LogLine = dict[str, float | str]


def random_at(seed: int, *position: int) -> torch.Generator:
    """Return random numbers for one purpose at one moment, the same wherever the run was interrupted."""
    words = np.random.SeedSequence([seed, *position]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


class Piece(NamedTuple):
    """The n images of a minibatch that are computed at once, on the device.

    Attributes:
        share: share of the minibatch.
        real, labels: real images (n, 1, h, w), and labels (n, k) of these and of the images that G draws for D.
        z_d, mix: latent vectors of D's update (n, latent), and weights of its penalty's mixtures (n,).
        z_g, labels_g: latent vectors and labels of G's update.
        changes: augmentation of real and drawn images in D's update and of drawn ones in G's, (n, 3, 8); (n, 0) if off.
    """

    share: float
    real: Tensor
    labels: Tensor
    z_d: Tensor
    mix: Tensor
    z_g: Tensor
    labels_g: Tensor
    changes: Tensor


class Run:
    """State of a training run; `Run.open` starts or continues one.

    Its folder has config.json, stats.jsonl, timing.jsonl, checkpoints/, generators/ and samples/. Settings have values
    for each level (`Config.at_levels`); the networks are on the device that trains.
    """

    def __init__(
        self, store: Store, folder: Path, config: Config, generator: Generator, discriminator: Discriminator
    ) -> None:
        self.store, self.folder, self.config, self.schedule = store, folder, config, config.schedule
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.architecture, self.device = generator.architecture, generator.dense.weight.device
        self.images = self.skipped = self.optimizer_epoch = 0
        self.augment_p = self.overfit = 0.0
        self._new_optimizers()
        self._datasets: dict[str, tuple[int, RealImages]] = {}

    @classmethod
    def open(cls, store: Store, folder: str | Path, config: Config, device: str = "cpu") -> Run:
        """Start a run in a folder, or continue the one that is there, whose settings must be the same.

        Joins the processes of torchrun, seeds PyTorch's random numbers, writes config.json, reads the newest checkpoint
        and cuts off later lines of the logs.

        Raises:
            RunError: the store does not fit, or the folder holds a run with other settings.
            ParameterError: the minibatches are not divisible as `micro` and the number of processes need.
            OutputError: the folder cannot be written.
        """
        config, device = _fitted(config, store), distributed.join(device)
        for batch in config.batches:
            distributed.own_pieces(batch, config.micro)
        shared = {name: getattr(config, name) for name in ("levels", "latent", "fmap_base", "fmap_max", "fused")}
        labels = sum(len(CONDITIONS[name]) for name in config.conditions)
        architecture = Architecture(base=store.sizes[0], labels=labels, **shared)
        torch.manual_seed(config.seed)
        generator, discriminator = Generator(architecture).to(device), Discriminator(architecture).to(device)
        if config.channels_last:
            for network in (generator, discriminator):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = cls(store, Path(folder), config, generator, discriminator)
        if not distributed.rank():
            run._claim_folder()
        distributed.barrier()
        run._restore()
        return run

    def _claim_folder(self) -> None:
        for name in ("checkpoints", "samples"):
            atomic.make_folder(self.folder / name)
        record, fingerprint = self.folder / "config.json", self.store.fingerprint
        identity = {"config": self.config.to_dict(), "store": fingerprint, "bits": self.store.bits}
        before = json.loads(record.read_text()) if record.is_file() else None
        if before:
            # A setting that did not exist when the run began has its default.
            began = Config().changed(before["config"])
            old, new = began.at_levels(began.levels).to_dict(), self.config.to_dict()
            other = [name for name, value in new.items() if old[name] != value and name not in CHANGEABLE]
            if other or before["store"] != fingerprint:
                what = f"other settings ({', '.join(other)})" if other else "another store"
                raise RunError(f"{self.folder} holds a run with {what}; give another --out or delete it.")
        if before != identity:
            atomic.write_json(record, identity)

    def _restore(self) -> None:
        if checkpoint := checkpoints.latest(self.folder):
            state = checkpoint.state
            self.images, self.skipped = state["images"], state["skipped"]
            self.optimizer_epoch = state["optimizer_epoch"]
            self.augment_p, self.overfit = state.get("augment_p", 0.0), state.get("overfit", 0.0)
            checkpoints.restore(checkpoint, *self._parts)
        # Lines after the checkpoint will be written again.
        for log in (self.folder / name for name in checkpoints.LOGS):
            if log.is_file() and not distributed.rank():
                atomic.write_text(log, checkpoints.lines_until(log, self.images))

    @property
    def _parts(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Adam]]:
        networks = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        return networks, {"adam_g": self.adam_g, "adam_d": self.adam_d}

    def _new_optimizers(self) -> None:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.learning_rate[0], betas=(c.adam_beta1, c.adam_beta2), eps=c.adam_eps)
        self.adam_g, self.adam_d = adam(self.generator.parameters()), adam(self.discriminator.parameters())

    def _dataset(self, level: int, split: str) -> RealImages:
        """Return the real images of a level and split; those of the last level are kept."""
        c = self.config
        if split not in self._datasets or self._datasets[split][0] != level:
            self._datasets[split] = level, RealImages(self.store, self.store.sizes[level], split, c.seed, c.conditions)
        return self._datasets[split][1]

    def train(self, progress: Progress = no_progress, log: Callable[[LogLine], None] = lambda line: None) -> None:
        """Train to the end of the schedule; `log` is called with every line of the log, the speed added.

        Raises:
            RunError: too little memory, or too many gradients that are not finite.
            OutputError: a file cannot be written.
        """
        total = self.config.total_images
        started = last = time.perf_counter()
        if not self.images:
            self.save()
            self._save_sheet(self.schedule.at(0))
        while self.images < total:
            before, phase = self.images, self.schedule.at(self.images)
            numbers = self._steps(phase)
            if self.config.augment:
                numbers |= self._steer_augmentation(phase, numbers, self.images - before)
            size = "{}x{}".format(*self.store.sizes[phase.level])
            line: LogLine = {"images": self.images, "level": phase.level, "size": size, "alpha": phase.alpha}
            line |= {"batch": phase.batch, **numbers, "skipped": self.skipped}
            now = time.perf_counter()
            rate = (self.images - before) / (now - last)
            speed: LogLine = {"images": self.images, "seconds": now - started, "images_per_second": rate}
            last = now
            for name, content in zip(checkpoints.LOGS, (line, speed), strict=True):
                self._append(name, content)
            self._save_due(phase, before)
            log({**line, **speed})
            hours = (total - self.images) / rate / 3600
            note = f"{size} alpha {phase.alpha:.2f} {rate:.3g} images/s, {hours:.2g} h left at this speed"
            progress("images", self.images, total, note)

    def _steps(self, phase: Phase) -> dict[str, float]:
        """Train on the minibatches between two updates of the schedule; return the means of the numbers."""
        if phase.optimizer_epoch != self.optimizer_epoch:
            self._new_optimizers()
            self.optimizer_epoch = phase.optimizer_epoch
        means: dict[str, float] = {}
        try:
            for _ in range(self.config.repeats):
                for name, value in self.step(phase).items():
                    means[name] = means.get(name, 0) + value / self.config.repeats
        except torch.OutOfMemoryError:
            count = max(map(len, distributed.own_pieces(phase.batch, self.config.micro)))
            way = f"with --set micro={GROUP}" if count > GROUP else "on a device that has more"
            what = f"{self.device} has too little memory for {count} images at a time"
            raise RunError(f"{what}; continue {way}.") from None
        return means

    def step(self, phase: Phase) -> dict[str, float]:
        """Update D once and G once on one minibatch; return the numbers of the log."""
        allow_tf32("tf32" in self.config.precision)
        for adam in (self.adam_d, self.adam_g):
            adam.param_groups[0]["lr"] = self.config.learning_rate[phase.level]

        # Draw the minibatch.
        pieces = self._draw(phase)

        # Train D.
        self._train_only(self.discriminator, self.adam_d)
        numbers = self._accumulate(pieces, partial(self._loss_d, phase))
        self._update(self.adam_d)

        # Update the average, which follows G as of before this minibatch's update, as in train.py:175.
        with torch.no_grad():
            for average, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                average.lerp_(current, 1 - self.config.ema)
        self.images += phase.batch

        # Train G.
        self._train_only(self.generator, self.adam_g)
        numbers |= self._accumulate(pieces, partial(self._loss_g, phase))
        self._update(self.adam_g)

        distributed.all_sum(list(numbers.values()))
        return {name: float(value) for name, value in numbers.items()}

    def _draw(self, phase: Phase) -> list[Piece]:
        """Read the real images of this process; every process draws the random numbers of the whole minibatch."""
        c, n, dataset = self.config, phase.batch, self._dataset(phase.level, self.config.split)
        random = random_at(c.seed, self.images)
        z_d = torch.randn(n, c.latent, generator=random)
        mix = torch.rand(n, generator=random)
        z_g = torch.randn(n, c.latent, generator=random)
        labels_g = dataset.draw_labels(n, random)
        changes = [augment.draw(n, self.augment_p, random) for _ in range(3)] if c.augment else [torch.empty(n, 0)]
        pieces = distributed.own_pieces(n, c.micro)
        own, sizes = torch.cat(pieces), [len(piece) for piece in pieces]
        drawn = [tensor[own] for tensor in (z_d, mix, z_g, labels_g, torch.stack(changes, 1))]
        columns = (*dataset.next_batch(self.images, n, own), *drawn)
        rows = zip(*(tensor.to(self.device).split(sizes) for tensor in columns), strict=True)
        return [Piece(len(row[0]) / n, *row) for row in rows]

    def _train_only(self, network: nn.Module, adam: torch.optim.Adam) -> None:
        """Freeze the other network, and clear the gradients of this one."""
        for other in (self.generator, self.discriminator):
            other.requires_grad_(other is network)
        adam.zero_grad(set_to_none=True)

    def _loss_d(self, phase: Phase, piece: Piece) -> dict[str, Tensor]:
        # Generated images have the labels of the real images of their position.
        fake = self.generator(piece.z_d, phase.level, phase.alpha, piece.labels)
        real = blend(piece.real, phase.alpha)
        if self.config.augment:
            real = augment.apply(real, piece.changes[:, 0])
            fake = augment.apply(fake.float(), piece.changes[:, 1])

        def critic(images: Tensor, labels: Tensor) -> Tensor:
            return self._score(images, phase, labels)

        loss, parts = discriminator_loss(critic, real, fake, piece.labels, piece.mix, self.config.loss)
        return {"loss_d": loss, **parts}

    def _loss_g(self, phase: Phase, piece: Piece) -> dict[str, Tensor]:
        fake = self.generator(piece.z_g, phase.level, phase.alpha, piece.labels_g)
        if self.config.augment:
            fake = augment.apply(fake.float(), piece.changes[:, 2])
        scores = self._score(fake, phase, piece.labels_g)
        return {"loss_g": generator_loss(scores.float(), self.config.loss)}

    def _score(self, images: Tensor, phase: Phase, labels: Tensor) -> Tensor:
        return self.discriminator(images, phase.level, phase.alpha, labels, distributed.with_stddev)

    def _accumulate(self, pieces: list[Piece], losses: Callable[[Piece], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Sum the gradients of the first of the losses over the pieces, and return the sums of all of them."""
        sums: dict[str, Tensor] = {}
        for piece in pieces:
            with self._autocast():
                values = losses(piece)
            (next(iter(values.values())) * piece.share).backward()
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.detach().float() * piece.share
        return sums

    def _update(self, optimizer: torch.optim.Adam) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        distributed.all_sum(gradients)
        # One non-finite gradient would poison Adam's averages permanently: skip the update and count it (tfutil.py).
        if bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all()):
            optimizer.step()
            return
        self.skipped += 1
        if self.skipped > MAX_SKIPPED:
            what = f"{self.skipped} updates had non-finite gradients"
            raise RunError(f"{what}; lower learning_rate or levels, then continue.")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled="bfloat16" in self.config.precision)

    @torch.no_grad()
    def _steer_augmentation(self, phase: Phase, numbers: dict[str, float], images: int) -> dict[str, float]:
        """Compare D's scores of training images with those of held-out ones, and adapt the probability."""
        c, n = self.config, phase.batch
        held_out = self._dataset(phase.level, "validation")
        changes = augment.draw(n, self.augment_p, random_at(c.seed, self.images, 1))
        total = torch.zeros((), device=self.device)
        for own in distributed.own_pieces(n, c.micro):
            real, labels = (tensor.to(self.device) for tensor in held_out.batch(self.images, n, own))
            real = augment.apply(blend(real, phase.alpha), changes[own])
            with self._autocast():
                scores = self._score(real, phase, labels)
            total += scores.float().sum() / n
        distributed.all_sum([total])
        now = augment.overfitting(numbers["real_score"], float(total), numbers["fake_score"])
        # A minibatch says little: a running mean over some twenty measurements.
        self.overfit += 0.05 * (min(max(now, -1.0), 2.0) - self.overfit)
        self.augment_p = augment.adapt(self.augment_p, self.overfit, c.augment, images, c.augment_images)
        return {"augment_p": self.augment_p, "overfit": self.overfit}

    def _append(self, log: str, line: LogLine) -> None:
        path = self.folder / log
        if not distributed.rank():
            with atomic.writing(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _save_due(self, phase: Phase, before: int) -> None:
        """Save what is due since `before` images: a sheet of samples, a checkpoint, a generator that is kept."""
        c, now = self.config, self.images
        ended = self.schedule.at(now).optimizer_epoch != phase.optimizer_epoch or now >= c.total_images
        # Generators are kept at the end of each phase, and as often in the last one.
        lengths = (c.sample_images, c.stable_images, c.checkpoint_images)
        sheet, keep, save = (ended or (bool(every) and before // every != now // every) for every in lengths)
        if sheet:
            self._save_sheet(phase)
        if keep or save:
            self.save(phase if keep else None)

    def save(self, phase: Phase | None = None) -> None:
        """Write a checkpoint with all that the run depends on; the generator of `phase` is also kept permanently."""
        if not distributed.rank():
            state: checkpoints.State = {
                "images": self.images,
                "skipped": self.skipped,
                "optimizer_epoch": self.optimizer_epoch,
                "augment_p": self.augment_p,
                "overfit": self.overfit,
                "architecture": asdict(self.architecture),
                "config": self.config.to_dict(),
                "bits": self.store.bits,
                "population": population(self.store, self.config.split),
            }
            if phase:
                level, alpha = self._end_of(phase)
                checkpoints.keep_generator(self.folder, self.average, {**state, "level": level, "alpha": alpha})
            checkpoints.save_run(self.folder, checkpoints.flatten(*self._parts), state)
        distributed.barrier()

    def _end_of(self, phase: Phase) -> tuple[int, float]:
        """Return level and alpha of the generator at the end of the phase, also when the next level begins now."""
        now = self.schedule.at(self.images)
        return phase.level, now.alpha if now.level == phase.level else 1.0

    @torch.no_grad()
    def _save_sheet(self, phase: Phase) -> None:
        """Draw from the averaged generator and fixed latents: samples/IMAGES.npy, (16, h, w) uint16."""
        if distributed.rank():
            return
        (level, alpha), random = self._end_of(phase), random_at(self.config.seed, 2**40)
        z = torch.randn(16, self.config.latent, generator=random).to(self.device)
        labels = self._dataset(level, self.config.split).draw_labels(16, random).to(self.device)
        images = self.average(z, level, alpha, labels)[:, 0].cpu().numpy()
        with atomic.replacing(self.folder / "samples" / f"{self.images:012d}.npy") as aside, aside.open("wb") as file:
            np.save(file, to_gray(images, self.store.bits))


def _fitted(config: Config, store: Store) -> Config:
    """Return the settings for the levels of a store; RunError if it has too few, or does not grow from a small base."""
    levels, base, top = len(store.sizes), store.sizes[0], store.sizes[-1]
    if max(base) > MAX_BASE:
        raise RunError(
            f"The sizes of {store.path} halve only down to {base[0]} x {base[1]}; ingest at a size that is a few "
            "pixels doubled again and again, as 1280 x 1024."
        )
    if config.levels > levels:
        raise RunError(
            f"The store {store.path} has {levels} levels up to {top[0]} x {top[1]}; set levels={levels}, or ingest at "
            "a larger size."
        )
    return config.at_levels(config.levels or levels)
