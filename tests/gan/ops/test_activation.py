"""Leaky ReLU and pixel norm against PyTorch's own operations, derivatives included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mammogan.gan.ops import activation
from mammogan.gan.ops.activation import EPS, LEAK, activate, normalize_activated


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)


def normalized(x: torch.Tensor) -> torch.Tensor:
    return normalize_activated(x, torch.tensor(EPS, dtype=torch.float64))


def test_leaky_relu_and_both_of_its_derivatives(maps: torch.Tensor) -> None:
    torch.testing.assert_close(activate(maps), F.leaky_relu(maps, LEAK), rtol=0, atol=0)
    assert torch.autograd.gradcheck(activate, maps)
    assert torch.autograd.gradgradcheck(activate, maps)


def test_its_second_derivative_by_the_maps_is_left_out(maps: torch.Tensor) -> None:
    """PyTorch adds a map of zeros to the gradient of every layer."""
    for function, is_left_out in ((activate, True), (lambda x: F.leaky_relu(x, LEAK), False)):
        by = torch.ones_like(maps, requires_grad=True)
        (first,) = torch.autograd.grad(function(maps), maps, by, create_graph=True)
        second, of_by = torch.autograd.grad(first.sum(), (maps, by), allow_unused=True)
        assert (second is None) == is_left_out
        torch.testing.assert_close(of_by, torch.where(maps > 0, 1.0, LEAK).detach().double())


@pytest.mark.parametrize("squared_apart", [("cpu",), ()])
def test_pixels_have_unit_mean_square(
    maps: torch.Tensor, monkeypatch: pytest.MonkeyPatch, squared_apart: tuple[str, ...]
) -> None:
    monkeypatch.setattr(activation, "SQUARED_APART", squared_apart)
    y = normalized(maps)
    x = F.leaky_relu(maps, LEAK)
    torch.testing.assert_close(y, x / (x.square().mean(1, keepdim=True) + EPS).sqrt(), rtol=1e-14, atol=1e-14)
    assert torch.autograd.gradcheck(normalized, maps)
    small = 1e-5 * maps.detach().requires_grad_()  # where the constant counts
    assert torch.autograd.gradcheck(normalized, small, eps=1e-9, atol=1e-3, rtol=1e-4)
    dark = torch.zeros(1, 3, 2, 2, requires_grad=True)
    normalized(dark).sum().backward()
    assert dark.grad.isfinite().all()


def test_a_second_derivative_of_pixel_norm_is_refused_and_not_wrong(maps: torch.Tensor) -> None:
    (first,) = torch.autograd.grad(normalized(maps).sin().sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maps_keep_their_type(maps: torch.Tensor, dtype: torch.dtype) -> None:
    x = maps.detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = normalized(activate(x))
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    exact = normalized(activate(maps)).to(dtype)
    torch.testing.assert_close(y, exact, rtol=0.02 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
