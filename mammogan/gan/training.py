"""The training loop: WGAN-GP on a growing pyramid, resumable bit for bit, every batch a function of images seen."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mammogan import atomic
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import augment, checkpoints, distributed
from mammogan.gan.config import Config
from mammogan.gan.cost import seconds_left
from mammogan.gan.dataset import RealImages, blend, dequantize, population
from mammogan.gan.device import allow_tf32, explaining_memory
from mammogan.gan.losses import discriminator_losses, generator_loss
from mammogan.gan.minibatch import Piece, draw_minibatch, random_at
from mammogan.gan.networks import Discriminator, Generator, Noise, clip
from mammogan.gan.record import Lock, Record, fitted, lock
from mammogan.gan.schedule import Phase
from mammogan.gan.sheets import draw_sheet
from mammogan.gan.signals import Signals, stopped
from mammogan.gan.updates import Losses, accumulate, follow, new_adam, update
from mammogan.types import Progress, no_progress

MAX_SKIPPED = 100  # updates with non-finite gradients that a run tolerates
WINDOW = 500  # latest minibatches in which they are counted, two updates each


class Run:
    """State of a training run; `Run.open` starts or continues one.

    Its folder has config.json, stats.jsonl, timing.jsonl, checkpoints/, generators/ and samples/. Settings have values
    for each level (`Config.at_levels`); the networks are on the device that trains.
    """

    def __init__(self, store: Store, record: Record, generator: Generator, discriminator: Discriminator) -> None:
        self.store, self.folder, self.record = store, record.folder, record
        self.config, self.schedule = record.config, record.config.schedule
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.architecture, self.device = generator.architecture, generator.dense.weight.device
        self.images = self.skipped = self.optimizer_epoch = 0
        self.augment_p = self.overfit = 0.0
        self.skipped_at: list[int] = []  # images seen at the latest updates with non-finite gradients
        self.line_start, self.sums = 0, dict[str, float]()  # of the line of the log under way
        self._unread: list[tuple[int, dict[str, Tensor]]] = []  # images before a minibatch, and its numbers
        self._sheet: list[float] | None = None
        self._saved = time.monotonic()
        self._lock: Lock | None = None
        self._rates: dict[int, float] = {}  # images per second of each level
        self._new_optimizers()
        self._datasets: dict[str, tuple[int, RealImages]] = {}
        self._start: dict[str, int | str] = {}

    @classmethod
    def open(
        cls, store: Store, folder: str | Path, config: Config, device: str = "cpu", start: str | Path | None = None
    ) -> Run:
        """Start a run in a folder, or continue the one that is there, whose settings must be the same but `CHANGEABLE`.

        Joins the processes of torchrun, seeds PyTorch's random numbers, locks the folder, reads the newest checkpoint,
        writes config.json, and cuts off later lines of the logs. A new run begins with the networks of the run `start`,
        if one is given.

        Raises:
            RunError: the store does not fit, another process trains in the folder, it has a run with other settings or
                another start, or the networks of `start` have another shape.
            ParameterError: the minibatches are not divisible as `micro` and the number of processes need, or the sizes
                of the store do not grow from a small one.
            OutputError: the folder cannot be written.
        """
        device, config = distributed.join(device), fitted(config, store)
        for batch in config.batches:
            distributed.own_pieces(batch, config.micro)
        folder, held = Path(folder), None
        if not distributed.rank():
            for name in ("checkpoints", "samples"):
                atomic.make_folder(folder / name)
            held = lock(folder)
        distributed.barrier()
        record = Record.read(folder, config, store)
        architecture = config.architecture(store.sizes[0])
        torch.manual_seed(config.seed)
        generator, discriminator = Generator(architecture).to(device), Discriminator(architecture).to(device)
        if config.channels_last:
            for network in (generator, discriminator):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = cls(store, record, generator, discriminator)
        run._lock = held
        run._restore(checkpoints.trained(start) if start else None)
        distributed.barrier()
        if not distributed.rank():
            checkpoints.forget_later(run.folder, run.images, run.line_start)
            record.write(run.images)
        distributed.barrier()
        return run

    def _restore(self, start: checkpoints.Checkpoint | None) -> None:
        checkpoint = checkpoints.latest(self.folder)
        if checkpoint and checkpoint.state.get("skipped_at") and self.record.may_mend_gradients:
            checkpoint = checkpoints.before_skips(self.folder) or checkpoint
            if not distributed.rank():
                images = checkpoint.state["images"]
                logging.getLogger(__name__).warning("Continued at %d images, before gradients were not finite.", images)
        if not checkpoint:
            if start:
                self._start = checkpoints.begin(start, self.architecture, self._parts[0])
            return
        self._start = checkpoint.state.get("start", {})
        if start and checkpoints.origin(start) != self._start:
            raise RunError(f"The run in {self.folder} did not begin with that one; omit --from, or give another --out.")
        if not checkpoint.architecture.fits(self.architecture):
            raise RunError(f"The networks in {self.folder} have another shape than its settings; give another --out.")
        state = checkpoint.state
        self.images, self.skipped = state["images"], state["skipped"]
        self.skipped_at = state.get("skipped_at", [])
        self.line_start, self.sums = state.get("line_start", self.images), state.get("sums", {})
        self.optimizer_epoch, self._sheet = state["optimizer_epoch"], state.get("sheet")
        self.augment_p, self.overfit = state.get("augment_p", 0.0), state.get("overfit", 0.0)
        checkpoints.restore(checkpoint, *self._parts)

    @property
    def _parts(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Adam]]:
        networks = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        return networks, {"adam_g": self.adam_g, "adam_d": self.adam_d}

    def _new_optimizers(self) -> None:
        self.adam_g = new_adam(self.generator.parameters(), self.config)
        self.adam_d = new_adam(self.discriminator.parameters(), self.config)

    def _dataset(self, level: int, split: str) -> RealImages:
        """Return the real images of a level and split; those of the last level are kept."""
        c = self.config
        if split not in self._datasets or self._datasets[split][0] != level:
            size = self.store.sizes[level]
            self._datasets[split] = level, RealImages(self.store, size, split, c.seed, c.conditions, c.views)
        return self._datasets[split][1]

    def train(
        self, progress: Progress = no_progress, log: Callable[[checkpoints.LogLine], None] = lambda line: None
    ) -> None:
        """Train to the end of the schedule; `log` is called with every line of the log, the speed added.

        SIGTERM and SIGINT end the training after the minibatch under way, once a checkpoint is written.

        Raises:
            RunError: too little memory, or too many gradients that are not finite.
            OutputError: a file cannot be written.
            Stopped: a signal arrived.
        """
        total = self.config.total_images
        started = time.perf_counter()
        with Signals() as signals:
            if not self.images:
                first = self.schedule.at(0)
                self._sheet = [first.level, first.alpha]
                self.save()
            self._draw_sheet()  # also one that a kill prevented
            while self.images < total:
                phase, resumed, last = self.schedule.at(self.line_start), self.images, time.perf_counter()
                numbers = self._steps(phase, signals)
                if self.config.augment:
                    numbers |= self._steer_augmentation(phase, numbers, self.images - self.line_start)
                size = "{}x{}".format(*self.store.sizes[phase.level])
                line: checkpoints.LogLine = {"images": self.images, "level": phase.level, "size": size}
                line |= {"alpha": phase.alpha, "batch": phase.batch, **numbers, "skipped": self.skipped}
                if changed := self.record.changed_between(self.line_start, self.images):
                    line["changed"] = changed
                now = time.perf_counter()
                rate = self._rates[phase.level] = (self.images - resumed) / (now - last)
                speed: checkpoints.LogLine = {"images": self.images, "seconds": now - started}
                speed["images_per_second"] = rate
                for name, content in zip(checkpoints.LOGS, (line, speed), strict=True):
                    checkpoints.append_line(self.folder / name, content)
                before, self.line_start, self.sums = self.line_start, self.images, {}
                self._save_due(phase, before)
                log({**line, **speed})
                if progress is not no_progress and not distributed.rank():
                    hours = seconds_left(self.schedule, self.architecture, self.images, self._rates) / 3600
                    note = f"{size} alpha {phase.alpha:.2f} {rate:.3g} images/s, about {hours:.2g} h left"
                    progress("images", self.images, total, note)

    def _steps(self, phase: Phase, signals: Signals) -> dict[str, float]:
        """Train on the minibatches between two updates of the schedule; return the means of the numbers."""
        if phase.optimizer_epoch != self.optimizer_epoch:
            self._new_optimizers()
            self.optimizer_epoch = phase.optimizer_epoch
        while self.images < self.line_start + self.config.repeats * phase.batch:
            self._obey(signals)
            with explaining_memory(self.device, self._at_a_time(phase)):
                self._unread.append((self.images, self.step(phase)))
        self._read()
        return self.sums

    def _read(self) -> None:
        """Read the numbers of the latest minibatches from the device, add them up, and count skipped updates."""
        unread, self._unread = self._unread, []
        if not unread:
            return
        names = list(unread[0][1])
        values = torch.stack([torch.stack(list(numbers.values())) for _, numbers in unread])
        distributed.all_sum([values])
        for (before, _), row in zip(unread, values.tolist(), strict=True):
            numbers = dict(zip(names, row, strict=True))
            skips = sum(numbers.pop(f"skipped_{network}") > 0 for network in "dg")
            self.skipped += skips
            self.skipped_at += skips * [before]
            for name, value in numbers.items():
                self.sums[name] = self.sums.get(name, 0) + value / self.config.repeats
        self.skipped_at = self._recently_skipped()
        if len(self.skipped_at) > MAX_SKIPPED:
            what = f"{len(self.skipped_at)} of the last {2 * WINDOW} updates had non-finite gradients"
            raise RunError(
                f"{what}; run the command again with a lower learning_rate, as --set learning_rate="
                f"{self.config.learning_rate[self.schedule.at(self.images).level] / 2:g}: it continues before them."
            )

    def _obey(self, signals: Signals) -> None:
        """Save and end the training if any process received a signal."""
        if number := distributed.maximum(signals.received, self.device):
            self._read()
            self.save()
            raise stopped(number, self.images)

    def step(self, phase: Phase) -> dict[str, Tensor]:
        """Update D once and G once on one minibatch; return the numbers of the log, of this process, on the device."""
        allow_tf32("tf32" in self.config.precision)
        for adam in (self.adam_d, self.adam_g):
            adam.param_groups[0]["lr"] = self.config.learning_rate_at(self.images, phase.level)

        # Draw the minibatch.
        pieces = self._draw(phase)

        # Train D.
        self._train_only(self.discriminator, self.adam_d)
        layers_g, layers_d = self.generator.layers(phase.level), self.discriminator.layers(phase.level)
        numbers = accumulate(pieces, partial(self._losses_d, phase), self._autocast, layers_d, layers_g)
        numbers["skipped_d"] = update(self.adam_d)

        # Update the average, which follows G as of before this minibatch's update, as in train.py:175.
        follow(self.average, self.generator, phase.level, self.config.decay_of_average(phase.batch))
        self.images += phase.batch

        # Train G.
        self._train_only(self.generator, self.adam_g)
        numbers |= accumulate(pieces, partial(self._losses_g, phase), self._autocast, layers_g, layers_d)
        numbers["skipped_g"] = update(self.adam_g)
        return numbers

    def _draw(self, phase: Phase) -> list[Piece]:
        dataset = self._dataset(phase.level, self.config.split)
        return draw_minibatch(self.config, dataset, self.images, phase.batch, self.augment_p, self.device)

    def _train_only(self, network: nn.Module, adam: torch.optim.Adam) -> None:
        """Freeze the other network, and clear the gradients of this one."""
        for other in (self.generator, self.discriminator):
            other.requires_grad_(other is network)
        adam.zero_grad(set_to_none=True)

    def _losses_d(self, phase: Phase, piece: Piece) -> Losses:
        # Generated images have the labels of the real images of their position.
        fake = self._generate(phase, piece.z_d, piece.labels, piece.seeds[:, 1])
        real = self._prepare(phase, piece.real, piece.seeds[:, 0])
        if self.config.augment:
            real = augment.apply(real, piece.changes[:, 0])
            fake = augment.apply(fake.float(), piece.changes[:, 1])

        def critic(images: Tensor, labels: Tensor) -> Tensor:
            return self._score(images, phase, labels)

        lazy = self.config.penalty_every
        every = 0 if self.images // phase.batch % lazy else lazy
        losses = discriminator_losses(critic, real, fake, piece.labels, piece.mix, self.config.loss, every)
        for loss, means in losses:
            yield "loss_d", loss, means

    def _losses_g(self, phase: Phase, piece: Piece) -> Losses:
        fake = self._generate(phase, piece.z_g, piece.labels_g, piece.seeds[:, 2])
        if self.config.augment:
            fake = augment.apply(fake.float(), piece.changes[:, 2])
        scores = self._score(fake, phase, piece.labels_g)
        yield "loss_g", generator_loss(scores.float(), self.config.loss), {}

    def _prepare(self, phase: Phase, real: Tensor, seeds: Tensor) -> Tensor:
        """Return real images as D sees them; `seeds` (n,) are those of their noise."""
        if self.config.dequantize:
            real = dequantize(real, self.store.bits, seeds)
        return blend(real, phase.alpha, self.config.resampling)

    def _generate(self, phase: Phase, z: Tensor, labels: Tensor, seeds: Tensor) -> Tensor:
        """Draw images for D; `seeds` (n,) are those of their noise."""
        noise = Noise(seeds, self.device) if self.config.noise else None
        images = self.generator(z, phase.level, phase.alpha, labels, noise)
        return clip(images) if self.config.clip else images

    def _score(self, images: Tensor, phase: Phase, labels: Tensor) -> Tensor:
        return self.discriminator(images, phase.level, phase.alpha, labels, distributed.with_stddev)

    def _at_a_time(self, phase: Phase) -> int:
        """Return how many images this process computes at once."""
        return max(map(len, distributed.own_pieces(phase.batch, self.config.micro)))

    def _recently_skipped(self) -> list[int]:
        start = self.images - WINDOW * self.schedule.at(self.images).batch
        return [images for images in self.skipped_at if images > start]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled="bfloat16" in self.config.precision)

    @torch.no_grad()
    def _steer_augmentation(self, phase: Phase, numbers: dict[str, float], images: int) -> dict[str, float]:
        """Compare D's scores of training images with those of held-out ones, and adapt the probability."""
        c, n = self.config, phase.batch
        held_out = self._dataset(phase.level, "validation")
        random = random_at(c.seed, self.images, 1)
        changes, seeds = augment.draw(n, self.augment_p, random), torch.randint(2**62, (n,), generator=random)
        total = torch.zeros((), device=self.device)
        for own in distributed.own_pieces(n, c.micro):
            real, labels = (tensor.to(self.device) for tensor in held_out.batch(self.images, n, own))
            real = augment.apply(self._prepare(phase, real, seeds[own]), changes[own])
            with self._autocast():
                scores = self._score(real, phase, labels)
            total += scores.float().sum() / n
        distributed.all_sum([total])
        now = augment.overfitting(numbers["real_score"], float(total), numbers["fake_score"])
        # A minibatch says little: a running mean over some twenty measurements.
        self.overfit += 0.05 * (min(max(now, -1.0), 2.0) - self.overfit)
        self.augment_p = augment.adapt(self.augment_p, self.overfit, c.augment, images, c.augment_images)
        return {"augment_p": self.augment_p, "overfit": self.overfit}

    def _save_due(self, phase: Phase, before: int) -> None:
        """Save what is due since `before` images: a checkpoint, a generator that is kept, a sheet of samples."""
        c, now = self.config, self.images
        ended = self.schedule.at(now).optimizer_epoch != phase.optimizer_epoch or now >= c.total_images
        # Generators are kept at the end of each phase, and as often in the last one.
        lengths = (c.sample_images, c.stable_images, c.checkpoint_images)
        sheet, keep, save = (ended or (bool(every) and before // every != now // every) for every in lengths)
        late = bool(c.checkpoint_minutes) and time.monotonic() - self._saved > 60 * c.checkpoint_minutes
        late = bool(distributed.maximum(int(late and not distributed.rank()), self.device))
        if sheet:
            self._sheet = [*self._end_of(phase)]
        if keep or save or late:
            self.save(phase if keep else None)
        self._draw_sheet()

    def save(self, phase: Phase | None = None) -> None:
        """Write a checkpoint with all that the run depends on; the generator of `phase` is also kept permanently."""
        if not distributed.rank():
            state: checkpoints.State = {
                "images": self.images,
                "skipped": self.skipped,
                "skipped_at": self._recently_skipped(),
                "line_start": self.line_start,
                "sums": self.sums,
                "sheet": self._sheet,
                "optimizer_epoch": self.optimizer_epoch,
                "augment_p": self.augment_p,
                "overfit": self.overfit,
                "architecture": asdict(self.architecture),
                "config": self.config.to_dict(),
                "bits": self.store.bits,
                "store": self.store.fingerprint,
                "start": self._start,
                "population": population(self.store, self.config.split, self.config.views, self.config.conditions),
            }
            if phase:
                level, alpha = self._end_of(phase)
                checkpoints.keep_generator(self.folder, self.average, {**state, "level": level, "alpha": alpha})
            checkpoints.save_run(self.folder, checkpoints.flatten(*self._parts), state)
        self._saved = time.monotonic()
        distributed.barrier()

    def _end_of(self, phase: Phase) -> tuple[int, float]:
        """Return level and alpha of the generator at the end of the phase, also when the next level begins now."""
        now = self.schedule.at(self.images)
        return phase.level, now.alpha if now.level == phase.level else 1.0

    def _draw_sheet(self) -> None:
        """Draw samples/IMAGES.npy if it is due, after the checkpoint, which is not lost if memory is too short."""
        due, self._sheet = self._sheet, None
        if not due or distributed.rank() or (self.folder / "samples" / f"{self.images:012d}.npy").is_file():
            return
        level, c = int(due[0]), self.config
        dataset, count = self._dataset(level, c.split), c.micro or c.batches[level]  # no more than a step computes
        with explaining_memory(self.device, count):
            images = draw_sheet(self.average, dataset, c, level, due[1], self.store.bits, count)
        with atomic.replacing(self.folder / "samples" / f"{self.images:012d}.npy") as aside, aside.open("wb") as file:
            np.save(file, images)
