"""Weights as the layers use them, made once per update and not in each pass through a network.

An update sends several batches through a network, and each pass would scale the weights, and add up the shifts of those
that change the size, and differentiate all that again: hundreds of operations on small tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from mammogan.gan.ops.conv2d_gradfix import Kind, kernel_of


class Layer(Protocol):
    """A layer of equalized learning rate."""

    weight: nn.Parameter
    scale: float
    once: Once | None


class Once:
    """The scaled weight of a layer and the kernel that is made of it; leaves, by which passes differentiate."""

    def __init__(self, scaled: Tensor) -> None:
        self.scaled = scaled
        self.made: tuple[Tensor, Tensor] | None = None  # the kernel with its history, and without

    def kernel(self, kind: Kind) -> Tensor:
        """Return what `conv2d_gradfix.kernel_of` makes of the scaled weight; a layer has one kind."""
        if self.made is None:
            made = kernel_of(self.scaled, kind)
            self.made = made, made.detach().requires_grad_(made.requires_grad)
        return self.made[1]


class Prepared:
    """Layers whose weights are prepared."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        with torch.no_grad():
            scaled = torch._foreach_mul([layer.weight for layer in layers], [layer.scale for layer in layers])
        for layer, tensor in zip(layers, scaled, strict=True):
            layer.once = Once(tensor.requires_grad_(layer.weight.requires_grad))
        self.layers = layers

    def differentiate(self) -> None:
        """Turn the derivatives by what was prepared, summed over all passes, into those by the weights."""
        found: list[tuple[Layer, Tensor]] = []
        for layer in self.layers:
            if (once := layer.once) and once.made and once.made[1].grad is not None:
                once.made[0].backward(once.made[1].grad)
            if once and once.scaled.grad is not None:
                found.append((layer, once.scaled.grad))
        if found:
            grads = torch._foreach_mul([grad for _, grad in found], [layer.scale for layer, _ in found])
            for (layer, _), grad in zip(found, grads, strict=True):
                layer.weight.grad = grad


@contextmanager
def prepared(layers: Sequence[Layer]) -> Iterator[Prepared]:
    """Prepare the weights of layers for the passes of the context, in which they must not change."""
    try:
        yield Prepared(layers)
    finally:
        for layer in layers:
            layer.once = None
