"""Convolutions whose derivatives of every order are convolutions again: the gradient penalty differentiates twice.

PyTorch computes the second derivative by the weights as a convolution with a kernel of the image's size, for which no
library has fast code. It is also a first derivative by other arguments, so the two functions below are closed under
differentiation and need nothing else. Idea and name: conv2d_gradfix.py of StyleGAN2-ADA (Karras et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_weight

from mammogan.gan.ops import Context, winograd

Kind = Literal["same", "up", "down"]

# Maps from which fewer multiplications outweigh the transforms; benchmarks/convolution.py measures it.
NARROWEST = 256
_switches = {"plain_convolutions": False, "no_weight_gradients": False}


@contextmanager
def _switched_on(name: str) -> Iterator[None]:
    before, _switches[name] = _switches[name], True
    try:
        yield
    finally:
        _switches[name] = before


def plain_convolutions() -> AbstractContextManager[None]:
    """Avoid Winograd's convolutions inside the context, to count or to compare."""
    return _switched_on("plain_convolutions")


def no_weight_gradients() -> AbstractContextManager[None]:
    """Compute no derivatives by weights inside the context; a function cannot see that autograd.grad needs none."""
    return _switched_on("no_weight_gradients")


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor, kind: Kind = "same", kernel: Callable[[Kind], Tensor] | None = None
) -> Tensor:
    """Convolve x (N, in, H, W) with a weight (out, in, k, k), k 1 or 3, and zero padding.

    "same" returns (N, out, H, W); "up", (N, out, 2H, 2W): each pixel is repeated twice in both axes before; "down",
    (N, out, H/2, W/2): 2 x 2 pixels are averaged after. These two, of k 3, are one strided convolution with the 4 x 4
    sum of the kernel's four shifts, see `kernel_of`, which `kernel` returns where it is at hand.
    """
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    wide = min(weight.shape[:2]) >= NARROWEST and x.dtype == torch.float32 and not x.is_cuda
    if wide and not _switches["plain_convolutions"] and winograd.fits(x, weight, kind):
        return winograd.convolve(x, weight, kind) + bias.reshape(1, -1, 1, 1)
    if kind != "same":
        weight = kernel(kind) if kernel else kernel_of(weight, kind)
    if torch.is_autocast_enabled(x.device.type):
        weight, bias = weight.to(x), bias.to(x)
    return _Convolution.apply(x, weight, bias, 1 if kind == "same" else 2, kind == "up")


def kernel_of(weight: Tensor, kind: Kind) -> Tensor:
    """Return the kernel of the strided convolution that "up" or "down" is, in the layout of its operation."""
    if kind == "down":
        return four_shifts(weight, mean=True)
    # A transposed convolution correlates with the kernel flipped in both axes, hence the flip.
    return four_shifts(weight.flip(2, 3).transpose(0, 1))


def four_shifts(kernel: Tensor, mean: bool = False) -> Tensor:
    """Sum, or average, the placements of a 3 x 3 kernel at the four corners of a 4 x 4 one: (o, i, 4, 4)."""
    return F.avg_pool2d(kernel, 2, stride=1, padding=1, divisor_override=None if mean else 1)


class _Convolution(Function):
    """conv2d, or its transpose, of (x, weight, bias or None); kernels of 1, 3 and 4 are padded by 0, 1 and 1."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.transposed = stride, transposed
        operation = F.conv_transpose2d if transposed else F.conv2d
        return operation(x, weight, bias, stride=stride, padding=(weight.shape[-1] - 1) // 2)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        by_x = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_x = _Convolution.apply(grad, weight, None, ctx.stride, not ctx.transposed)
        if ctx.needs_input_grad[1] and not _switches["no_weight_gradients"]:
            into, out = (grad, x) if ctx.transposed else (x, grad)
            by_weight = _ByWeight.apply(into, out, weight.shape, ctx.stride)
        if ctx.needs_input_grad[2] and not _switches["no_weight_gradients"]:
            by_bias = grad.sum((0, 2, 3))
        return by_x, by_weight, by_bias, None, None


class _ByWeight(Function):
    """Derivative of sum(conv2d(x, weight) * grad) by the weight: bilinear in x and grad."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, grad: Tensor, shape: torch.Size, stride: int) -> Tensor:
        ctx.save_for_backward(x, grad)
        ctx.stride = stride
        return conv2d_weight(x, shape, grad, stride=stride, padding=(shape[-1] - 1) // 2)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (weight,), (x, grad) = grads, ctx.saved_tensors
        by_x = _Convolution.apply(grad, weight, None, ctx.stride, True) if ctx.needs_input_grad[0] else None
        by_grad = _Convolution.apply(x, weight, None, ctx.stride, False) if ctx.needs_input_grad[1] else None
        return by_x, by_grad, None, None
