"""The cost of a step at each level: parameters, memory and arithmetic counted without computing."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from mammogan.gan.losses import discriminator_losses, generator_loss
from mammogan.gan.networks import GROUP, Architecture, Discriminator, Generator
from mammogan.gan.ops.conv2d_gradfix import plain_convolutions
from mammogan.gan.schedule import Schedule


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
        flop: floating-point operations of convolutions and products, per image, the mean over steps.
        peak_bytes: weights, average, gradients, both Adams and all maps that are alive at once.
    """

    parameters: tuple[int, int]
    flop: float
    peak_bytes: int


def count_step(
    architecture: Architecture,
    level: int,
    batch: int,
    alpha: float = 0.5,
    loss: str = "wgan-gp",
    penalty_every: int = 1,
) -> Cost:
    """Count a step on `batch` images at once without computing it; below alpha 1 both levels of a fade are drawn.

    The step is one with a penalty, whose arithmetic is divided among `penalty_every` steps.
    """
    alpha = alpha if level else 1.0
    with FakeTensorMode(), plain_convolutions():
        g, d = Generator(architecture), Discriminator(architecture)
        image = torch.empty(batch, architecture.channels, *architecture.size(level))
        z, mix = torch.empty(batch, architecture.latent), torch.empty(batch)
        labels = torch.empty(batch, architecture.labels)

        def noise(height: int, width: int) -> Tensor:
            return torch.empty(batch, 1, height, width)

        everything = [*g.parameters(), *d.parameters()]
        counter, flop = Counter(), [0]
        for tensor in (image, z, mix, labels, *everything):
            counter.add(tensor)
        with counter:
            g.requires_grad_(False)
            fake = g(z, level, alpha, labels, noise)
            for value, _ in discriminator_losses(lambda x, y: d(x, level, alpha, y), image, fake, labels, mix, loss):
                value.backward()
                flop.append(counter.flop)
            del fake, value
            used_d = _with_gradient(d)
            d.zero_grad(set_to_none=True)
            g.requires_grad_(True)
            d.requires_grad_(False)
            generator_loss(d(g(z, level, alpha, labels, noise), level, alpha, labels), loss).backward()
            used = _with_gradient(g), used_d
    # In addition to what is alive in the step: two moments per parameter, the running average of G, and the gradients
    # of the network that is updated, which the peak of the other network's pass may have contained already.
    state = 4 * (2 * sum(p.numel() for p in everything) + sum(p.numel() for p in g.parameters()) + max(used))
    saved = (flop[-1] - flop[-2]) * (1 - 1 / penalty_every)
    return Cost(used, (counter.flop - saved) / batch, counter.peak + state)


def _with_gradient(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.grad is not None)


@lru_cache(maxsize=32)
def _flop(architecture: Architecture, level: int) -> float:
    return count_step(architecture, level, GROUP, alpha=1.0).flop


def seconds_left(schedule: Schedule, architecture: Architecture, images: int, rates: dict[int, float]) -> float:
    """Estimate the time to the end of a run.

    Levels without a rate are computed as fast, in floating-point operations, as the fastest one that has one.

    Args:
        schedule: schedule of the run.
        architecture: shape of its networks.
        images: images seen so far.
        rates: images per second of levels that were trained; if there are none, the time is infinite.
    """
    ends = accumulate(schedule.images_by_level)
    left = [min(max(end - images, 0), count) for end, count in zip(ends, schedule.images_by_level, strict=True)]
    speed = max((rate * _flop(architecture, level) for level, rate in rates.items()), default=0.0)
    if not speed:
        return math.inf
    return sum(
        count / rates[level] if level in rates else count * _flop(architecture, level) / speed
        for level, count in enumerate(left)
        if count
    )
