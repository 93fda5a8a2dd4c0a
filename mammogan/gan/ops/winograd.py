"""3 x 3 convolutions on processors with a quarter of the multiplications: F(4 x 4, 3 x 3) of Lavin & Gray (2016).

Tiles of 6 x 6 pixels that overlap by two are transformed, multiplied by the transformed kernel, frequency by frequency,
and transformed back to 4 x 4 pixels. Doubling before and halving after are part of the transforms. Everything is linear
in the image and in the kernel, so that derivatives of any order follow from four linear maps, each with its adjoint.

Rounding in float32 is some ten times that of the direct sum (3e-6 of the output's deviation in place of 2e-7).

Axes: T tiles, ordered (down, right, image); 36 frequencies; C maps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.autograd import Function

from mammogan.gan.ops import Context

# Interpolation at 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2016, section 4.2).
OF_PIXELS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
OF_KERNEL = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))  # / 24
BACK = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
TWICE = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 0, 1))  # 4 pixels, doubled, as 6
MEAN = ((0.5, 0.5, 0, 0), (0, 0, 0.5, 0.5))


@lru_cache
def _matrices(kind: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of one axis: of pixels (6, k), of kernels (6, 3), and back (q, 6)."""
    pixels, kernel, back, twice, mean = (
        torch.tensor(m, dtype=torch.float64) for m in (OF_PIXELS, OF_KERNEL, BACK, TWICE, MEAN)
    )
    if kind == "up":
        pixels = pixels @ twice
    if kind == "down":
        back = mean @ back
    return pixels.to(dtype), (kernel / 24).to(dtype), back.to(dtype)


def fits(x: Tensor, weight: Tensor, kind: str) -> bool:
    """Return True if the image consists of whole tiles and the kernel is 3 x 3."""
    step = 2 if kind == "up" else 4
    return weight.shape[-1] == 3 and x.shape[2] % step == 0 and x.shape[3] % step == 0


def convolve(x: Tensor, weight: Tensor, kind: str = "same") -> Tensor:
    """Convolve as `mammogan.gan.ops.conv2d_gradfix.convolve`, without a bias; the image has whole tiles (`fits`).

    The result is channels last in memory.
    """
    of_pixels, of_kernel, back = _matrices(kind, x.dtype)
    n, outgoing, step = len(x), len(weight), of_pixels.shape[1] - 2
    grid = x.shape[2] // step, x.shape[3] // step
    kernel = (torch.kron(of_kernel, of_kernel) @ weight.reshape(-1, 9).t()).reshape(36, outgoing, -1)
    cut = partial(_cut, m=of_pixels, step=step, margin=1)
    pixels = _Linear.apply(x, cut, partial(_add_tiles, m=of_pixels, step=step, shape=x.shape))
    product = torch.bmm(pixels, kernel.transpose(1, 2))
    # The adjoint of joining cuts into tiles that do not overlap.
    apart = partial(_cut, m=back.t(), step=len(back), margin=0)
    return _Linear.apply(product, partial(_join, m=back, n=n, grid=grid), apart)


class _Linear(Function):
    """A linear map, whose derivative is its adjoint, whose derivative is the map."""

    @staticmethod
    def forward(
        ctx: Context, x: Tensor, forth: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.forth, ctx.adjoint = forth, adjoint
        return forth(x)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Linear.apply(grads[0], ctx.adjoint, ctx.forth), None, None


# Each transform of an axis is a product of a small matrix with rows of pixels or maps that are adjacent in memory;
# loops over tiles pass such rows to one batched product, since a view of overlapping tiles would be copied.


def _cut_axis(rows: Tensor, m: Tensor, step: int) -> Tensor:
    """Multiply m (6, k) with every k pixels of an axis, `step` apart: (B, length, C) -> (tiles, B, 6, C)."""
    (count, length, c), k = rows.shape, m.shape[1]
    tiles = rows.new_empty((length - k) // step + 1, count, 6, c)
    for t, tile in enumerate(tiles):
        torch.bmm(m.expand(count, 6, k), rows[:, step * t : step * t + k], out=tile)
    return tiles


def _add_axis(tiles: Tensor, m: Tensor, step: int, length: int) -> Tensor:
    """Compute the adjoint of `_cut_axis`, a sum over the tiles: (tiles, B, 6, C) -> (B, length, C)."""
    (_, count, _, c), k = tiles.shape, m.shape[1]
    rows = tiles.new_zeros(count, length, c)
    for t, tile in enumerate(tiles):
        rows[:, step * t : step * t + k] += torch.bmm(m.t().expand(count, k, 6), tile)
    return rows


def _cut(x: Tensor, m: Tensor, step: int, margin: int) -> Tensor:
    """Cut pixels into tiles, every `step` pixels and with a black margin: (N, C, H, W) -> (36, T, C)."""
    n, c, h, w = x.shape
    padded = x.new_zeros(n, h + 2 * margin, w + 2 * margin, c)
    padded[:, margin : margin + h, margin : margin + w] = x.permute(0, 2, 3, 1)
    half = _cut_axis(padded.view(-1, w + 2 * margin, c), m, step)
    tiles = _cut_axis(half.view(-1, h + 2 * margin, 6 * c), m, step)
    return tiles.view(-1, 36, c).transpose(0, 1)


def _add_tiles(tiles: Tensor, m: Tensor, step: int, shape: torch.Size) -> Tensor:
    """Compute the adjoint of `_cut` with a margin of 1: (36, T, C) -> (N, C, H, W)."""
    n, c, h, w = shape
    half = _add_axis(tiles.transpose(0, 1).reshape(h // step, -1, 6, 6 * c), m, step, h + 2)
    rows = _add_axis(half.view(w // step, -1, 6, c), m, step, w + 2)
    return rows.view(n, h + 2, w + 2, c)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _join(tiles: Tensor, m: Tensor, n: int, grid: tuple[int, int]) -> Tensor:
    """Join tiles to pixels, side by side: (36, T, C) -> (N, C, H, W)."""
    q, (_, t, c) = len(m), tiles.shape
    half = (m @ tiles.reshape(6, -1)).view(q, 6, t, c)
    pixels = tiles.new_empty(q, t, q, c)
    for row in range(q):
        torch.bmm(m.expand(t, q, 6), half[row].transpose(0, 1), out=pixels[row])
    pixels = pixels.view(q, *grid, n, q, c).permute(3, 5, 1, 0, 2, 4)  # N, C, down, q, right, q
    return pixels.reshape(n, c, grid[0] * q, grid[1] * q)
