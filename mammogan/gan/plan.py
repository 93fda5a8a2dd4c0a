"""A run planned level by level: cost counted, time measured on a device."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.cost import Cost, count_step
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run
from mammogan.types import Size

LONGEST = 15.0  # seconds of a step that is tried


@dataclass(frozen=True)
class LevelPlan:
    """One level of a plan.

    Attributes:
        batch: images per minibatch.
        images: images of the schedule at this level, fade included.
        cost: counted cost of the images that are computed at once.
        seconds: seconds per step, the median of a few; None if it was not tried.
        hours: hours at this level; from `seconds`, or from the arithmetic speed of the finest level that was tried.
        fits: the level fits into the device's memory; if not, there are no seconds, and the hours are a guess.
    """

    size: Size
    maps: int
    batch: int
    images: int
    cost: Cost
    seconds: float | None
    hours: float
    fits: bool = True


def plan(store: Store, config: Config, device: str) -> Iterator[LevelPlan]:
    """Measure each level on a device: one step to warm up, then three, until a step is too long to try.

    Where only some steps have a penalty, both kinds are measured. Once a step is expected to last longer than
    `LONGEST`, its time is computed instead.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run.open(store, folder, config, device)
        per_flop: float | None = None
        for level, images in enumerate(run.schedule.images_by_level):
            batch = run.config.batches[level]
            lazy, at_once = config.penalty_every, config.micro or batch
            cost = count_step(run.architecture, level, at_once, loss=config.loss, penalty_every=lazy)
            seconds, fits = None, True
            work = cost.flop * batch
            if per_flop is None or per_flop * work < LONGEST:
                phase = Phase(level, 0.5 if level else 1.0, batch, 0)
                try:
                    seconds = _time(run, phase, 0) / lazy
                    if lazy > 1:
                        seconds += _time(run, phase, batch) * (1 - 1 / lazy)
                    per_flop = seconds / work
                except torch.OutOfMemoryError:
                    fits = False
            hours = (seconds or (per_flop or 0) * work) * images / batch / 3600
            size, maps = run.architecture.size(level), run.architecture.maps(level)
            yield LevelPlan(size, maps, batch, images, cost, seconds, hours, fits)


def _time(run: Run, phase: Phase, images: int) -> float:
    """Return the seconds of a step after so many images, which tell whether it has a penalty: a median of three."""
    times = []
    for _ in range(4):
        run.images, started = images, time.perf_counter()
        float(run.step(phase)["loss_g"])  # which a GPU has computed last
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
