"""The plan of a run, which is measured level by level."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mammogan.cli.generator import plan_table
from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.plan import plan
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run

SMALL = {"levels": "3", "latent": "8", "fmap_base": "64", "fmap_max": "8", "total_images": "192", "batches": "8",
         "stable_images": "32", "fade_images": "32", "checkpoint_images": "64", "sample_images": "64"}  # fmt: skip


def test_a_level_that_does_not_fit_is_reported_and_the_rest_counted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Run.step

    def small(run: Run, phase: Phase) -> dict[str, float]:
        if phase.level == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(run, phase)

    monkeypatch.setattr(Run, "step", small)
    levels = list(plan(store, Config().changed(SMALL), "cpu"))
    assert [level.fits for level in levels] == [True, True, False]
    text = plan_table(levels).splitlines()
    assert "! " in text[3] and text[3].strip().startswith("20 x 16")
    assert "--set micro=4" in text[-1]
