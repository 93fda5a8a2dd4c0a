"""The converter against GAN zoo's networks, written plainly from their published definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gan_zoo import from_gan_zoo, kernel_of_transposed

from mammogan.errors import RunError
from mammogan.gan.networks import Discriminator, Generator

WIDTHS, LATENT = [8, 8, 4], 6
State = dict[str, torch.Tensor]


def layers(names: dict[str, tuple[int, ...]], seed: int) -> State:
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in names.items():
        state[f"{name}.module.weight"] = torch.randn(shape, generator=random, dtype=torch.float64)
        state[f"{name}.module.bias"] = torch.randn(shape[0], generator=random, dtype=torch.float64)
    return state


@pytest.fixture
def generator() -> State:
    names = {"formatLayer": (16 * WIDTHS[0], LATENT), "groupScale0.0": (WIDTHS[0], WIDTHS[0], 3, 3)}
    for level, width in enumerate(WIDTHS):
        names[f"toRGBLayers.{level}"] = (1, width, 1, 1)
        if level:
            names[f"scaleLayers.{level - 1}.0"] = (width, WIDTHS[level - 1], 3, 3)
            names[f"scaleLayers.{level - 1}.1"] = (width, width, 3, 3)
    return layers(names, 1)


@pytest.fixture
def discriminator() -> State:
    w = WIDTHS[0]
    names = {"groupScaleZero.0": (w, w + 1, 3, 3), "groupScaleZero.1": (w, 16 * w), "decisionLayer": (1, w)}
    for level, width in enumerate(WIDTHS):
        names[f"fromRGBLayers.{level}"] = (width, 1, 1, 1)
        if level:
            names[f"scaleLayers.{level - 1}.0"] = (width, width, 3, 3)
            names[f"scaleLayers.{level - 1}.1"] = (WIDTHS[level - 1], width, 3, 3)
    return layers(names, 2)


def theirs(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    """ConstrainedLayer.forward: the scale multiplies weight and bias."""
    weight, bias = state[f"{name}.module.weight"], state[f"{name}.module.bias"]
    y = F.linear(x, weight, bias) if weight.ndim == 2 else F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    return y * (2 / weight[0].numel()) ** 0.5


def lrelu(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.2)


def norm(x: torch.Tensor) -> torch.Tensor:
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def gnet(state: State, z: torch.Tensor) -> torch.Tensor:
    x = norm(lrelu(theirs(state, "formatLayer", norm(z))).reshape(len(z), -1, 4, 4))
    x = norm(lrelu(theirs(state, "groupScale0.0", x)))
    for level in range(1, len(WIDTHS)):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        for part in (0, 1):
            x = norm(lrelu(theirs(state, f"scaleLayers.{level - 1}.{part}", x)))
    return theirs(state, f"toRGBLayers.{len(WIDTHS) - 1}", x)


def dnet(state: State, image: torch.Tensor) -> torch.Tensor:
    x = lrelu(theirs(state, f"fromRGBLayers.{len(WIDTHS) - 1}", image))
    for level in range(len(WIDTHS) - 1, 0, -1):
        for part in (0, 1):
            x = lrelu(theirs(state, f"scaleLayers.{level - 1}.{part}", x))
        x = F.avg_pool2d(x, 2)
    deviation = (x.var(0) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
    x = lrelu(theirs(state, "groupScaleZero.0", x)).flatten(1)
    return theirs(state, "decisionLayer", lrelu(theirs(state, "groupScaleZero.1", x)))[:, 0]


def test_converted_networks_compute_the_same(generator: State, discriminator: State) -> None:
    architecture, g_state, d_state = from_gan_zoo(generator, discriminator)
    assert [architecture.maps(level) for level in range(3)] == WIDTHS
    g, d = Generator(architecture).double(), Discriminator(architecture).double()
    g.load_state_dict(g_state)
    d.load_state_dict(d_state)
    z = torch.randn(4, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    images = gnet(generator, z)
    torch.testing.assert_close(g(z, 2), images, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d(images, 2), dnet(discriminator, images), rtol=1e-7, atol=1e-7)


def test_kernels_of_transposed_convolutions_are_flipped() -> None:
    x, weight = torch.randn(2, 3, 6, 5, dtype=torch.float64), torch.randn(3, 4, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(
        F.conv2d(x, kernel_of_transposed(weight), padding=1), F.conv_transpose2d(x, weight, padding=1)
    )


def test_other_weights_are_refused(generator: State, discriminator: State) -> None:
    with pytest.raises(RunError, match="not the weights of a GNet"):
        from_gan_zoo({"layers.0.conv_1.weight": torch.zeros(1)})
    broken = {**generator, "toRGBLayers.1.module.weight": torch.zeros(1, 5, 1, 1)}
    with pytest.raises(RunError, match="Widths of"):
        from_gan_zoo(broken)
    del discriminator["groupScaleZero.1.module.bias"]
    with pytest.raises(RunError, match=r"lack groupScaleZero\.1"):
        from_gan_zoo(generator, discriminator)
