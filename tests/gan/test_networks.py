"""Generator and discriminator against a slow, plain reference in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mammogan.errors import ParameterError
from mammogan.gan.dataset import blend
from mammogan.gan.networks import (
    Architecture,
    Discriminator,
    DownConv,
    Generator,
    Noise,
    UpConv,
    blur,
    clip,
    minibatch_stddev,
)

TINY = Architecture(base=(5, 4), levels=3, latent=6, fmap_base=32, fmap_max=8)


def lrelu(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def norm(x: torch.Tensor) -> torch.Tensor:
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-8)


def plain_conv(layer: nn.Module, x: torch.Tensor, gain: float = 2**0.5, beyond: str = "constant") -> torch.Tensor:
    """A convolution by its definition: weight scaled, then a sum over shifted copies."""
    weight = layer.weight * gain / np.sqrt(layer.weight[0].numel())
    reach = weight.shape[-1] // 2
    padded = F.pad(x, (reach,) * 4, mode=beyond)
    h, w = x.shape[2:]
    out = 0
    for dy in range(weight.shape[2]):
        for dx in range(weight.shape[3]):
            out = out + torch.einsum("nchw,oc->nohw", padded[:, :, dy : dy + h, dx : dx + w], weight[:, :, dy, dx])
    return out


def bias(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return x + layer.bias.reshape(1, -1, 1, 1)


def grow(x: torch.Tensor, resampling: str = "nearest") -> torch.Tensor:
    """Pixels twice as large; bilinear: 3/4 of the nearest pixel and 1/4 of the next one along each axis."""
    if resampling == "nearest":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    for axis in (2, 3):
        n = x.shape[axis]
        before, after = (x.index_select(axis, (torch.arange(n) + step).clamp(0, n - 1)) for step in (-1, 1))
        pair = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.flatten(axis, axis + 1)
    return x


def smooth(x: torch.Tensor) -> torch.Tensor:
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    weights = torch.tensor([1, 2, 1]) / 4
    h, w = x.shape[2:]
    shifted = [(a * b, padded[..., i : i + h, j : j + w]) for i, a in enumerate(weights) for j, b in enumerate(weights)]
    return sum(weight * part for weight, part in shifted)


def shrink(x: torch.Tensor, resampling: str = "nearest") -> torch.Tensor:
    if resampling == "nearest":
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))
    for axis in (2, 3):
        n = x.shape[axis]
        taps = [(torch.arange(0, n, 2) + step).clamp(0, n - 1) for step in (-1, 0, 1, 2)]
        x = sum(w / 8 * x.index_select(axis, tap) for w, tap in zip((1, 3, 3, 1), taps, strict=True))
    return x


def plain_generator(
    g: Generator, z: torch.Tensor, level: int, alpha: float, noise: list[torch.Tensor] | None = None
) -> torch.Tensor:
    maps, (h, w), kind = g.architecture.maps(0), g.architecture.base, g.architecture.resampling
    fused = g.architecture.fused
    # What lies beyond the edge at each level: zeros, or its pixels again.
    beyond = ["constant"] * (g.architecture.levels - g.architecture.edge_levels) + ["replicate"] * 9
    layer = iter(range(2 * g.architecture.levels))

    def noisy(x: torch.Tensor) -> torch.Tensor:
        k = next(layer)
        return x + g.noise[k].reshape(1, -1, 1, 1) * noise[k] if noise else x

    weight = g.dense.weight * (2**0.5 / 4) / np.sqrt(g.architecture.latent)
    x = (norm(z) @ weight.T).reshape(-1, maps, h, w)
    x = norm(lrelu(noisy(bias(g.dense, x))))
    x = norm(lrelu(noisy(bias(g.first, plain_conv(g.first, x, beyond=beyond[0])))))
    pictures = [bias(g.to_image[0], plain_conv(g.to_image[0], x, 1))]
    for stage in range(level):
        # Fused, the filter follows the convolution: the two commute but at the edges.
        x = grow(x, "nearest" if fused else kind)
        x = bias(g.up[stage], plain_conv(g.up[stage], x, beyond=beyond[stage + 1]))
        x = norm(lrelu(noisy(smooth(x) if fused and kind == "bilinear" else x)))
        x = norm(lrelu(noisy(bias(g.conv[stage], plain_conv(g.conv[stage], x, beyond=beyond[stage + 1])))))
        pictures.append(bias(g.to_image[stage + 1], plain_conv(g.to_image[stage + 1], x, 1)))
    return pictures[level] if level == 0 else (1 - alpha) * grow(pictures[level - 1], kind) + alpha * pictures[level]


def plain_stddev(x: torch.Tensor, size: int = 4) -> torch.Tensor:
    n = len(x)
    size = min(size, n)
    groups = n // size
    maps = torch.zeros(n, 1, *x.shape[2:], dtype=x.dtype)
    for g in range(groups):
        members = list(range(g, n, groups))  # strided, as the original's reshape to [group, N / group]
        part = x[members]
        maps[members] = torch.sqrt(((part - part.mean(0)) ** 2).mean(0) + 1e-8).mean()
    return torch.cat([x, maps], 1)


def plain_discriminator(d: Discriminator, image: torch.Tensor, level: int, alpha: float) -> torch.Tensor:
    kind = d.architecture.resampling
    x = lrelu(bias(d.from_image[level], plain_conv(d.from_image[level], image)))
    for stage in range(level, 0, -1):
        x = lrelu(bias(d.conv[stage - 1], plain_conv(d.conv[stage - 1], x)))
        if d.architecture.fused and kind == "bilinear":
            x = smooth(x)
        x = plain_conv(d.down[stage - 1], x)
        if d.architecture.fused:  # halving inside the convolution, the activation after it
            x = lrelu(bias(d.down[stage - 1], shrink(x)))
        else:
            x = shrink(lrelu(bias(d.down[stage - 1], x)), kind)
        if stage == level:
            below = d.from_image[level - 1]
            x = alpha * x + (1 - alpha) * lrelu(bias(below, plain_conv(below, shrink(image, kind))))
    x = lrelu(bias(d.last, plain_conv(d.last, plain_stddev(x))))
    x = lrelu(x.flatten(1) @ (d.dense.weight * (2 / d.dense.weight.shape[1]) ** 0.5).T + d.dense.bias)
    return (x @ (d.score.weight / d.score.weight.shape[1] ** 0.5).T + d.score.bias)[:, 0]


@pytest.mark.parametrize("edge_levels", [0, 1, 3])
@pytest.mark.parametrize(("fused", "resampling"), list(product((True, False), ("nearest", "bilinear"))))
@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (1, 0.0), (1, 0.4), (2, 0.7), (2, 1.0)])
def test_networks_equal_the_plain_reference(
    fused: bool, resampling: str, edge_levels: int, level: int, alpha: float
) -> None:
    torch.manual_seed(0)
    architecture = replace(TINY, fused=fused, resampling=resampling, edge_levels=edge_levels)
    g, d = Generator(architecture).double(), Discriminator(architecture).double()
    for parameter in [*g.parameters(), *d.parameters()]:
        nn.init.normal_(parameter)  # biases too: zeros would hide where they are added
    z = torch.randn(8, 6, dtype=torch.float64)
    image = g(z, level, alpha)
    assert image.shape == (8, 1, *architecture.size(level))
    torch.testing.assert_close(image, plain_generator(g, z, level, alpha), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        d(image, level, alpha), plain_discriminator(d, image, level, alpha), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (2, 0.7)])
def test_noise_enters_before_every_activation(level: int, alpha: float) -> None:
    torch.manual_seed(0)
    g = Generator(replace(TINY, noise=True)).double()
    z, drawn = torch.randn(2, 6, dtype=torch.float64), []

    def noise(height: int, width: int) -> torch.Tensor:
        drawn.append(torch.randn(2, 1, height, width, dtype=torch.float64))
        return drawn[-1]

    assert torch.equal(g(z, level, alpha, noise=noise), g(z, level, alpha))  # its strength is 0 at first
    for parameter in g.parameters():
        nn.init.normal_(parameter)
    drawn.clear()
    image = g(z, level, alpha, noise=noise)
    assert len(drawn) == 2 * level + 2
    torch.testing.assert_close(image, plain_generator(g, z, level, alpha, drawn), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(g(z, level, alpha), plain_generator(g, z, level, alpha), rtol=1e-11, atol=1e-11)


def test_noise_depends_on_the_image_alone() -> None:
    both, one = Noise(torch.tensor([3, 2**62 - 1])), Noise(torch.tensor([2**62 - 1]))
    for size in ((5, 4), (5, 4), (80, 64)):
        pair = both(*size)
        assert torch.equal(pair[1:], one(*size))
    assert abs(float(pair.mean())) < 0.05
    assert abs(float(pair.std()) - 1) < 0.05
    assert abs(float(torch.corrcoef(pair.flatten(1))[0, 1])) < 0.05


def test_the_filter_has_derivatives_of_every_order_and_keeps_the_bits_of_real_images() -> None:
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(blur(x), smooth(x))
    weights = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    for function in (lambda x: blur(x) * weights, lambda x: (blur(x) * weights).square()):
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)
    real = torch.rand(2, 1, 20, 16)
    with torch.autocast("cpu", torch.bfloat16):
        faded = blend(real, 0.5, "bilinear")
    assert torch.equal(faded, blend(real, 0.5, "bilinear"))


def test_clipped_pixels_may_come_back() -> None:
    x = torch.tensor([-2.0, -2.0, 0.5, 2.0, 2.0], requires_grad=True)
    y = clip(x)
    assert y.tolist() == [-1, -1, 0.5, 1, 1]
    (gradient,) = torch.autograd.grad((y * torch.tensor([1.0, -1.0, 3.0, 1.0, -1.0])).sum(), x)
    # A step against the gradient leads -2 and 2 back inside, or not at all.
    assert gradient.tolist() == [0, -1, 3, 1, 0]


def test_fused_scaling_is_scaling_and_convolution() -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 10, 8, dtype=torch.float64)
    for repeats_edge in (False, True):
        fused, plain = (UpConv(3, 5, replace(TINY, fused=fused), repeats_edge).double() for fused in (True, False))
        plain.load_state_dict(fused.state_dict())
        torch.testing.assert_close(fused(x), plain(x), rtol=1e-12, atol=1e-12)
    # Halving and convolving commute; halving and activating do not.
    fused, plain = (DownConv(3, 5, replace(TINY, fused=fused)).double() for fused in (True, False))
    plain.load_state_dict(fused.state_dict())
    torch.testing.assert_close(fused(x), lrelu(shrink(plain_conv(fused, x))), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(plain(x), shrink(lrelu(plain_conv(plain, x))), rtol=1e-12, atol=1e-12)
    assert (fused(x) - plain(x)).abs().max() > 0.01


def test_an_even_image_stays_even_where_the_edge_is_repeated() -> None:
    torch.manual_seed(0)
    for edge_levels, is_even in ((3, True), (0, False)):
        g = Generator(replace(TINY, edge_levels=edge_levels, position_bias=False)).double()
        nn.init.zeros_(g.dense.weight)  # the same in every pixel
        for parameter in g.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter)
        image = g(torch.randn(1, 6, dtype=torch.float64), 2)
        assert (image.std().item() < 1e-12) == is_even


def test_stddev_groups_are_strided() -> None:
    x = torch.randn(8, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(minibatch_stddev(x), plain_stddev(x))
    with pytest.raises(ParameterError, match="multiple of 4"):
        minibatch_stddev(x[:6])


def test_labels_reach_both_networks() -> None:
    torch.manual_seed(0)
    architecture = Architecture(levels=2, latent=6, labels=2, fmap_base=32, fmap_max=8)
    g, d = Generator(architecture).double(), Discriminator(architecture).double()
    z = torch.randn(4, 6, dtype=torch.float64)
    one, other = (torch.eye(2, dtype=torch.float64)[[k] * 4] for k in (0, 1))
    # The same weights without labels, given latents and labels joined.
    plain = Generator(Architecture(levels=2, latent=8, fmap_base=32, fmap_max=8)).double()
    plain.load_state_dict(g.state_dict())
    torch.testing.assert_close(g(z, 1, 0.3, one), plain(torch.cat([z, one], 1), 1, 0.3))
    image = g(z, 1, 1.0, one)
    assert (image - g(z, 1, 1.0, other)).abs().max() > 1e-3
    # Miyato & Koyama 2018, equation 3: scores of two labels differ by a linear function of D's last features.
    blind = Discriminator(Architecture(levels=2, latent=6, fmap_base=32, fmap_max=8)).double()
    blind.load_state_dict({k: v for k, v in d.state_dict().items() if k != "embed"})
    features = []
    blind.score.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    base = blind(image, 1)
    for k, labels in enumerate((one, other)):
        expected = base + features[0] @ d.embed[:, k] / d.embed.shape[0] ** 0.5
        torch.testing.assert_close(d(image, 1, 1.0, labels), expected)
