"""The command that trains: its plan of costs, and its log for TensorBoard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mammogan.data.store import Store

SMALL = {"levels": "3", "latent": "8", "fmap_base": "64", "fmap_max": "8", "total_images": "192", "batches": "8",
         "stable_images": "32", "fade_images": "32", "checkpoint_images": "64", "sample_images": "64"}  # fmt: skip


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mammogan", "train", *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_dry_run_prints_one_line_per_level_and_leaves_no_run(store: Store, tmp_path: Path) -> None:
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    done = command("--store", str(store.path), "--run", str(tmp_path / "run"), *settings, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for size, line in zip(("5 x 4", "10 x 8", "20 x 16"), lines[1:4], strict=True):
        assert line.strip().startswith(size)
        assert line.endswith(" h")
    assert "in all" in lines[4]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_tensorboard_has_the_log(store: Store, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    done = command("--store", str(store.path), "--run", str(tmp_path / "run"), *settings, "--tensorboard")
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    stats = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    losses = events.Scalars("loss_d")
    assert [event.step for event in losses] == [line["images"] for line in stats]
    assert [event.value for event in losses] == pytest.approx([line["loss_d"] for line in stats], rel=1e-6)
    assert [event.step for event in events.Images("samples")] == [
        int(path.stem) for path in sorted((tmp_path / "run" / "samples").glob("*.npy"))
    ]
