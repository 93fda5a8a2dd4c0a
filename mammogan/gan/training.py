"""The training loop: WGAN-GP on a growing pyramid, resumable bit for bit, every batch a function of images seen."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mammogan.atomic import write_json
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import augment, checkpoints, distributed
from mammogan.gan.config import CHANGEABLE, CONDITIONS, Config, by_level
from mammogan.gan.dataset import RealImages, blend, population, to_gray
from mammogan.gan.device import allow_tf32
from mammogan.gan.losses import discriminator_loss, generator_loss
from mammogan.gan.networks import GROUP, Architecture, Discriminator, Generator
from mammogan.gan.schedule import Phase, Schedule
from mammogan.types import Progress, no_progress

MOST_BASE = 16  # pixels of a side at which growing may begin


def generator_at(seed: int, *position: int) -> torch.Generator:
    """Random numbers for one purpose at one moment, the same wherever the run was interrupted."""
    words = np.random.SeedSequence([seed, *position]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


class Run:
    """One training run in a folder: config.json, stats.jsonl, timing.jsonl, checkpoints/, samples/.

    Args:
        store: real images.
        folder: of the run; one that exists is continued.
        config: hyper-parameters; must be those of the run where it exists.
        device: "cpu", "cuda", ...

    Raises:
        RunError: the store does not fit, or the folder holds a run with other settings.
    """

    def __init__(self, store: Store, folder: str | Path, config: Config, device: str = "cpu") -> None:
        if max(store.sizes[0]) > MOST_BASE:
            raise RunError(
                f"The sizes of {store.path} halve only down to {store.sizes[0][0]} x {store.sizes[0][1]}; ingest at a "
                "size that is a few pixels doubled again and again, as 1280 x 1024."
            )
        levels = config.levels or len(store.sizes)
        if levels > len(store.sizes):
            raise RunError(
                f"The store {store.path} has {len(store.sizes)} levels up to {store.sizes[-1][0]} x "
                f"{store.sizes[-1][1]}; train {len(store.sizes)} or ingest at a larger size."
            )
        batches, rates = by_level(config.batches, levels), by_level(config.learning_rate, levels)
        self.config = config = replace(config, levels=levels, batches=batches, learning_rate=rates)
        self.store, self.folder, self.device = store, Path(folder), torch.device(distributed.start(device))
        self.schedule = Schedule(levels, config.stable_images, config.fade_images, config.total_images, batches)
        self.architecture = Architecture(
            base=store.sizes[0],
            levels=levels,
            latent=config.latent,
            labels=sum(len(CONDITIONS[name]) for name in config.conditions),
            fmap_base=config.fmap_base,
            fmap_max=config.fmap_max,
            fused=config.fused,
        )
        for batch in batches:
            distributed.shares(batch, config.micro)
        torch.manual_seed(config.seed)
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.generator = Generator(self.architecture).to(self.device)
        self.discriminator = Discriminator(self.architecture).to(self.device)
        for network in (self.generator, self.discriminator):
            network.to(memory_format=layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.images = 0
        self.skipped = 0
        self.optimizer_epoch = 0
        self.augment_p = self.overfit = 0.0
        self._new_optimizers()
        self._reals: dict[str, tuple[int, RealImages]] = {}
        self._open_folder()

    # The record that decides whether a folder can be continued.
    def _identity(self) -> dict[str, Any]:
        config = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.config).items()}
        return {"config": config, "store": self.store.fingerprint, "bits": self.store.bits}

    def _open_folder(self) -> None:
        if distributed.rank():
            distributed.wait()  # the first process makes the folder and clears the logs
            self._restore()
            return
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (self.folder / "samples").mkdir(exist_ok=True)
        record = self.folder / "config.json"
        identity = self._identity()
        before = json.loads(record.read_text()) if record.is_file() else None
        if before:
            # A setting that did not exist when the run began has its default.
            began = Config().changed(before["config"])
            began = replace(began, learning_rate=by_level(began.learning_rate, began.levels))
            other = [k for k, v in asdict(self.config).items() if getattr(began, k) != v and k not in CHANGEABLE]
            if other or before["store"] != identity["store"]:
                what = f"other settings ({', '.join(other)})" if other else "another store"
                raise RunError(f"{self.folder} holds a run with {what}; give another --run or delete it.")
        if before != identity:
            with _writing(record):
                write_json(record, identity)
        self._restore()
        # Lines behind the checkpoint are written again.
        for name in checkpoints.LOGS:
            log = self.folder / name
            if log.is_file():
                aside = log.with_name(f".{name}.aside")
                with _writing(log):
                    aside.write_text(checkpoints.logged(log, self.images))
                    aside.replace(log)
        distributed.wait()

    def _restore(self) -> None:
        found = checkpoints.latest(self.folder)
        if found:
            tensors, state = found
            self.images, self.skipped = state["images"], state["skipped"]
            self.optimizer_epoch = state["optimizer_epoch"]
            self.augment_p, self.overfit = state.get("augment_p", 0.0), state.get("overfit", 0.0)
            checkpoints.restore(tensors, self._modules, self._optimizers)

    @property
    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    @property
    def _optimizers(self) -> dict[str, torch.optim.Adam]:
        return {"adam_g": self.adam_g, "adam_d": self.adam_d}

    def _new_optimizers(self) -> None:
        c = self.config
        options: dict[str, Any] = {"lr": c.learning_rate[0], "betas": (c.adam_beta1, c.adam_beta2), "eps": c.adam_eps}
        self.adam_g = torch.optim.Adam(self.generator.parameters(), **options)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), **options)

    def _level_reals(self, level: int, split: str | None = None) -> RealImages:
        c, split = self.config, self.config.split if split is None else split
        if split not in self._reals or self._reals[split][0] != level:
            self._reals[split] = level, RealImages(self.store, self.store.sizes[level], split, c.seed, c.conditions)
        return self._reals[split][1]

    def save(self, ended: Phase | None = None) -> None:
        """Write a checkpoint of all that the rest depends on; of the phase `ended` the generator is kept for good."""
        if distributed.rank():
            distributed.wait()
            return
        state = {
            "images": self.images,
            "skipped": self.skipped,
            "optimizer_epoch": self.optimizer_epoch,
            "augment_p": self.augment_p,
            "overfit": self.overfit,
            "architecture": self.architecture.to_dict(),
            "config": self._identity()["config"],
            "bits": self.store.bits,
            "population": population(self.store, self.config.split),
        }
        tensors = checkpoints.flatten(self._modules, self._optimizers)
        if ended:
            level, alpha = self._as_left(ended)
            checkpoints.keep_generator(self.folder, self.average, {**state, "level": level, "alpha": alpha})
        checkpoints.save(checkpoints.checkpoint_path(self.folder, self.images), tensors, state)
        checkpoints.prune(self.folder)
        distributed.wait()

    def step(self, phase: Phase) -> dict[str, float]:
        """One update of D and one of G on one minibatch; returns the numbers for the log.

        Every process draws the random numbers of the whole minibatch and takes its share of them, piece by piece.
        """
        c, n, level, alpha = self.config, phase.batch, phase.level, phase.alpha
        allow_tf32("tf32" in c.precision)
        for adam in (self.adam_d, self.adam_g):
            adam.param_groups[0]["lr"] = c.learning_rate[level]
        random = generator_at(c.seed, self.images)
        reals = self._level_reals(level)
        z = torch.randn(n, c.latent, generator=random)
        mix = torch.rand(n, generator=random)
        z_next = torch.randn(n, c.latent, generator=random)
        y_next = reals.draw_labels(n, random)
        changes = [augment.draw(n, self.augment_p, random) for _ in range(3)] if c.augment else None
        pieces = distributed.shares(n, c.micro)
        sizes = [len(own) for own in pieces]
        batch = [tensor.split(sizes) for tensor in reals.next_batch(self.images, n, torch.cat(pieces))]

        self.generator.requires_grad_(False)
        self.discriminator.requires_grad_(True)
        self.adam_d.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for own, real, y in zip(pieces, *batch, strict=True):
            real, y = real.to(self.device), y.to(self.device)
            with self._autocast():
                # Generated images get the labels of the real ones beside them.
                fake = self.generator(z[own].to(self.device), level, alpha, y)
                real = blend(real, alpha)
                if changes:
                    real, fake = augment.apply(real, changes[0][own]), augment.apply(fake.float(), changes[1][own])
                loss, parts = discriminator_loss(
                    lambda images, labels: self.discriminator(images, level, alpha, labels),
                    real,
                    fake,
                    y,
                    mix[own].to(self.device),
                    c.loss,
                )
            (loss * (len(own) / n)).backward()
            for name, value in {"loss_d": loss.detach(), **parts}.items():
                sums[name] = sums.get(name, 0) + value.float() * (len(own) / n)
        self._update(self.adam_d)
        # The average follows G as of before this minibatch's update, as in train.py:175.
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for average, current in pairs:
                average.lerp_(current, 1 - c.ema)
        self.images += n

        self.generator.requires_grad_(True)
        self.discriminator.requires_grad_(False)
        self.adam_g.zero_grad(set_to_none=True)
        for own in pieces:
            y = y_next[own].to(self.device)
            with self._autocast():
                fake = self.generator(z_next[own].to(self.device), level, alpha, y)
                if changes:
                    fake = augment.apply(fake.float(), changes[2][own])
                loss = generator_loss(self.discriminator(fake, level, alpha, y).float(), c.loss)
            (loss * (len(own) / n)).backward()
            sums["loss_g"] = sums.get("loss_g", 0) + loss.detach().float() * (len(own) / n)
        self._update(self.adam_g)
        distributed.add_up(list(sums.values()))
        return {name: float(value) for name, value in sums.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled="bfloat16" in self.config.precision)

    @torch.no_grad()
    def _steer_augmentation(self, phase: Phase, scores: dict[str, float], images: int) -> None:
        """Compare D's scores of training images with those of held-out ones, and move the probability."""
        c, n = self.config, phase.batch
        held_out = self._level_reals(phase.level, "validation")
        changes = augment.draw(n, self.augment_p, generator_at(c.seed, self.images, 1))
        total = torch.zeros((), device=self.device)
        for own in distributed.shares(n, c.micro):
            real, y = (tensor.to(self.device) for tensor in held_out.batch(self.images, n, own))
            real = augment.apply(blend(real, phase.alpha), changes[own])
            with self._autocast():
                scores_here = self.discriminator(real, phase.level, phase.alpha, y)
            total += scores_here.float().sum() / n
        distributed.add_up([total])
        now = augment.overfitting(scores["real_score"], float(total), scores["fake_score"])
        # A minibatch says little: a running mean over some twenty looks.
        self.overfit += 0.05 * (min(max(now, -1.0), 2.0) - self.overfit)
        self.augment_p = augment.adapted(self.augment_p, self.overfit, c.augment, images, c.augment_images)

    def _update(self, optimizer: torch.optim.Adam) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        distributed.add_up(gradients)
        # One non-finite gradient would poison Adam's averages for good: skip the update and count it (tfutil.py).
        if bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all()):
            optimizer.step()
        else:
            self.skipped += 1
            if self.skipped > 100:
                raise RunError(
                    f"{self.skipped} updates had non-finite gradients; lower learning_rate or the level, then continue."
                )

    def train(
        self, progress: Progress = no_progress, log: Callable[[dict[str, Any]], None] = lambda line: None
    ) -> None:
        """Train to the end of the schedule.

        Args:
            progress: counts "images".
            log: called with every line of the log, the speed added.
        """
        c = self.config
        started = last = time.perf_counter()
        if not self.images:
            self.save()
            self._sheet(self.schedule.at(self.images))
        while self.images < c.total_images:
            phase = self.schedule.at(self.images)
            if phase.optimizer_epoch != self.optimizer_epoch:
                self._new_optimizers()
                self.optimizer_epoch = phase.optimizer_epoch
            before = self.images
            sums: dict[str, float] = {}
            try:
                for _ in range(c.repeats):
                    for name, value in self.step(phase).items():
                        sums[name] = sums.get(name, 0) + value / c.repeats
            except torch.OutOfMemoryError:
                pieces = max(map(len, distributed.shares(phase.batch, c.micro)))
                way = f"with --set micro={GROUP}" if pieces > GROUP else "on a device that has more"
                raise RunError(
                    f"{self.device} has too little memory for {pieces} images at a time; continue {way}."
                ) from None
            if c.augment:
                self._steer_augmentation(phase, sums, self.images - before)
                sums |= {"augment_p": self.augment_p, "overfit": self.overfit}
            height, width = self.store.sizes[phase.level]
            line = {
                "images": self.images,
                "level": phase.level,
                "size": f"{height}x{width}",
                "alpha": phase.alpha,
                "batch": phase.batch,
                **sums,
                "skipped": self.skipped,
            }
            self._log("stats.jsonl", line)
            now = time.perf_counter()
            rate = (self.images - before) / (now - last)
            speed = {"images": self.images, "seconds": now - started, "images_per_second": rate}
            last = now
            self._log("timing.jsonl", speed)
            ended = self.schedule.at(self.images).optimizer_epoch != phase.optimizer_epoch
            if ended or self.images >= c.total_images or _crossed(before, self.images, c.sample_images):
                self._sheet(phase)
            # Generators are kept at the end of each phase, and as often in the last one.
            keep = ended or self.images >= c.total_images or _crossed(before, self.images, c.stable_images)
            if keep or _crossed(before, self.images, c.checkpoint_images):
                self.save(phase if keep else None)
            log({**line, **speed})
            hours = (c.total_images - self.images) / rate / 3600
            note = f"{line['size']} alpha {phase.alpha:.2f} {rate:.3g} images/s, {hours:.2g} h left at this speed"
            progress("images", self.images, c.total_images, note)

    def _log(self, name: str, line: dict[str, Any]) -> None:
        if distributed.rank():
            return
        path = self.folder / name
        with _writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _as_left(self, phase: Phase) -> tuple[int, float]:
        """Level and share of it at which the phase leaves the generator, also where the next level begins just now."""
        now = self.schedule.at(self.images)
        return phase.level, now.alpha if now.level == phase.level else 1.0

    @torch.no_grad()
    def _sheet(self, phase: Phase) -> None:
        """Keep what the averaged generator draws from fixed latents: samples/IMAGES.npy, (16, h, w) uint16."""
        if distributed.rank():
            return
        level, alpha = self._as_left(phase)
        random = generator_at(self.config.seed, 2**40)
        z = torch.randn(16, self.config.latent, generator=random).to(self.device)
        y = self._level_reals(level).draw_labels(16, random).to(self.device)
        images = self.average(z, level, alpha, y)[:, 0].cpu().numpy()
        path = self.folder / "samples" / f"{self.images:012d}.npy"
        with _writing(path):
            np.save(path, to_gray(images, self.store.bits))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}); free disk space and run again.") from None


def _crossed(before: int, after: int, every: int) -> bool:
    return bool(every) and before // every != after // every
