"""Checks of arrays and counts: each raises a `ParameterError` that says what was given and what is needed."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np

from mammogan.errors import ParameterError
from mammogan.types import ImageStack, Size


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below `least`; `name` is the subject of the message."""
    if not value >= least:
        raise ParameterError(f"{name} is {value}; give {least} or more.")


def check_lengths(**arrays: Sized) -> None:
    """Refuse arrays of different lengths; the keywords name them in the message."""
    if len({len(array) for array in arrays.values()}) > 1:
        given = " and ".join(f"{len(array)} {name}" for name, array in arrays.items())
        raise ParameterError(f"There are {given}; give one per image.")


def check_array(
    values: np.ndarray, name: str, dimensions: tuple[int, ...] = (1,), least: int = 1, infinite: bool = False
) -> np.ndarray:
    """Return an array of numbers as float64.

    Args:
        values, name: array whose first axis counts images, and the subject of the message, as "The real set".
        dimensions: numbers of axes that are accepted.
        least: smallest number of images.
        infinite: accept infinity; NaN is always refused.
    """
    array = np.asarray(values, np.float64)
    if array.ndim not in dimensions:
        needed = " or ".join(map(str, dimensions))
        raise ParameterError(f"{name} has the shape {array.shape}; an array of {needed} axes is needed.")
    if len(array) < least:
        raise ParameterError(f"{name} has {len(array)} images; give {least} or more.")
    refused = np.isnan(array) if infinite else ~np.isfinite(array)
    if refused.any():
        row, number = np.argwhere(refused)[0][0], array[refused][0]
        raise ParameterError(f"{name} has the value {number} in image {row}; find its cause, or drop the image.")
    return array


def check_tables(
    first: np.ndarray, second: np.ndarray, least: int = 4, names: tuple[str, str] = ("real", "synthetic")
) -> tuple[np.ndarray, np.ndarray]:
    """Return two tables of moments or features as float64, (n, d) and (m, d), n and m `least` or more."""
    a, b = (check_array(x, f"The {name} set", (2,), least) for x, name in zip((first, second), names, strict=True))
    if a.shape[1] != b.shape[1]:
        given = f"The {names[0]} set has {a.shape[1]} columns and the {names[1]} set {b.shape[1]}"
        raise ParameterError(f"{given}; give two tables with the same columns.")
    return a, b


def check_images(images: ImageStack, *, integers: bool = True, least: int = 1, side: int = 1) -> None:
    """Refuse an array that does not hold `least` images or more, (n, h, w), with h and w `side` pixels or more."""
    if len(images.shape) != 3 or (integers and not np.issubdtype(images.dtype, np.unsignedinteger)):
        needed = "unsigned integer images" if integers else "images"
        given = f"An array of shape {tuple(images.shape)} and type {images.dtype}"
        raise ParameterError(f"{given} does not hold {needed} (n, h, w); quantize images to a gray grid first.")
    n, h, w = images.shape
    check_at_least("The number of images", n, least)
    if min(h, w) < side:
        raise ParameterError(f"The images have {h} x {w} pixels; a measure of them needs {side} x {side} or more.")


def check_same_size(first: ImageStack, second: ImageStack) -> None:
    """Refuse two stacks of images whose heights or widths differ."""
    if (one := Size(*first.shape[1:])) != (two := Size(*second.shape[1:])):
        raise ParameterError(f"The images have {one} and {two} pixels; give two sets of one size.")
