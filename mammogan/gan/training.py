"""The training loop: WGAN-GP on a growing pyramid, resumable bit for bit, every batch a function of images seen."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mammogan.data.store import Store
from mammogan.gan import augment, checkpoints, processes
from mammogan.gan.checkpoints import RunError
from mammogan.gan.losses import LOSSES, discriminator_loss, generator_loss
from mammogan.gan.networks import Architecture, Discriminator, Generator, downscale, upscale
from mammogan.gan.schedule import Phase, Schedule

CONDITIONS = {"view": ("CC", "MLO"), "density": ("A", "B", "C", "D")}
PRECISIONS = ("float32", "bfloat16")
MOST_BASE = 16  # pixels of a side at which growing may begin


@dataclass(frozen=True)
class Config:
    """Every hyper-parameter of a run; the defaults are the original's (config.py, train.py, loss.py at 2504c3f).

    Attributes:
        levels: number of levels; 9 lead from 5 x 4 to 1280 x 1024. 0 takes all that the store has.
        latent: length of the latent vector.
        fmap_base, fmap_max: feature maps, see `Architecture`.
        fused: scale inside the convolutions.
        stable_images, fade_images: length of each phase, in images shown to D.
        total_images: length of the run, in images shown to D.
        batches: minibatch of each level; the last entry serves for levels beyond it.
        learning_rate: of both Adams.
        adam_beta1, adam_beta2, adam_eps: of both Adams.
        ema: decay of the running average of G's weights, a minibatch.
        repeats: minibatches between two looks at the schedule.
        loss: "wgan-gp" as the original, or "r1".
        condition: facts that both networks are told, of `CONDITIONS`, separated by commas: "", "view", "view,density".
        augment: overfitting of D (r_v) that augmentation holds it at, for few images; 0 is off. Needs split "train".
        augment_images: images in which the probability of augmentation may rise from 0 to 1.
        micro: images that are computed at once where memory is short, a multiple of 4; the minibatch and its gradient
            stay what they are. 0 takes the whole minibatch.
        precision: "float32", or "bfloat16" for all but the penalty.
        channels_last: memory layout of the maps.
        split: images of this split are trained on; "" for all.
        checkpoint_images: images between two checkpoints; 0 writes one only at the end of each phase.
        sample_images: images between two sheets of samples from fixed latents.
        seed: of weights, batches and latents.
    """

    levels: int = 0
    latent: int = 512
    fmap_base: int = 8192
    fmap_max: int = 512
    fused: bool = True
    stable_images: int = 600_000
    fade_images: int = 600_000
    total_images: int = 12_000_000
    batches: tuple[int, ...] = (128, 128, 128, 64, 32, 16, 8, 4, 4)
    learning_rate: float = 0.001
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_eps: float = 1e-8
    ema: float = 0.999
    repeats: int = 4
    loss: str = "wgan-gp"
    condition: str = ""
    augment: float = 0.0
    augment_images: int = 500_000
    micro: int = 0
    precision: str = "float32"
    channels_last: bool = False
    split: str = ""
    checkpoint_images: int = 100_000
    sample_images: int = 100_000
    seed: int = 0

    def changed(self, settings: dict[str, Any]) -> Config:
        """A copy with some values replaced; text is read as the type of the value that it replaces.

        Raises:
            RunError: an unknown name, or a value of another type.
        """
        types = get_type_hints(Config)
        for key, value in settings.items():
            if key not in types:
                known = ", ".join(field.name for field in fields(self))
                raise RunError(f"There is no setting {key!r}; the settings are {known}.")
            try:
                settings = {**settings, key: _parse(value, types[key])}
            except (TypeError, ValueError):
                raise RunError(f"The setting {key}={value!r} is not of type {types[key]}; correct it.") from None
        changed = replace(self, **settings)
        for key, choices in (("loss", LOSSES), ("precision", PRECISIONS)):
            if getattr(changed, key) not in choices:
                raise RunError(f"The setting {key} is {' or '.join(choices)}, not {getattr(changed, key)!r}.")
        if unknown := set(changed.conditions) - set(CONDITIONS):
            raise RunError(f"Images are conditioned on {' or '.join(CONDITIONS)}, not on {sorted(unknown)[0]!r}.")
        if changed.augment and changed.split != "train":
            raise RunError("Augmentation is steered by images that D never sees; set split=train.")
        return changed

    @property
    def conditions(self) -> tuple[str, ...]:
        """`condition` as names."""
        return tuple(name for name in self.condition.replace(",", " ").split())


# What differs from the original's values in a profile; the paper's own are not known (its supplement is not at hand).
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    # Minutes on two cores: narrow maps, 40 x 32 pixels, a short schedule with a larger step to make up for it.
    "smoke": {
        "levels": 4,
        "latent": 64,
        "fmap_base": 512,
        "fmap_max": 32,
        "stable_images": 4000,
        "fade_images": 4000,
        "total_images": 32_000,
        "batches": (16,),
        "ema": 0.99,
        "learning_rate": 0.003,
        "checkpoint_images": 4000,
        "sample_images": 0,
    },
}


def preset(name: str) -> Config:
    """The hyper-parameters of a profile.

    Raises:
        RunError: there is none of that name.
    """
    if name not in PRESETS:
        raise RunError(f"There is no training profile {name!r}; the profiles are {', '.join(PRESETS)}.")
    return Config().changed(PRESETS[name])


def _parse(value: Any, kind: Any) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
    if kind in (int, float, str):
        if kind is int and isinstance(value, float):
            raise TypeError
        return kind(value)
    items = value.replace(",", " ").split() if isinstance(value, str) else value
    return tuple(int(item) for item in items)


class Reals:
    """Real images of one level, in an order that is a function of the seed: every epoch is a new permutation.

    Args:
        store: where they are.
        size: (height, width) of the level.
        split: take only images of this split; "" for all.
        seed: of the order.
        conditions: facts of which `labels` are made.
    """

    def __init__(
        self, store: Store, size: tuple[int, int], split: str, seed: int, conditions: tuple[str, ...] = ()
    ) -> None:
        chosen = np.flatnonzero(store.manifest["split"] == split) if split else np.arange(len(store))
        if not chosen.size:
            raise RunError(f"The store {store.path} has no images in the split {split!r}; choose another or none.")
        self.array = store.images(size)
        self.chosen = chosen
        self.top = 2**store.bits - 1
        self.seed = seed
        self._labels = labels_of(store.manifest, conditions)
        # Low levels fit in memory; a large one is read image by image.
        small = len(store) * size[0] * size[1] * 2 < 2**31
        self.memory = self.array[:] if small else None
        self._order = lru_cache(2)(self._order)  # type: ignore[method-assign]
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, int, Future[tuple[Tensor, Tensor]]] | None = None

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.chosen)

    def batch(self, images: int, count: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images `images` ... `images + count` of the endless order, or those at the positions `own` among them.

        Returns:
            (n, 1, h, w), float32 in [-1, 1]; labels (n, k), float32.
        """
        n = len(self.chosen)
        positions = range(count) if own is None else own.tolist()
        indices = [self._order((images + i) // n)[(images + i) % n] for i in positions]
        pixels = self.memory[indices] if self.memory is not None else np.stack([self.array[i] for i in indices])
        scaled = torch.from_numpy(pixels.astype(np.float32)[:, None] * (2 / self.top) - 1)
        return scaled, torch.from_numpy(self._labels[indices])

    def next_batch(self, images: int, count: int, own: Tensor) -> tuple[Tensor, Tensor]:
        """`batch`, and start to read the one behind it, so that training does not wait for the disk."""
        ready, self._ahead = self._ahead, None
        same = ready is not None and ready[:2] == (images, count)
        found = ready[2].result() if ready and same else self.batch(images, count, own)
        self._ahead = images + count, count, self._reader.submit(self.batch, images + count, count, own)
        return found

    def draw_labels(self, count: int, random: torch.Generator) -> Tensor:
        """Labels of images drawn at random, with replacement: (count, k)."""
        picked = torch.randint(len(self.chosen), (count,), generator=random).numpy()
        return torch.from_numpy(self._labels[self.chosen[picked]])


def labels_of(manifest: pd.DataFrame, conditions: tuple[str, ...]) -> np.ndarray:
    """One-hot facts of every row, (n, k) float32; zeros where a fact is not known."""
    columns = [manifest[name] == value for name in conditions for value in CONDITIONS[name]]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(manifest), 0), np.float32)


