"""Weights that are prepared once give the images, scores and gradients of weights that every pass prepares anew."""

from __future__ import annotations

import pytest
import torch

from mammogan.gan.losses import gradient_penalty
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.ops import once
from mammogan.gan.ops.once import prepared

SHAPE = Architecture(levels=3, latent=6, fmap_base=32, fmap_max=8)


@pytest.mark.parametrize("changes", [{}, {"fused": False}, {"resampling": "bilinear", "edge_levels": 2, "noise": True}])
def test_gradients_of_several_passes(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    shape = Architecture(**{**vars(SHAPE), **changes})  # type: ignore[arg-type]
    g, d = Generator(shape).double(), Discriminator(shape).double()
    z, mix = torch.randn(8, 6).double(), torch.rand(8).double()
    real = torch.randn(8, 1, *shape.size(1)).double()

    def passes() -> None:
        for half in (slice(4), slice(4, 8)):
            fake = g(z[half], 1, 0.3)
            (d(fake, 1, 0.3) - d(real[half], 1, 0.3).square()).sum().backward()
            penalty = gradient_penalty(lambda x, _: d(x, 1, 0.3), real[half], fake.detach(), z[:0], mix[half])
            penalty.sum().backward()

    passes()
    expected = [p.grad for network in (g, d) for p in network.parameters()]
    for network in (g, d):
        network.zero_grad()
    with prepared(g.layers(1)) as of_g, prepared(d.layers(1)) as of_d:
        passes()
        of_g.differentiate()
        of_d.differentiate()
    found = [p.grad for network in (g, d) for p in network.parameters()]
    assert any(grad is None for grad in expected)  # the level that has not grown
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
            assert one.stride() == other.stride()


def test_each_kernel_is_made_once_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    kernel_of = once.kernel_of
    monkeypatch.setattr(once, "kernel_of", lambda weight, kind: made.append(kind) or kernel_of(weight, kind))
    g, z = Generator(SHAPE), torch.randn(4, 6)
    alone = g(z, 2)
    with pytest.raises(ZeroDivisionError), prepared(g.layers(2)):
        torch.testing.assert_close(g(z, 2), alone)
        torch.testing.assert_close(g(z, 2), alone)
        assert made == ["up", "up"]
        raise ZeroDivisionError
    assert all(layer.once is None for layer in g.layers(2))
    with torch.no_grad():
        for parameter in g.parameters():
            parameter.mul_(2)
    assert not torch.allclose(g(z, 2), alone)
    assert made == ["up", "up"]


def test_frozen_layers_get_no_gradients() -> None:
    d = Discriminator(SHAPE).requires_grad_(False)
    image = torch.randn(4, 1, *SHAPE.size(2), requires_grad=True)
    with prepared(d.layers(2)) as weights:
        d(image, 2).sum().backward()
        weights.differentiate()
    assert image.grad is not None
    assert all(parameter.grad is None for parameter in d.parameters())
