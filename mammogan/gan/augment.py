"""Adaptive discriminator augmentation for few images (Karras et al. 2020, "Training GANs with limited data").

Both networks see every image through the same random changes, each applied with probability p. While p is well below 1,
G cannot gain by imitating the changes, and its own images are free of them (section 2.2).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_P = 0.8  # above it the changes leak into the images (figure 4)
BLACK = -1.0


def draw(count: int, p: float, random: torch.Generator) -> Tensor:
    """Draw random changes of `count` images: (count, 8).

    Mirroring, rotation, scale, aspect, shift along rows and columns, contrast and brightness, each left out with
    probability 1 - p; the ranges are those of the paper's table 3, without its color operations. Both
    views of a pair change alike.
    """
    use = torch.rand(count, 7, generator=random) < p
    flip = torch.where(use[:, 0] & (torch.rand(count, generator=random) < 0.5), -1.0, 1.0)
    angle = (torch.rand(count, generator=random) * 2 - 1) * math.pi * use[:, 1]
    scale = torch.exp2(0.2 * torch.randn(count, generator=random) * use[:, 2])
    aspect = torch.exp2(0.2 * torch.randn(count, generator=random) * use[:, 3])
    shift = 0.125 * torch.randn(count, 2, generator=random) * use[:, 4, None]
    contrast = torch.exp2(0.5 * torch.randn(count, generator=random) * use[:, 5])
    brightness = 0.2 * torch.randn(count, generator=random) * use[:, 6]
    return torch.cat([torch.stack([flip, angle, scale, aspect], 1), shift, torch.stack([contrast, brightness], 1)], 1)


def apply(images: Tensor, changes: Tensor) -> Tensor:
    """Change images (N, C, H, W), black at -1; differentiable. What comes from outside of the image is black.

    One affine map per image, resampled bilinearly, in pixels of equal sides: nothing is sheared.
    """
    flip, angle, scale, aspect, down, right, contrast, brightness = changes.to(images).unbind(1)
    h, w = images.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # Output to input, in coordinates that run from -1 to 1 along each side: rotation needs the sides' ratio. Sums are
    # written out: the product of matrices in torch's affine_grid is rounded where half precision or TF32 is allowed.
    y, x = ((torch.arange(n, device=images.device, dtype=images.dtype) * 2 + 1) / n - 1 for n in (h, w))

    def coordinate(by_x: Tensor, by_y: Tensor, shift: Tensor) -> Tensor:
        return by_x[:, None, None] * x + by_y[:, None, None] * y[:, None] + shift[:, None, None]

    x_scale, y_scale = flip / (scale * aspect), aspect / scale
    across = coordinate(cos * x_scale, sin * y_scale * (h / w), 2 * right)
    along = coordinate(-sin * x_scale * (w / h), cos * y_scale, 2 * down)
    grid = torch.stack([across, along], 3)
    moved = F.grid_sample(images - BLACK, grid, align_corners=False) + BLACK
    return moved * contrast[:, None, None, None] + brightness[:, None, None, None]


def adapt(p: float, overfit: float, target: float, images: int, length: int) -> float:
    """Return the next p: it rises while D overfits more than `target` and falls while it overfits less (section 3).

    Overfitting is r_v, equation 1 of section 3; `images` were seen since the last change, and p may rise from 0 to 1
    in `length` images.
    """
    return min(max(p + math.copysign(images / length, overfit - target), 0.0), MAX_P)


def overfitting(training: float, validation: float, generated: float) -> float:
    """Return r_v: 0 if D scores held-out images as those it is trained on, 1 if it scores them as generated ones.

    The other heuristic of section 3, the sign of D's score, needs a score with a fixed zero, which WGAN-GP lacks.
    """
    gap = training - generated
    return (training - validation) / gap if gap > 1e-8 else 0.0
