"""Images seen -> level, fade, minibatch: the progressive schedule as a pure function, so that resuming cannot drift."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Phase:
    """Where a run stands.

    Attributes:
        level: the level that is trained, 0 for the base.
        alpha: share of that level in the image, below 1 while it fades in.
        batch: images a minibatch.
        optimizer_epoch: changes where both Adams start afresh: at the start and at the end of each fade
            (train.py:137,221 of the original).
    """

    level: int
    alpha: float
    batch: int
    optimizer_epoch: int


@dataclass(frozen=True)
class Schedule:
    """Stable at the base, then for each level a fade and a stable phase; the last lasts to the end (train.py:41-72).

    Args:
        levels: number of levels.
        stable_images, fade_images: images shown to D in each phase.
        total_images: images shown to D in the whole run.
        batches: minibatch of each level.

    Raises:
        ValueError: `batches` has not one entry a level, or a number is not positive.
    """

    levels: int
    stable_images: int
    fade_images: int
    total_images: int
    batches: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.batches) != self.levels:
            raise ValueError(f"{self.levels} levels need {self.levels} minibatch sizes, not {len(self.batches)}.")
        if min(self.stable_images, self.fade_images, self.total_images, *self.batches) < 1:
            raise ValueError("Phases and minibatches must hold one image or more.")

    @property
    def boundaries(self) -> list[int]:
        """Images seen at which the phases after the first begin: fade, stable, fade, stable ..."""
        lengths = [self.stable_images, *([self.fade_images, self.stable_images] * (self.levels - 1))]
        return list(accumulate(lengths))[:-1]

    def at(self, images: int) -> Phase:
        """The phase after `images` images were seen."""
        position = bisect_right(self.boundaries, images)
        level = (position + 1) // 2
        alpha = 1.0
        if position % 2:
            alpha = (images - self.boundaries[position - 1]) / self.fade_images
        return Phase(level, alpha, self.batches[level], position)
