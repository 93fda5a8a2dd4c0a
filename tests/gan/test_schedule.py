"""The schedule against the original's rule."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from mammogan.errors import ParameterError
from mammogan.gan.config import Config
from mammogan.gan.schedule import Schedule


@pytest.mark.parametrize(
    "images", [0, 599_999, 600_001, 900_000, 1_199_999, 1_200_001, 5_000_000, 10_300_000, 11_999_999]
)
def test_schedule_of_the_original(images: int) -> None:
    """train.py:41-72: the level of detail falls by one per phase, after 600,000 stable images in a fade."""
    index = images // 1_200_000
    lod = max(8 - index - max(images - index * 1_200_000 - 600_000, 0) / 600_000, 0)
    phase = Schedule(9, 600_000, 600_000, 12_000_000, Config().batches).at(images)
    assert phase.level == 8 - int(np.floor(lod))
    assert phase.alpha == pytest.approx(1 - (lod - np.floor(lod)), abs=1e-9)
    assert phase.batch == Config().batches[phase.level]


def test_adam_starts_afresh_at_both_ends_of_a_fade() -> None:
    schedule = Schedule(3, 10, 20, 100, (4, 4, 4))
    assert schedule.boundaries == [10, 30, 40, 60]
    assert [schedule.at(n).optimizer_epoch for n in (0, 9, 10, 29, 30, 39, 40, 60, 99)] == [0, 0, 1, 1, 2, 2, 3, 4, 4]
    with pytest.raises(ParameterError, match="3 levels need 3"):
        Schedule(3, 10, 20, 100, (4, 4))


def test_a_run_may_begin_at_a_later_level() -> None:
    whole, late = Schedule(4, 10, 20, 130, (4,) * 4), Schedule(4, 10, 20, 100, (4,) * 4, first_level=1)
    assert late.images_by_level == [0, 10, 30, 60]
    for images in range(100):  # as the whole one does from the end of its first fade
        (level, alpha, batch, epoch), expected = astuple(late.at(images)), astuple(whole.at(images + 30))
        assert (level, alpha, batch, epoch + 2) == pytest.approx(expected)
    with pytest.raises(ParameterError, match="first_level must be from 0 to 3, not 4"):
        Schedule(4, 10, 20, 100, (4,) * 4, first_level=4)


def test_images_of_each_level() -> None:
    assert Schedule(3, 10, 20, 100, (4, 4, 4)).images_by_level == [10, 30, 60]
    assert Schedule(3, 10, 20, 35, (4, 4, 4)).images_by_level == [10, 25, 0]
