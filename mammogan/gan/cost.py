"""The cost of a run, level by level: parameters, memory and arithmetic counted without computing, time measured."""

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
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.losses import discriminator_loss, generator_loss
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.ops.conv2d_gradfix import plain_convolutions
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run
from mammogan.types import Size


class Counter(TorchDispatchMode):
    """Counts arithmetic, and the bytes of all tensors that are alive at once.

    torch's own FlopCounterMode follows modules by hooks that torch.autograd.grad does not allow; its formulas are used.

    Attributes:
        now, peak: bytes.
        flop: floating-point operations of convolutions and products of matrices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.flop = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, function: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
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
        if key in self._alive:
            return

        def freed(_: object) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


@dataclass(frozen=True)
class Cost:
    """Cost of one step (an update of D and one of G) at one level, in float32.

    Attributes:
        parameters: number of parameters of G and of D that the level uses.
        flop: floating-point operations of convolutions and products, per image.
        peak_bytes: weights, average, gradients, both Adams and all maps that are alive at once.
    """

    parameters: tuple[int, int]
    flop: float
    peak_bytes: int


def count_step(architecture: Architecture, level: int, batch: int, alpha: float = 0.5, loss: str = "wgan-gp") -> Cost:
    """Count a step on `batch` images at once without computing it; below alpha 1 both levels of a fade are drawn."""
    alpha = alpha if level else 1.0
    with FakeTensorMode(), plain_convolutions():
        g, d = Generator(architecture), Discriminator(architecture)
        image = torch.empty(batch, architecture.channels, *architecture.size(level))
        z, mix = torch.empty(batch, architecture.latent), torch.empty(batch)
        labels = torch.empty(batch, architecture.labels)
        everything = [*g.parameters(), *d.parameters()]
        counter = Counter()
        for tensor in (image, z, mix, labels, *everything):
            counter.add(tensor)
        with counter:
            g.requires_grad_(False)
            fake = g(z, level, alpha, labels)
            value, _ = discriminator_loss(lambda x, y: d(x, level, alpha, y), image, fake, labels, mix, loss)
            value.backward()
            del fake, value
            used_d = _with_gradient(d)
            d.zero_grad(set_to_none=True)
            g.requires_grad_(True)
            d.requires_grad_(False)
            generator_loss(d(g(z, level, alpha, labels), level, alpha, labels), loss).backward()
            used = _with_gradient(g), used_d
    # In addition to what is alive in the step: two moments per parameter, the running average of G, and the gradients
    # of the network that is updated, which the peak of the other network's pass may have contained already.
    state = 4 * (2 * sum(p.numel() for p in everything) + sum(p.numel() for p in g.parameters()) + max(used))
    return Cost(used, counter.flop / batch, counter.peak + state)


def _with_gradient(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.grad is not None)


@dataclass(frozen=True)
class LevelPlan:
    """One level of a plan.

    Attributes:
        batch: images per minibatch.
        images: images of the schedule at this level, fade included.
        cost: counted cost of the images that are computed at once.
        seconds: seconds per step, the median of a few; None if it was not tried.
        hours: hours at this level; from `seconds`, or from the arithmetic speed of the finest level that was tried.
        fits: the level fits into the device's memory; if not, there are no seconds, and the hours are a guess.
    """

    size: Size
    maps: int
    batch: int
    images: int
    cost: Cost
    seconds: float | None
    hours: float
    fits: bool = True


def plan(store: Store, config: Config, device: str, patience: float = 60.0) -> Iterator[LevelPlan]:
    """Measure each level on a device: one step to warm up, then three, until a step is too long to try.

    Once a step is expected to last longer than a quarter of `patience` seconds, its time is computed instead.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run.open(store, folder, config, device)
        per_flop: float | None = None
        for level, images in enumerate(run.schedule.images_by_level):
            batch = run.config.batches[level]
            cost = count_step(run.architecture, level, config.micro or batch, loss=config.loss)
            seconds, fits = None, True
            work = cost.flop * batch
            if per_flop is None or per_flop * work < patience / 4:
                phase = Phase(level, 0.5 if level else 1.0, batch, 0)
                try:
                    moments = [time.perf_counter()]
                    for _ in range(4):
                        run.step(phase)  # its numbers are read back, so a GPU has finished
                        moments.append(time.perf_counter())
                    seconds = statistics.median(b - a for a, b in pairwise(moments))
                    per_flop = seconds / work
                except torch.OutOfMemoryError:
                    fits = False
            hours = (seconds or (per_flop or 0) * work) * images / batch / 3600
            size, maps = run.architecture.size(level), run.architecture.maps(level)
            yield LevelPlan(size, maps, batch, images, cost, seconds, hours, fits)
