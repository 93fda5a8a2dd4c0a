"""Nouns that all rooms share: a size, an estimate, a stack of images, a report of progress."""

from typing import NamedTuple, Protocol

import numpy as np


class Size(NamedTuple):
    """Height and width of an image, pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


class Estimate(NamedTuple):
    """A number with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun, as "1 image" or "2 images"; `nouns` is the plural where it is not regular."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


class ImageStack(Protocol):
    """Images of one size: a NumPy array, a Zarr array, or one level of a store; (n, h, w), unsigned integers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, h, w)."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the gray levels."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: int | slice | np.ndarray, /) -> np.ndarray: ...


class Progress(Protocol):
    """A report of long work.

    Args:
        task: what is counted, as "files"; work in several stages counts each under a name of its own.
        done: number done so far.
        total: number in all; 0 where it is unknown.
        note: anything else worth a glance, as "12 accepted".
    """

    def __call__(self, task: str, done: int, total: int = 0, note: str = "") -> None: ...


def no_progress(task: str, done: int, total: int = 0, note: str = "") -> None:
    """Report nothing: the default of every `Progress` argument."""
