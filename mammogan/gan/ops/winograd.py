"""3 x 3 convolutions on processors with a quarter of the multiplications: F(4 x 4, 3 x 3) of Lavin & Gray (2016).

Tiles of 6 x 6 pixels that overlap by two are transformed, multiplied by the transformed kernel, frequency by frequency,
and transformed back to 4 x 4 pixels. Doubling before and halving after go into the transforms. Everything is linear in
the image and in the kernel, so that derivatives of any order follow from four linear maps, each with its adjoint.

Rounding in float32 is some ten times that of the direct sum (3e-6 of the output's deviation in place of 2e-7).

Axes: T tiles, ordered (down, right, image); 36 frequencies; C maps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Interpolation at 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2016, section 4.2).
OF_PIXELS = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0),
             (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))  # fmt: skip
OF_KERNEL = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))  # / 24
BACK = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
TWICE = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 0, 1))  # 4 pixels, doubled, as 6
MEAN = ((0.5, 0.5, 0, 0), (0, 0, 0.5, 0.5))


@lru_cache
def _matrices(kind: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Transforms of one axis: of pixels (6, k), of kernels (6, 3), and back (q, 6)."""
    pixels, kernel, back, twice, mean = (
        torch.tensor(m, dtype=torch.float64) for m in (OF_PIXELS, OF_KERNEL, BACK, TWICE, MEAN)
    )
    if kind == "up":
        pixels = pixels @ twice
    if kind == "down":
        back = mean @ back
    return pixels.to(dtype), (kernel / 24).to(dtype), back.to(dtype)


def fits(x: Tensor, weight: Tensor, kind: str) -> bool:
    """Whether the image is made of whole tiles and the kernel is 3 x 3."""
    step = 2 if kind == "up" else 4
    return weight.shape[-1] == 3 and x.shape[2] % step == 0 and x.shape[3] % step == 0


def convolve(x: Tensor, weight: Tensor, kind: str = "same") -> Tensor:
    """As `mammogan.gan.ops.conv2d_gradfix.convolve`, without a bias.

    Args:
        x: (N, in, H, W), of whole tiles (`fits`).
        weight: (out, in, 3, 3).
        kind: "same", "up" or "down".

    Returns:
        (N, out, H, W), doubled or halved; channels last in memory.
    """
    of_pixels, of_kernel, back = _matrices(kind, x.dtype)
    n, outgoing, step = len(x), len(weight), of_pixels.shape[1] - 2
    grid = x.shape[2] // step, x.shape[3] // step
    kernel = (torch.kron(of_kernel, of_kernel) @ weight.reshape(-1, 9).t()).reshape(36, outgoing, -1)
    pixels = _Linear.apply(x, partial(_cut, m=of_pixels), partial(_cut_adjoint, m=of_pixels, shape=x.shape))
    product = torch.bmm(pixels, kernel.transpose(1, 2))
    return _Linear.apply(product, partial(_join, m=back, n=n, grid=grid), partial(_join_adjoint, m=back))


class _Linear(Function):
    """A linear map, whose derivative is its adjoint, whose derivative is the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.there, ctx.adjoint = there, adjoint
        return there(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Linear.apply(grads[0], ctx.adjoint, ctx.there), None, None


# Each transform of an axis is a product of a small matrix with rows of (pixels or maps) that lie together in memory;
# loops over tiles hand such rows to one batched product, since a view of overlapping tiles would be copied.


def _cut(x: Tensor, m: Tensor) -> Tensor:
    """Pixels to tiles: (N, C, H, W) -> (36, T, C)."""
    (n, c, h, w), k = x.shape, m.shape[1]
    step = k - 2
    down, right = h // step, w // step
    padded = x.new_zeros(n, h + 2, w + 2, c)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    rows = padded.view(n * (h + 2), w + 2, c)
    half = x.new_empty(right, len(rows), 6, c)
    for t in range(right):
        torch.bmm(m.expand(len(rows), 6, k), rows[:, step * t : step * t + k], out=half[t])
    half = half.view(right * n, h + 2, 6 * c)
    tiles = x.new_empty(down, right * n, 6, 6 * c)
    for t in range(down):
        torch.bmm(m.expand(right * n, 6, k), half[:, step * t : step * t + k], out=tiles[t])
    return tiles.view(-1, 36, c).transpose(0, 1)


def _cut_adjoint(tiles: Tensor, m: Tensor, shape: torch.Size) -> Tensor:
    """Tiles to pixels, added where they overlap: (36, T, C) -> (N, C, H, W)."""
    (n, c, h, w), k = shape, m.shape[1]
    step = k - 2
    down, right = h // step, w // step
    tiles = tiles.transpose(0, 1).reshape(down, right * n, 6, 6 * c)
    half = tiles.new_zeros(right * n, h + 2, 6 * c)
    for t in range(down):
        half[:, step * t : step * t + k] += torch.bmm(m.t().expand(right * n, k, 6), tiles[t])
    half = half.view(right, n * (h + 2), 6, c)
    rows = tiles.new_zeros(n * (h + 2), w + 2, c)
    for t in range(right):
        rows[:, step * t : step * t + k] += torch.bmm(m.t().expand(len(rows), k, 6), half[t])
    return rows.view(n, h + 2, w + 2, c)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _join(tiles: Tensor, m: Tensor, n: int, grid: tuple[int, int]) -> Tensor:
    """Tiles to pixels, side by side: (36, T, C) -> (N, C, H, W)."""
    q, (_, t, c) = len(m), tiles.shape
    half = (m @ tiles.reshape(6, -1)).view(q, 6, t, c)
    pixels = tiles.new_empty(q, t, q, c)
    for row in range(q):
        torch.bmm(m.expand(t, q, 6), half[row].transpose(0, 1), out=pixels[row])
    pixels = pixels.view(q, *grid, n, q, c).permute(3, 5, 1, 0, 2, 4)  # N, C, down, q, right, q
    return pixels.reshape(n, c, grid[0] * q, grid[1] * q)


def _join_adjoint(x: Tensor, m: Tensor) -> Tensor:
    """Pixels to tiles that do not overlap: (N, C, H, W) -> (36, T, C)."""
    (n, c, h, w), q = x.shape, len(m)
    down, right = h // q, w // q
    rows = x.permute(0, 2, 3, 1).reshape(n * h, w, c)
    half = x.new_empty(right, n * h, 6, c)
    for t in range(right):
        torch.bmm(m.t().expand(n * h, 6, q), rows[:, q * t : q * t + q], out=half[t])
    half = half.view(right * n, h, 6 * c)
    tiles = x.new_empty(down, right * n, 6, 6 * c)
    for t in range(down):
        torch.bmm(m.t().expand(right * n, 6, q), half[:, q * t : q * t + q], out=tiles[t])
    return tiles.view(-1, 36, c).transpose(0, 1)
