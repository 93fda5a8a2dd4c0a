"""Rounding of Winograd's convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mammogan.gan.ops import winograd


def plain(x: Tensor, weight: Tensor, bias: Tensor, kind: str) -> Tensor:
    """Doubling, convolution and halving one after the other, by PyTorch."""
    x = F.interpolate(x, scale_factor=2) if kind == "up" else x
    x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    return F.avg_pool2d(x, 2) if kind == "down" else x


@pytest.mark.parametrize("kind", ["same", "up", "down"])
def test_rounding_in_float32(kind):
    random = torch.Generator().manual_seed(4)
    x, weight = torch.randn(2, 256, 16, 16, generator=random), torch.randn(256, 256, 3, 3, generator=random)
    exact = plain(x.double(), weight.double(), torch.zeros(256, dtype=torch.float64), kind)
    error = winograd.convolve(x, weight, kind) - exact
    assert 1e-8 < error.std() / exact.std() < 1e-5
