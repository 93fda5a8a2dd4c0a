"""Convolutions against PyTorch's own: values and derivatives of the first and second order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mammogan.gan.cost import Counter
from mammogan.gan.ops import conv2d_gradfix, winograd


def plain(x: Tensor, weight: Tensor, bias: Tensor, kind: str) -> Tensor:
    """Doubling, convolution and halving one after the other, by PyTorch."""
    x = F.interpolate(x, scale_factor=2) if kind == "up" else x
    x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    return F.avg_pool2d(x, 2) if kind == "down" else x


def by_winograd(x: Tensor, weight: Tensor, bias: Tensor, kind: str) -> Tensor:
    return winograd.convolve(x, weight, kind) + bias.reshape(1, -1, 1, 1)


def with_derivatives(function, x: Tensor, weight: Tensor, bias: Tensor, kind: str) -> list[Tensor]:
    """Output, gradients, and gradients of a function of the gradients, as the penalty needs them."""
    y = function(x, weight, bias, kind)
    first = torch.autograd.grad(y.square().sum() + y.sin().sum(), (x, weight, bias), create_graph=True)
    norms = sum(g.square().sum() + g.sin().sum() for g in first)
    return [y, *first, *torch.autograd.grad(norms, (x, weight, bias))]


@pytest.mark.parametrize("function", [conv2d_gradfix.convolve, by_winograd])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kind", "size"), [("same", 3), ("same", 1), ("up", 3), ("down", 3)])
def test_values_and_two_derivatives_are_pytorchs(function, layout, kind, size):
    if size == 1 and function is by_winograd:
        pytest.skip("Winograd is for kernels of 3 x 3")
    random = torch.Generator().manual_seed(3)
    x = torch.randn(3, 5, 8, 12, generator=random, dtype=torch.float64).contiguous(memory_format=layout)
    weight = torch.randn(7, 5, size, size, generator=random, dtype=torch.float64)
    bias = torch.randn(7, generator=random, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    ours, theirs = (with_derivatives(f, *inputs, kind) for f in (function, plain))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11 * float(b.detach().abs().max()))


def test_wide_layers_on_a_processor_take_winograd_and_narrow_ones_do_not(monkeypatch):
    taken = []

    def seen(x, weight, kind):
        taken.append((len(weight), kind, x.shape[2]))
        return plain(x, weight, None, kind)

    monkeypatch.setattr(winograd, "convolve", seen)
    wide = conv2d_gradfix.NARROWEST
    fitting = [(wide, "same", 4), (wide, "up", 2), (wide, "down", 4)]
    for width, kind, rows in [*fitting, (wide - 1, "same", 4), (wide, "same", 5)]:
        conv2d_gradfix.convolve(torch.randn(1, wide, rows, 4), torch.randn(width, wide, 3, 3), torch.zeros(width), kind)
    with conv2d_gradfix.plain_convolutions():
        conv2d_gradfix.convolve(torch.randn(1, wide, 4, 4), torch.randn(wide, wide, 3, 3), torch.zeros(wide))
    assert taken == fitting


def test_gradients_of_images_alone_compute_none_of_weights():
    """Else a penalty would pay for one more derivative by every weight, and throw it away."""
    x, weight = torch.randn(1, 4, 8, 8, requires_grad=True), torch.randn(4, 4, 3, 3, requires_grad=True)
    y = conv2d_gradfix.convolve(x, weight, torch.zeros(4)).square().sum()
    with Counter() as counter, conv2d_gradfix.no_weight_gradients():
        (gradient,) = torch.autograd.grad(y, x, create_graph=True)
    assert counter.flop == 2 * 9 * 4 * 4 * 64
    assert torch.autograd.grad(gradient.square().sum(), weight)[0].abs().sum() > 0


def test_half_precision_reaches_the_convolution_and_its_gradient():
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    weight, bias = torch.randn(6, 4, 3, 3, requires_grad=True), torch.zeros(6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv2d_gradfix.convolve(x, weight, bias, "down")
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert {tensor.grad.dtype for tensor in (x, weight, bias)} == {torch.float32}
