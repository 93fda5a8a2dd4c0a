"""What a run will cost: counted arithmetic and memory against sums by hand, and the commands that show it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mammogan.data.ingest import Settings, ingest
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan.config import Config
from mammogan.gan.cost import Counter, count, images_by_level, plan, table
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.schedule import Phase, Schedule
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


def test_cost_of_the_whole_size() -> None:
    """The paper's resolution fits an ordinary card, and the arithmetic is that of the notes on the original."""
    full = Architecture()
    top, low = count(full, 8, 4), count(full, 3, 4)
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
    double = count(full, 8, 8)
    assert 1.5 < double.peak_bytes / top.peak_bytes < 2


def test_images_of_each_level() -> None:
    assert images_by_level(Schedule(3, 10, 20, 100, (4, 4, 4))) == [10, 30, 60]
    assert images_by_level(Schedule(3, 10, 20, 35, (4, 4, 4))) == [10, 25, 0]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mammogan", "train", *arguments], capture_output=True, text=True)


def test_dry_run_prints_a_line_a_level_and_leaves_no_run(store: Store, tmp_path: Path) -> None:
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    done = command("--store", str(store.path), "--run", str(tmp_path / "run"), *settings, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for size, line in zip(("5 x 4", "10 x 8", "20 x 16"), lines[1:4], strict=True):
        assert line.strip().startswith(size)
        assert line.endswith(" h")
    assert "in all" in lines[4]
    assert not (tmp_path / "run").exists()


def test_a_level_that_does_not_fit_is_said_and_the_rest_shown(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Run.step

    def small(run: Run, phase: Phase) -> dict[str, float]:
        if phase.level == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(run, phase)

    monkeypatch.setattr(Run, "step", small)
    rows = list(plan(store, Config().changed(SMALL), "cpu"))
    assert [row.fits for row in rows] == [True, True, False]
    text = table(rows).splitlines()
    assert "! " in text[3] and text[3].strip().startswith("20 x 16")
    assert "--set micro=4" in text[-1]


def test_tensorboard_shows_the_log(store: Store, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    done = command("--store", str(store.path), "--run", str(tmp_path / "run"), *settings, "--tensorboard")
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    stats = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    shown = events.Scalars("loss_d")
    assert [event.step for event in shown] == [line["images"] for line in stats]
    assert [event.value for event in shown] == pytest.approx([line["loss_d"] for line in stats], rel=1e-6)
    assert [event.step for event in events.Images("samples")] == [
        int(path.stem) for path in sorted((tmp_path / "run" / "samples").glob("*.npy"))
    ]


def test_a_store_that_cannot_grow_is_refused(phantoms: Path, tmp_path: Path) -> None:
    odd = ingest([phantoms], tmp_path / "odd", Settings(height=75, width=60))
    with pytest.raises(RunError, match="halve only down to 75 x 60; ingest at a size"):
        Run(odd, tmp_path / "run", Config())
    assert not (tmp_path / "run").exists()
