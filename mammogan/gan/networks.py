"""Generator and discriminator of the progressively grown GAN (Karras et al. 2018), for a base grid of any shape.

The arithmetic is that of the authors' implementation (tkarras/progressive_growing_of_gans, commit 2504c3f;
networks.py), with (5 x 4) x 2^level pixels in place of squares. Axes: N images, C maps, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mammogan.errors import ParameterError
from mammogan.gan.ops.activation import EPS, activate, normalize_activated
from mammogan.gan.ops.conv2d_gradfix import Kind, convolve
from mammogan.gan.ops.once import Once
from mammogan.types import Size

GROUP = 4  # images over which D computes a standard deviation, networks.py:127


@dataclass(frozen=True)
class Architecture:
    """Shape of both networks.

    Attributes:
        base: size of level 0; the paper's 1280 x 1024 is 5 x 4 doubled eight times.
        levels: number of levels; level l has base x 2^l pixels.
        channels: channels of the image; 1 for gray, 2 for two views of one breast.
        latent: length of the latent vector.
        labels: length of the label vector that both networks receive; 0 for none.
        fmap_base, fmap_max: level l has min(fmap_base / 2^(l+1), fmap_max) feature maps (networks.py:150-167).
        fused: scale inside the convolution (True, the original's default) or as a step of its own.
        resampling: filters of doubling and halving, of `RESAMPLINGS`.
        edge_levels: number of last levels at which G's convolutions see the pixels of the edge again beyond it, not
            zeros; 0 is the original.
        noise: add noise to every map before its activation, with a learned strength per map (StyleGAN, Karras et al.
            2019, section 2).
        position_bias: the first layer has one bias per pixel, as in PyTorch ports, not one per map.
    """

    base: tuple[int, int] = Size(5, 4)
    levels: int = 9
    channels: int = 1
    latent: int = 512
    labels: int = 0
    fmap_base: int = 8192
    fmap_max: int = 512
    fused: bool = True
    resampling: str = "nearest"
    edge_levels: int = 0
    noise: bool = False
    position_bias: bool = False

    def maps(self, level: int) -> int:
        """Return the number of feature maps of a level; level -1 is the width of D's dense layer."""
        return max(min(self.fmap_base // 2 ** (level + 1), self.fmap_max), 1)

    def size(self, level: int) -> Size:
        """Return the size of a level, pixels."""
        return Size(self.base[0] * 2**level, self.base[1] * 2**level)

    def repeats_edge(self, level: int) -> bool:
        """Return whether G's convolutions of a level see the pixels of the edge again beyond it."""
        return level >= self.levels - self.edge_levels

    def fits(self, other: Architecture) -> bool:
        """Return whether networks of the other shape have the same weights; what lies beyond the edge has none."""
        return replace(self, edge_levels=other.edge_levels) == other

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Architecture:
        """Return the architecture from its fields, as JSON stores them."""
        return replace(cls(), **{**content, "base": Size(*content["base"])})


class Equalized(nn.Module):
    """Weights drawn from N(0, 1) and scaled at run time by gain / sqrt(fan in): equalized learning rate (4.1).

    The weight is (out, in) or (out, in, kh, kw); the gain is He's constant, sqrt(2), unless the original sets another;
    `bias` is the number of biases, default out, which are not scaled and 0 at the start.
    """

    def __init__(self, *shape: int, gain: float = math.sqrt(2), bias: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0] if bias is None else bias))
        self.scale = gain / math.sqrt(math.prod(shape[1:]))
        self.once: Once | None = None  # what was prepared for several passes

    @property
    def scaled(self) -> Tensor:
        """Weight as the layer uses it."""
        return self.once.scaled if self.once else self.weight * self.scale


class Dense(Equalized):
    """(N, in) -> (N, out)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled, self.bias)


class Conv(Equalized):
    """Convolution with zero padding that keeps H and W: (N, in, H, W) -> (N, out, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.scaled, self.bias)


class EdgeConv(Conv):
    """The same, but the pixels of the edge are repeated beyond it: (N, in, H, W) -> (N, out, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve_repeating_edge(x, self.scaled, self.bias)


def convolve_repeating_edge(
    x: Tensor, weight: Tensor, bias: Tensor, kind: Kind = "same", kernel: Callable[[Kind], Tensor] | None = None
) -> Tensor:
    """Convolve as `convolve` does, "same" or "up", with the pixels of the edge again beyond it in place of zeros."""
    for axis in (2, 3):  # by parts, since PyTorch's derivative of a padding is not deterministic on a GPU
        x = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, -1, 1)], axis)
    added = 2 if kind == "up" else 1
    return convolve(x, weight, bias, kind, kernel)[..., added:-added, added:-added]


class ScalingConv(Equalized):
    """A 3 x 3 convolution that changes the size, fused or as a step of its own."""

    def __init__(self, incoming: int, outgoing: int, architecture: Architecture) -> None:
        super().__init__(outgoing, incoming, 3, 3)
        self.fused, self.resampling = architecture.fused, RESAMPLINGS[architecture.resampling]

    @property
    def kernel(self) -> Callable[[Kind], Tensor] | None:
        """Kernel of the fused layer, where it is prepared."""
        return self.once.kernel if self.once else None


class UpConv(ScalingConv):
    """Doubling, then a 3 x 3 convolution: (N, in, H, W) -> (N, out, 2H, 2W).

    If fused, both are one transposed convolution with the 4 x 4 sum of the kernel's four shifts (networks.py:86-97);
    a filter follows.
    """

    def __init__(self, incoming: int, outgoing: int, architecture: Architecture, repeats_edge: bool = False) -> None:
        super().__init__(incoming, outgoing, architecture)
        self.convolve = convolve_repeating_edge if repeats_edge else convolve

    def forward(self, x: Tensor) -> Tensor:
        if not self.fused:
            return self.convolve(self.resampling.double(x), self.scaled, self.bias)
        return self.resampling.after_doubling(self.convolve(x, self.scaled, self.bias, "up", self.kernel))


class DownConv(ScalingConv):
    """A 3 x 3 convolution, activation and halving: (N, in, H, W) -> (N, out, H/2, W/2).

    If fused, convolution and halving are one convolution of stride 2 with the 4 x 4 mean of the kernel's four shifts,
    and activation follows (networks.py:104-115). Otherwise halving comes last (networks.py:245 and 255): the mean of
    activated pixels is not the activated mean, so these are two different functions, as in the original.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.fused:
            return self.resampling.halve(activate(convolve(x, self.scaled, self.bias)))
        return activate(convolve(self.resampling.before_halving(x), self.scaled, self.bias, "down", self.kernel))


def blur(x: Tensor) -> Tensor:
    """Filter by [1 2 1] / 4 along both axes; beyond the image its edge continues: (N, C, H, W) -> (N, C, H, W)."""
    return _Blur.apply(x)


class _Blur(torch.autograd.Function):
    """A symmetric linear function, also at the edge, so that it is its own derivative of every order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        row = x.new_tensor([1, 2, 1]) / 4
        kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
        with torch.autocast(x.device.type, enabled=False):  # real images keep their bits
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Blur.apply(gradient)


class Resampling(NamedTuple):
    """Functions of maps: after they were doubled by nearest neighbor, and before 2 x 2 pixels are averaged."""

    after_doubling: Callable[[Tensor], Tensor]
    before_halving: Callable[[Tensor], Tensor]

    def double(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        return self.after_doubling(x.repeat_interleave(2, 2).repeat_interleave(2, 3))

    def halve(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        return F.avg_pool2d(self.before_halving(x), 2)


# The original's; and the binomial filter of StyleGAN (Karras et al. 2019, section 2), which makes doubling bilinear and
# halving [1 3 3 1] / 8.
RESAMPLINGS = {"nearest": Resampling(lambda x: x, lambda x: x), "bilinear": Resampling(blur, blur)}


def normalize_latents(z: Tensor) -> Tensor:
    """Scale latent vectors to unit mean square (networks.py:120): (N, C) -> (N, C)."""
    return z * torch.rsqrt((z * z).mean(1, keepdim=True) + EPS)


def minibatch_stddev(x: Tensor) -> Tensor:
    """Append one map that holds the standard deviation over a group of images: (N, C, H, W) -> (N, C+1, H, W).

    A group consists of every (N / group)-th image, as in the original's reshape to [group, N / group], and its variance
    is biased (section 3; networks.py:127-139). ParameterError if N is larger than `GROUP` and not a multiple of it.
    """
    n = len(x)
    group = min(GROUP, n)
    if n % group:
        raise ParameterError(f"A minibatch of {n} is not divisible into groups of {group}; use a multiple of {group}.")
    return append_map(x, group_stddev(x.reshape(group, n // group, *x.shape[1:])).repeat(group))


def group_stddev(x: Tensor) -> Tensor:
    """Return the standard deviation over the images of each group, averaged over its maps: (4, G, C, H, W) -> (G,)."""
    return ((x - x.mean(0)).square().mean(0) + EPS).sqrt().mean((1, 2, 3))


def append_map(x: Tensor, values: Tensor) -> Tensor:
    """Append one map that is constant per image: (N, C, H, W) and (N,) -> (N, C+1, H, W)."""
    return torch.cat([x, values.to(x).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)


class Noise:
    """Normal noise of n images, a function of their seeds and of the layers drawn so far.

    Args:
        seeds: (n,) integers.
        device: device on which the noise is drawn; it draws other noise on another kind of device.
    """

    def __init__(self, seeds: Tensor, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.random = [torch.Generator(self.device).manual_seed(seed) for seed in seeds.tolist()]

    def __call__(self, height: int, width: int) -> Tensor:
        """Draw the noise of the next layer: (n, 1, height, width)."""
        return torch.stack([torch.randn(1, height, width, generator=r, device=self.device) for r in self.random])


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient.masked_fill(((x > 1) & (gradient < 0)) | ((x < -1) & (gradient > 0)), 0)


def clip(images: Tensor) -> Tensor:
    """Clip to [-1, 1], the gray levels that an image can have.

    The gradient passes, also of clipped pixels, unless a step against it would lead them further out.
    """
    return _Clip.apply(images)


class Generator(nn.Module):
    """Latent vectors (N, latent) -> images (N, channels, H, W), linear; black is -1 and white 1.

    Every level exists from the start; `forward` runs those up to its argument `level`.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        h, w = a.base
        # One bias per map, added after the reshape; the gain corrects the dense layer's fan-in (networks.py:184-186).
        biases = a.maps(0) * (h * w if a.position_bias else 1)
        self.dense = Dense(a.maps(0) * h * w, a.latent + a.labels, gain=math.sqrt(2) / 4, bias=biases)
        convs = [EdgeConv if a.repeats_edge(level) else Conv for level in range(a.levels)]
        self.first = convs[0](a.maps(0), a.maps(0), 3, 3)
        blocks = range(1, a.levels)
        self.up = nn.ModuleList(UpConv(a.maps(level - 1), a.maps(level), a, a.repeats_edge(level)) for level in blocks)
        self.conv = nn.ModuleList(convs[level](a.maps(level), a.maps(level), 3, 3) for level in blocks)
        self.to_image = nn.ModuleList(Conv(a.channels, a.maps(level), 1, 1, gain=1) for level in range(a.levels))
        if a.noise:  # two layers per level, which start without noise
            strengths = (nn.Parameter(torch.zeros(a.maps(layer // 2), 1, 1)) for layer in range(2 * a.levels))
            self.noise = nn.ParameterList(strengths)

    def forward(
        self,
        z: Tensor,
        level: int,
        alpha: float = 1.0,
        labels: Tensor | None = None,
        noise: Callable[[int, int], Tensor] | None = None,
    ) -> Tensor:
        """Draw images at `level`, 0 ... levels - 1, from normal vectors z (N, latent), which are normalized here.

        Alpha is the weight of the level's own image against the enlarged one of the level below, 1 after the fade.
        Labels (N, labels) are joined to z before normalization, as in the original (networks.py:180). `noise` (see
        `Noise`) is called with the size of each layer in turn; without it, a generator with noise draws none.
        """
        a = self.architecture
        h, w = a.base
        layers = iter(self.noise if a.noise and noise else ())
        eps = z.new_full((), EPS)

        def activated(x: Tensor) -> Tensor:
            if noise and (strength := next(layers, None)) is not None:
                x = torch.addcmul(x, strength.to(x), noise(*x.shape[2:]).to(x))
            return normalize_activated(x, eps)

        if labels is not None:
            z = torch.cat([z, labels.to(z)], 1)
        x = F.linear(normalize_latents(z), self.dense.scaled).reshape(-1, a.maps(0), h, w)
        x = activated(x + self.dense.bias.reshape(a.maps(0), *((h, w) if a.position_bias else (1, 1))))
        x = activated(self.first(x))
        below = None
        for stage in range(1, level + 1):
            if stage == level and alpha < 1:
                below = self.to_image[stage - 1](x)
            x = activated(self.up[stage - 1](x))
            x = activated(self.conv[stage - 1](x))
        image = self.to_image[level](x)
        return image if below is None else torch.lerp(RESAMPLINGS[a.resampling].double(below), image, alpha)

    def grown(self, level: int) -> list[Tensor]:
        """Return the weights of all levels up to `level`; later ones are as at the start."""
        strengths = [*self.noise[: 2 * (level + 1)]] if self.architecture.noise else []
        return [parameter for layer in self.layers(level) for parameter in layer.parameters()] + strengths

    def layers(self, level: int) -> list[Equalized]:
        """Return the layers of all levels up to `level`."""
        return [self.dense, self.first, *self.up[:level], *self.conv[:level], *self.to_image[: level + 1]]


class Discriminator(nn.Module):
    """Images (N, channels, H, W) -> scores (N,); large is real. Linear output, no normalization."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        h, w = a.base
        blocks = range(1, a.levels)
        self.from_image = nn.ModuleList(Conv(a.maps(level), a.channels, 1, 1) for level in range(a.levels))
        self.conv = nn.ModuleList(Conv(a.maps(level), a.maps(level), 3, 3) for level in blocks)
        self.down = nn.ModuleList(DownConv(a.maps(level), a.maps(level - 1), a) for level in blocks)
        self.last = Conv(a.maps(0), a.maps(0) + 1, 3, 3)
        self.dense = Dense(a.maps(-1), a.maps(0) * h * w)
        self.score = Dense(1, a.maps(-1), gain=1)
        if a.labels:
            self.embed = nn.Parameter(torch.randn(a.maps(-1), a.labels))

    def forward(
        self,
        image: Tensor,
        level: int,
        alpha: float = 1.0,
        labels: Tensor | None = None,
        with_stddev: Callable[[Tensor], Tensor] = minibatch_stddev,
    ) -> Tensor:
        """Score images of `level`; `alpha` and `labels` as in `Generator.forward`.

        Another function than `minibatch_stddev` is used where other processes have images of the same groups. Labels
        enter by projection (Miyato & Koyama 2018, equation 3). The original's auxiliary classifier rewards images that
        are typical of their class, which narrows the distribution that this project measures.
        """
        halve = RESAMPLINGS[self.architecture.resampling].halve
        x = activate(self.from_image[level](image))
        for stage in range(level, 0, -1):
            x = self.down[stage - 1](activate(self.conv[stage - 1](x)))
            if stage == level and alpha < 1:
                x = torch.lerp(activate(self.from_image[level - 1](halve(image))), x, alpha)
        x = activate(self.last(with_stddev(x)))
        x = activate(self.dense(x.flatten(1)))
        score = self.score(x).squeeze(1)
        if self.architecture.labels and labels is not None:
            score = score + (x * F.linear(labels.to(x), self.embed)).sum(1) / math.sqrt(x.shape[1])
        return score

    def layers(self, level: int) -> list[Equalized]:
        """Return the layers of all levels up to `level`."""
        ends = [*self.from_image[: level + 1], self.last, self.dense, self.score]
        return [*ends, *self.conv[:level], *self.down[:level]]
