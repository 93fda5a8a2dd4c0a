"""What a run will cost, level by level: parameters, memory and arithmetic counted without computing, time probed."""

from __future__ import annotations

import statistics
import tempfile
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.losses import discriminator_loss, generator_loss
from mammogan.gan.networks import GROUP, Architecture, Discriminator, Generator
from mammogan.gan.ops.conv2d_gradfix import plain_convolutions
from mammogan.gan.schedule import Phase, Schedule
from mammogan.gan.training import Run


class Counter(TorchDispatchMode):
    """Counts arithmetic, and the bytes of all tensors that are alive at once.

    torch's own FlopCounterMode follows modules by hooks that torch.autograd.grad does not allow; its formulas serve.

    Attributes:
        now, peak: bytes.
        flop: of convolutions and products of matrices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.flop = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if formula := flop_registry.get(function._overloadpacket):
            self.flop += formula(*args, **(kwargs or {}), out_val=result)
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.add(value)
        return result

    def add(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, until it is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def freed(_: Any) -> None:
            del self._known[key]
            self.now -= size

        self._known[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


@dataclass(frozen=True)
class Cost:
    """One step (an update of D and one of G) at one level, in float32.

    Attributes:
        parameters: of G and of D that the level uses.
        flop: floating-point operations of convolutions and products, an image.
        peak_bytes: weights, average, gradients, both Adams and all maps that are alive at once.
    """

    parameters: tuple[int, int]
    flop: float
    peak_bytes: int


def count(architecture: Architecture, level: int, batch: int, alpha: float = 0.5, loss: str = "wgan-gp") -> Cost:
    """Count a step without computing it.

    Args:
        architecture: of both networks.
        level: 0 ... levels - 1.
        batch: images that are computed at once.
        alpha: of the fade; below 1 both levels are drawn.
        loss: as `Config.loss`.
    """
    with FakeTensorMode(), plain_convolutions():
        return _count(architecture, level, batch, alpha, loss)


def _count(architecture: Architecture, level: int, batch: int, alpha: float, loss: str) -> Cost:
    g, d = Generator(architecture), Discriminator(architecture)
    image = torch.empty(batch, architecture.channels, *architecture.size(level))
    z, mix = torch.empty(batch, architecture.latent), torch.empty(batch)
    labels = torch.empty(batch, architecture.labels)
    alpha = alpha if level else 1.0
    counter = Counter()
    everything = [*g.parameters(), *d.parameters()]
    for tensor in (image, z, mix, labels, *everything):
        counter.add(tensor)
    with counter:
        g.requires_grad_(False)
        fake = g(z, level, alpha, labels)
        value, _ = discriminator_loss(lambda x, y: d(x, level, alpha, y), image, fake, labels, mix, loss)
        value.backward()
        del fake, value
        used_d = sum(p.numel() for p in d.parameters() if p.grad is not None)
        for p in d.parameters():
            p.grad = None
        g.requires_grad_(True)
        d.requires_grad_(False)
        generator_loss(d(g(z, level, alpha, labels), level, alpha, labels), loss).backward()
        used = sum(p.numel() for p in g.parameters() if p.grad is not None), used_d
    # Beside what lives in the step: two moments for each parameter, the running average of G, and the gradients of the
    # network that is updated, which the peak of the other network's pass may have held already.
    numbers = sum(p.numel() for p in everything)
    state = 4 * (2 * numbers + sum(p.numel() for p in g.parameters()) + max(used))
    return Cost(used, counter.flop / batch, counter.peak + state)


@dataclass(frozen=True)
class Row:
    """One level of a plan.

    Attributes:
        size: (height, width), pixels.
        maps: feature maps of the level.
        batch: images a minibatch.
        images: of the schedule at this level, fade included.
        cost: counted, for the images that are computed at once.
        seconds: of a step, the median of a few; None where it was not tried.
        hours: of the level; from `seconds`, or from the arithmetic speed of the finest level that was tried.
        fits: into the device's memory; where it does not, there are no seconds, and the hours are a guess.
    """

    size: tuple[int, int]
    maps: int
    batch: int
    images: int
    cost: Cost
    seconds: float | None
    hours: float
    fits: bool = True


def images_by_level(schedule: Schedule) -> list[int]:
    """Images of the run at each level, its fade included."""
    edges = [0, *schedule.boundaries[::2], schedule.total_images]
    return [max(min(b, schedule.total_images) - a, 0) for a, b in pairwise(edges)]


def plan(store: Store, config: Config, device: str, patience: float = 60.0) -> Iterator[Row]:
    """Probe each level on this device: one step to warm up, then three, until a step is too long to try.

    Args:
        store: real images, from which minibatches are read.
        config: hyper-parameters.
        device: where the run shall be.
        patience: seconds; once a step is expected to take longer than a quarter of it, the time is worked out instead.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run(store, folder, config, device)
        per_flop: float | None = None
        for level, images in enumerate(images_by_level(run.schedule)):
            batch = run.config.batches[level]
            cost = count(run.architecture, level, config.micro or batch, loss=config.loss)
            seconds, fits = None, True
            work = cost.flop * batch
            if per_flop is None or per_flop * work < patience / 4:
                phase = Phase(level, 0.5 if level else 1.0, batch, 0)
                try:
                    seconds = statistics.median(_timed(run, phase) for _ in range(4))
                    per_flop = seconds / work
                except torch.OutOfMemoryError:
                    fits = False
            hours = (seconds or (per_flop or 0) * work) * images / batch / 3600
            yield Row(store.sizes[level], run.architecture.maps(level), batch, images, cost, seconds, hours, fits)


def _timed(run: Run, phase: Phase) -> float:
    started = time.perf_counter()
    run.step(phase)  # its numbers are read back, so a GPU has finished
    return time.perf_counter() - started


def table(rows: list[Row]) -> str:
    """A plan as text, one line a level."""
    head = f"{'level':>12} {'maps':>5} {'parameters':>11} {'memory':>8} {'GFLOP':>8} {'batch':>6} {'images':>11}"
    lines = [f"{head} {'step':>9} {'time':>9}"]
    for row in rows:
        step = f"{row.seconds:.3g} s" if row.seconds else "-" if row.fits else "!"
        lines.append(
            f"{f'{row.size[0]} x {row.size[1]}':>12} {row.maps:>5} {sum(row.cost.parameters):>11,} "
            f"{row.cost.peak_bytes / 1e9:>5.2f} GB {row.cost.flop / 1e9:>8.3g} {row.batch:>6} {row.images:>11,} "
            f"{step:>9} {row.hours:>7.3g} h"
        )
    hours = sum(row.hours for row in rows)
    lines.append(f"in all {hours:.3g} hours; GFLOP are an image's, memory is a step's in float32")
    if any(not row.fits for row in rows):
        lines.append(
            f"! the device has too little memory: minibatches of more than {GROUP} can be taken in pieces, as by --set "
            f"micro={GROUP}; below, take another device"
        )
    if any(row.seconds is None and row.fits for row in rows):
        lines.append("a step without a time was too long to try; its level's time follows from its arithmetic")
    return "\n".join(lines)
