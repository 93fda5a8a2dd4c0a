"""The progressive schedule as a pure function of the images seen, so that resuming cannot drift."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise

from mammogan.errors import ParameterError


@dataclass(frozen=True)
class Phase:
    """State of the schedule at one moment.

    Attributes:
        level: level that is trained, 0 for the base.
        alpha: share of that level in the image, below 1 while it fades in.
        batch: images per minibatch.
        optimizer_epoch: number of the phase; both Adams start afresh when it changes, at the start and at the end of
            each fade (train.py:137,221 of the original).
    """

    level: int
    alpha: float
    batch: int
    optimizer_epoch: int


@dataclass(frozen=True)
class Schedule:
    """Stable at the base, then for each level a fade and a stable phase; the last one ends the run (train.py:41-72).

    Attributes:
        stable_images, fade_images: images shown to D in each phase.
        total_images: images shown to D in the whole run.
        batches: minibatch of each level.
        first_level: level at which the run begins.

    Raises:
        ParameterError: `batches` does not have one entry per level, a number is not positive, or the level is missing.
    """

    levels: int
    stable_images: int
    fade_images: int
    total_images: int
    batches: tuple[int, ...]
    first_level: int = 0

    def __post_init__(self) -> None:
        if len(self.batches) != self.levels:
            raise ParameterError(f"{self.levels} levels need {self.levels} entries of batches, not {self.batches}.")
        if min(self.stable_images, self.fade_images, self.total_images, *self.batches) < 1:
            raise ParameterError("stable_images, fade_images, total_images and batches must be 1 or more.")
        if not 0 <= self.first_level < self.levels:
            raise ParameterError(f"first_level must be from 0 to {self.levels - 1}, not {self.first_level}.")

    @property
    def boundaries(self) -> list[int]:
        """Images seen at which each phase after the first begins: fade, stable, fade, stable ..."""
        lengths = [self.stable_images, *([self.fade_images, self.stable_images] * (self.levels - 1 - self.first_level))]
        return list(accumulate(lengths))[:-1]

    @property
    def images_by_level(self) -> list[int]:
        """Images of the run at each level, its fade included."""
        edges = [0] * (self.first_level + 1) + [*self.boundaries[::2], self.total_images]
        return [max(min(b, self.total_images) - a, 0) for a, b in pairwise(edges)]

    def at(self, images: int) -> Phase:
        """Return the phase after `images` images were seen."""
        boundaries = self.boundaries
        position = bisect_right(boundaries, images)
        level = (position + 1) // 2 + self.first_level
        alpha = (images - boundaries[position - 1]) / self.fade_images if position % 2 else 1.0
        return Phase(level, alpha, self.batches[level], position)
