"""Leaky ReLU and pixel norm whose derivatives keep and move as few maps as possible."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mammogan.gan.ops import Context

LEAK = 0.2  # slope of leaky ReLU, networks.py:47 of the original
EPS = 1e-8  # networks.py:120
SQUARED_APART = ("cpu",)  # devices on which a product and a sum over maps are faster than a norm over maps


def activate(x: Tensor) -> Tensor:
    """Apply leaky ReLU; differentiable any number of times.

    PyTorch's keeps the input, and its second derivative by the input is a map of zeros that is added to others.
    """
    return _LeakyReLU.apply(x)


class _LeakyReLU(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        y = F.leaky_relu(x, LEAK)
        ctx.save_for_backward(y)  # of the sign of x
        return y

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> Tensor:
        return _Slope.apply(grads[0], ctx.saved_tensors[0].detach())


class _Slope(Function):
    """Product with the slope of leaky ReLU at y, linear in the first argument, constant in the second."""

    @staticmethod
    def forward(ctx: Context, grad: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return torch.ops.aten.leaky_relu_backward(grad, y, LEAK, True)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor, None]:
        return _Slope.apply(grads[0], ctx.saved_tensors[0]), None


def normalize_activated(x: Tensor, eps: Tensor) -> Tensor:
    """Apply leaky ReLU, then scale each pixel's vector of maps to unit mean square (4.2): (N, C, H, W).

    Differentiable once: only D's penalty differentiates twice, and G is no part of it. `eps` is `EPS` on the device, of
    the type of sums, which spares a kernel in each layer.
    """
    return _NormalizedLeakyReLU.apply(x, eps)


class _NormalizedLeakyReLU(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, eps: Tensor) -> Tensor:
        y = F.leaky_relu(x, LEAK)
        kind = torch.promote_types(y.dtype, torch.float32)
        if y.device.type in SQUARED_APART:
            square = (y * y).mean(1, keepdim=True, dtype=kind) + EPS
        else:
            norm = torch.linalg.vector_norm(y, dim=1, keepdim=True, dtype=kind)
            square = torch.addcmul(eps, norm, norm, value=1 / y.shape[1])
        root = torch.rsqrt(square).to(y)
        y.mul_(root)
        ctx.save_for_backward(y, root)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,), (y, root) = grads, ctx.saved_tensors
        kind = torch.promote_types(y.dtype, torch.float32)
        along = (grad * y).mean(1, keepdim=True, dtype=kind).to(y)
        across = torch.addcmul(grad, y, along, value=-1).mul_(root)
        return torch.ops.aten.leaky_relu_backward(across, y, LEAK, True), None
