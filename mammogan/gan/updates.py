"""Updates of the weights that never wait for the device, so that it is never idle between two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from mammogan.gan import distributed
from mammogan.gan.config import Config
from mammogan.gan.minibatch import Piece
from mammogan.gan.networks import Equalized, Generator
from mammogan.gan.ops.once import prepared

Losses = Iterator[tuple[str, Tensor, dict[str, Tensor]]]  # parts of a loss: its name, the part, its numbers


def new_adam(parameters: Iterable[nn.Parameter], config: Config) -> torch.optim.Adam:
    """Return Adam with the settings of a run, in one kernel for all weights; the rate is set at each step."""
    betas = config.adam_beta1, config.adam_beta2
    return torch.optim.Adam(parameters, lr=config.learning_rate[0], betas=betas, eps=config.adam_eps, fused=True)


def accumulate(
    pieces: list[Piece],
    losses: Callable[[Piece], Losses],
    autocast: Callable[[], AbstractContextManager],
    trained: Sequence[Equalized],
    others: Sequence[Equalized],
) -> dict[str, Tensor]:
    """Sum the gradients of the parts of a loss over the pieces of a minibatch, and return the sums of all numbers.

    Each part is differentiated before the next one is computed, whose maps can take its place in memory. The weights of
    the layers that images go through, those to be `trained` and the `others`, are prepared once for all of them.
    """
    sums: dict[str, Tensor] = {}
    with prepared(trained) as weights, prepared(others):
        for piece in pieces:
            parts = losses(piece)
            while True:
                with autocast():
                    part = next(parts, None)
                if part is None:
                    break
                name, loss, means = part
                if loss.requires_grad:
                    _shared(loss, piece).backward()
                for key, value in {name: loss, **means}.items():
                    number = _shared(value.detach().float(), piece)
                    sums[key] = sums[key] + number if key in sums else number
        weights.differentiate()
    return sums


def _shared(value: Tensor, piece: Piece) -> Tensor:
    """Return a mean over a piece as its part of the mean over the minibatch."""
    return value if piece.share == 1 else value * piece.share


@torch.no_grad()
def update(adam: torch.optim.Adam) -> Tensor:
    """Sum the gradients over all processes and update the weights, unless a gradient is not finite.

    One such gradient would poison Adam's averages permanently (tfutil.py of the original).

    Returns:
        1 if nothing was updated, otherwise 0; float32, on the device.
    """
    gradients = [p.grad for group in adam.param_groups for p in group["params"] if p.grad is not None]
    distributed.all_sum(gradients)
    largest = torch.stack(torch._foreach_norm(gradients, math.inf))
    skipped = (~largest.isfinite().all()).float()
    adam.found_inf = skipped  # type: ignore[attr-defined]  # how torch.amp.GradScaler tells fused optimizers
    adam.step()
    return skipped


@torch.no_grad()
def follow(average: Generator, generator: Generator, level: int, decay: float) -> None:
    """Move the running average towards a generator, in the levels that have grown; the others are as at the start."""
    torch._foreach_lerp_(average.grown(level), generator.grown(level), 1 - decay)
