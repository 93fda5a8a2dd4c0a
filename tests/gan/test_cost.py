"""Counted arithmetic and memory against sums by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mammogan.cli.generator import plan_table
from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.cost import Counter, count_step, plan
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run

SMALL = {"levels": "3", "latent": "8", "fmap_base": "64", "fmap_max": "8", "total_images": "192", "batches": "8",
         "stable_images": "32", "fade_images": "32", "checkpoint_images": "64", "sample_images": "64"}  # fmt: skip


def test_counted_memory_is_what_lives_at_once() -> None:
    with Counter() as counter:
        a = torch.ones(1000)  # 4000 bytes
        b = a * 2
        del a
        c = b + 1
        view = c[:10]
        del b, c
        assert counter.now == 4000
        del view
    assert (counter.now, counter.peak) == (0, 8000)


def test_counted_arithmetic_of_a_forward_pass_is_torchs() -> None:
    architecture = Architecture(levels=3, latent=8, fmap_base=64, fmap_max=8)
    g, z = Generator(architecture), torch.randn(4, 8)
    with FlopCounterMode(display=False) as theirs:
        g(z, 2)
    with Counter() as ours:
        g(z, 2)
    assert ours.flop == theirs.get_total_flops() > 0


@pytest.mark.slow
def test_cost_of_the_whole_size() -> None:
    """The paper's resolution fits an ordinary card, and the arithmetic is that of the notes on the original."""
    full = Architecture()
    top, low = count_step(full, 8, 4), count_step(full, 3, 4)
    assert top.peak_bytes < 24e9
    assert top.flop == pytest.approx(1235e9, rel=0.01)
    assert low.flop == pytest.approx(208e9, rel=0.01)
    # At the top every layer is used but to_image and from_image of the levels below the fade.
    used = sum(p.numel() for p in Generator(full).parameters())
    unused = sum(full.maps(level) + 1 for level in range(7))
    assert top.parameters[0] == used - unused
    used = sum(p.numel() for p in Discriminator(full).parameters())
    assert top.parameters[1] == used - sum(2 * full.maps(level) for level in range(7))
    # Maps grow with the minibatch, weights do not.
    double = count_step(full, 8, 8)
    assert 1.5 < double.peak_bytes / top.peak_bytes < 2


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
