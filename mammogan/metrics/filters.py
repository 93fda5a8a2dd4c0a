"""Symmetric filters along columns and rows of images, compiled: most of the time of pyramids and of MS-SSIM."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=8)
def compiled(reach: int) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """Compile a filter of 2 reach + 1 weights at its first use, which lasts a quarter of a second per type of image.

    Sums are taken in the order of `scipy.ndimage.convolve1d` and in double precision: the numbers are equal bit for
    bit. The reach is a constant of the compiled code, whose inner loops are then unrolled: four times as fast.

    Returns:
        function of an image (h, w), float; of its weights (reach + 1,) from the center outward, float64; and of the
        array for the result, (h - 2 reach, w - 2 reach), of the type of the image.
    """
    import numba

    def filter_image(image: np.ndarray, half: np.ndarray, out: np.ndarray) -> None:
        line = np.empty(image.shape[1], image.dtype)
        for y in range(out.shape[0]):
            for x in range(image.shape[1]):
                total = image[y + reach, x] * half[0]
                for k in range(reach, 0, -1):
                    total += (np.float64(image[y + reach - k, x]) + np.float64(image[y + reach + k, x])) * half[k]
                line[x] = total
            for x in range(out.shape[1]):
                total = line[x + reach] * half[0]
                for k in range(reach, 0, -1):
                    total += (np.float64(line[x + reach - k]) + np.float64(line[x + reach + k])) * half[k]
                out[y, x] = total

    return numba.njit(filter_image, nogil=True)


def filter_images(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Filter images (b, h, w), float, along columns and rows, where the filter fits: (b, h - 2 r, w - 2 r).

    Args:
        images: sides of 2 r + 1 pixels or more.
        weights: (2 r + 1,), symmetric.
    """
    reach = len(weights) // 2
    run, half = compiled(reach), np.ascontiguousarray(weights[reach:], np.float64)
    out = np.empty((len(images), *(side - 2 * reach for side in images.shape[1:])), images.dtype)
    for image, place in zip(np.ascontiguousarray(images), out, strict=True):
        run(image, half, place)
    return out