def population(store: Store, split: str) -> dict[str, Any]:
    """What sampling must know of the real images: how many are of each kind, and their height in mm (median)."""
    rows = store.manifest[store.manifest["split"] == split] if split else store.manifest
    counts = rows.groupby(list(CONDITIONS), dropna=False).size().reset_index(name="count")
    height = rows["spacing_mm"].median() * store.sizes[-1][0]
    return {
        "kinds": counts.astype(object).where(counts.notna(), None).to_dict("records"),
        "height_mm": None if np.isnan(height) else float(height),
    }


def blend(real: Tensor, alpha: float) -> Tensor:
    """Reals as a fade shows them: mixed with their own copy halved and enlarged again (train.py:67)."""
    return real if alpha >= 1 else torch.lerp(upscale(downscale(real)), real, alpha)


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
        batches = tuple(
            (config.batches[level] if level < len(config.batches) else config.batches[-1]) for level in range(levels)
        )
        self.config = config = replace(config, levels=levels, batches=batches)
        self.store, self.folder, self.device = store, Path(folder), torch.device(processes.start(device))
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
            processes.shares(batch, config.micro)
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
        self._reals: dict[str, tuple[int, Reals]] = {}
        self._open_folder()

    # The record that decides whether a folder can be continued.
    def _identity(self) -> dict[str, Any]:
        config = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.config).items()}
        return {"config": config, "store": self.store.fingerprint, "bits": self.store.bits}

    def _open_folder(self) -> None:
        if processes.rank():
            processes.wait()  # the first process makes the folder and clears the logs
            self._restore()
            return
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (self.folder / "samples").mkdir(exist_ok=True)
        record = self.folder / "config.json"
        identity = self._identity()
        if record.is_file():
            before = json.loads(record.read_text())
            # A setting that did not exist when the run began has its default.
            defaults = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(Config()).items()}
            other = [k for k, v in identity["config"].items() if before["config"].get(k, defaults[k]) != v]
            if other or before["store"] != identity["store"]:
                what = f"other settings ({', '.join(other)})" if other else "another store"
                raise RunError(f"{self.folder} holds a run with {what}; give another --run or delete it.")
        else:
            record.write_text(json.dumps(identity, indent=1) + "\n")
        self._restore()
        # Lines behind the checkpoint are written again.
        for name in ("stats.jsonl", "timing.jsonl"):
            log = self.folder / name
            if log.is_file():
                lines = [line for line in log.read_text().splitlines() if _images_of(line) <= self.images]
                aside = log.with_name(f".{name}.aside")
                aside.write_text("".join(f"{line}\n" for line in lines))
                aside.replace(log)
        processes.wait()

    def _restore(self) -> None:
        found = checkpoints.latest(self.folder, self.device)
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
        options: dict[str, Any] = {"lr": c.learning_rate, "betas": (c.adam_beta1, c.adam_beta2), "eps": c.adam_eps}
        self.adam_g = torch.optim.Adam(self.generator.parameters(), **options)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), **options)

    def _level_reals(self, level: int, split: str | None = None) -> Reals:
        c, split = self.config, self.config.split if split is None else split
        if split not in self._reals or self._reals[split][0] != level:
            self._reals[split] = level, Reals(self.store, self.store.sizes[level], split, c.seed, c.conditions)
        return self._reals[split][1]

    def save(self, ended: Phase | None = None) -> None:
        """Write a checkpoint of all that the rest depends on; of the phase `ended` the generator is kept for good."""
        if processes.rank():
            processes.wait()
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
        processes.wait()

    def step(self, phase: Phase) -> dict[str, float]:
        """One update of D and one of G on one minibatch; returns the numbers for the log.

        Every process draws the random numbers of the whole minibatch and takes its share of them, piece by piece.
        """
        c, n, level, alpha = self.config, phase.batch, phase.level, phase.alpha
        random = generator_at(c.seed, self.images)
        reals = self._level_reals(level)
        z = torch.randn(n, c.latent, generator=random)
        mix = torch.rand(n, generator=random)
        z_next = torch.randn(n, c.latent, generator=random)
        y_next = reals.draw_labels(n, random)
        changes = [augment.draw(n, self.augment_p, random) for _ in range(3)] if c.augment else None
        pieces = processes.shares(n, c.micro)
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
        processes.add_up(list(sums.values()))
        return {name: float(value) for name, value in sums.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    @torch.no_grad()
    def _steer_augmentation(self, phase: Phase, scores: dict[str, float], images: int) -> None:
        """Compare D's scores of training images with those of held-out ones, and move the probability."""
        c, n = self.config, phase.batch
        held_out = self._level_reals(phase.level, "validation")
        changes = augment.draw(n, self.augment_p, generator_at(c.seed, self.images, 1))
        total = torch.zeros((), device=self.device)
        for own in processes.shares(n, c.micro):
            real, y = (tensor.to(self.device) for tensor in held_out.batch(self.images, n, own))
            real = augment.apply(blend(real, phase.alpha), changes[own])
            total += self.discriminator(real, phase.level, phase.alpha, y).sum() / n
        processes.add_up([total])
        now = augment.overfitting(scores["real_score"], float(total), scores["fake_score"])
        # A minibatch says little: a running mean over some twenty looks.
        self.overfit += 0.05 * (min(max(now, -1.0), 2.0) - self.overfit)
        self.augment_p = augment.adapted(self.augment_p, self.overfit, c.augment, images, c.augment_images)

    def _update(self, optimizer: torch.optim.Adam) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        processes.add_up(gradients)
        # One non-finite gradient would poison Adam's averages for good: skip the update and count it (tfutil.py).
        if bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all()):
            optimizer.step()
        else:
            self.skipped += 1
            if self.skipped > 100:
                raise RunError(
                    f"{self.skipped} updates had non-finite gradients; lower learning_rate or the level, then continue."
                )

    def train(self, progress: Callable[[dict[str, Any]], None] = lambda line: None) -> None:
        """Train to the end of the schedule; `progress` gets every line of the log with the speed added."""
        c = self.config
        started = last = time.perf_counter()
        if not checkpoints.checkpoints(self.folder):
            self.save()
            self._sheet(self.schedule.at(self.images))
        while self.images < c.total_images:
            phase = self.schedule.at(self.images)
            if phase.optimizer_epoch != self.optimizer_epoch:
                self._new_optimizers()
                self.optimizer_epoch = phase.optimizer_epoch
            before = self.images
            sums: dict[str, float] = {}
            for _ in range(c.repeats):
                for name, value in self.step(phase).items():
                    sums[name] = sums.get(name, 0) + value / c.repeats
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
            progress({**line, **speed, "total": c.total_images})

    def _log(self, name: str, line: dict[str, Any]) -> None:
        if processes.rank():
            return
        try:
            with (self.folder / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunError(
                f"{self.folder / name} cannot be written ({error}); free disk space and run again."
            ) from None

    def _as_left(self, phase: Phase) -> tuple[int, float]:
        """Level and share of it at which the phase leaves the generator, also where the next level begins just now."""
        now = self.schedule.at(self.images)
        return phase.level, now.alpha if now.level == phase.level else 1.0

    @torch.no_grad()
    def _sheet(self, phase: Phase) -> None:
        """Keep what the averaged generator draws from fixed latents: samples/IMAGES.npy, (16, h, w) uint16."""
        if processes.rank():
            return
        level, alpha = self._as_left(phase)
        random = generator_at(self.config.seed, 2**40)
        z = torch.randn(16, self.config.latent, generator=random).to(self.device)
        y = self._level_reals(level).draw_labels(16, random).to(self.device)
        images = self.average(z, level, alpha, y)[:, 0].cpu().numpy()
        np.save(self.folder / "samples" / f"{self.images:012d}.npy", to_grey(images, self.store.bits))


def to_grey(images: np.ndarray, bits: int) -> np.ndarray:
    """G's output onto the grey grid of the real images: -1 ... 1 -> 0 ... 2^bits - 1, rounded and clipped; uint16."""
    top = 2**bits - 1
    return np.clip(np.rint((images.astype(np.float64) + 1) * (top / 2)), 0, top).astype(np.uint16)


def _images_of(line: str) -> float:
    try:
        return json.loads(line)["images"]
    except ValueError:  # a line that a kill cut short
        return float("inf")


def _crossed(before: int, after: int, every: int) -> bool:
    return bool(every) and before // every != after // every


def device_of(name: str = "") -> str:
    """`name`, or the best device of this machine; also makes CPU runs repeat bit for bit."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return name or ("cuda" if torch.cuda.is_available() else "cpu")
