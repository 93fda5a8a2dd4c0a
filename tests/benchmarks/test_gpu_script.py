"""The script for a GPU at hand, on a processor with small sizes: it measures, trains, and goes on where it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mammogan.data.store import Store
from mammogan.gan import checkpoints
from mammogan.report.provenance import ROOT

SETTINGS = (
    "levels=2 latent=8 fmap_base=32 fmap_max=8 batches=4 stable_images=8 fade_images=8 sample_images=0 "
    "resampling=bilinear noise=true clip=true edge_levels=1"
)


def call(store: Store, out: Path, images: int, **more: str) -> str:
    variables = {"STORE": str(store.path), "OUT": str(out), "DEVICE": "cpu", "LEVELS": "0"}
    variables |= {"PYTHON": sys.executable, "STEPS": "--batch 4 --skip plain compiled"}
    settings = {"SETTINGS": f"{SETTINGS} total_images={images}", "MINUTES": "30"}
    environment = {**os.environ, **variables, **settings, **more}
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh")]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_script_measures_trains_and_goes_on(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert "32 images seen" in call(store, first, 32)
    steps = (first / "steps.md").read_text()
    assert "5 x 4" in steps
    assert not list((ROOT / "benchmarks" / "results").glob("gpu-steps*"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        call(store, second, 48, RUN=str(tmp_path))
    assert "holds no run of an earlier call" in refused.value.stderr
    assert "48 images seen" in call(store, second, 48, RUN=str(first))
    assert "64 images seen" in call(store, second, 64, RUN=str(second))
    assert not (second / ".new").exists()
    assert (second / "steps.md").read_text() == steps
    parts = sorted(second.glob("run.tar.*"))
    assert all(part.stat().st_size < 16_000_000 for part in parts)
    archive = b"".join(part.read_bytes() for part in parts)
    subprocess.run(["tar", "-xf", "-", "-C", str(tmp_path)], input=archive, check=True)
    run = tmp_path / "run"
    assert checkpoints.trained(run).state["images"] == 64
    assert len(checkpoints.checkpoints(run)) == 1
    assert len((run / "stats.jsonl").read_text().splitlines()) == 64 // 16
