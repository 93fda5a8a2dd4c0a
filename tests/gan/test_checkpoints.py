"""Checkpoints that are cut short or broken lose nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gan_runs import SCRIPT, SHORT, arguments, assert_same_end

from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.training import Run

# The third checkpoint is cut in the middle: by a kill, or by a disk that is full.
CUT = """
import os, signal, sys
from mammogan.gan import checkpoints
whole, count = checkpoints.save_file, 0
def half(tensors, path, metadata):
    global count
    count += path.parent.name == "checkpoints"  # not the generators that are kept
    whole(tensors, path, metadata)
    if count == 3 and path.parent.name == "checkpoints":
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
        if sys.argv[5] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device")
checkpoints.save_file = half
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_checkpoint_that_is_cut_short_loses_nothing(store: Store, finished: Path, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "cut"
    words = arguments(store, folder, SHORT, "0", how)
    broken = subprocess.run([sys.executable, "-c", CUT + SCRIPT, *words], capture_output=True, text=True)
    if how == "kill":
        assert broken.returncode == -signal.SIGKILL
    else:
        assert broken.returncode == 1
        assert "is full; free space there and run the same command again" in broken.stderr
        assert not list((folder / "checkpoints").glob(".*"))
    assert 0 < checkpoints.trained(folder).state["images"] < SHORT["total_images"]
    subprocess.run([sys.executable, "-c", SCRIPT, *words], check=True)
    assert_same_end(folder, finished)


def test_a_broken_checkpoint_falls_back_to_the_one_before(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    newest = checkpoints.checkpoints(copy)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    assert checkpoints.trained(copy).state["images"] < 448
    with pytest.raises(RunError, match="cannot be read"):
        checkpoints.load(newest)
    for path in checkpoints.checkpoints(copy):
        path.write_bytes(b"")
    with pytest.raises(RunError, match="cannot be read"):
        checkpoints.latest(copy)


def test_moments_come_back_in_the_layout_of_their_weights(store: Store, tmp_path: Path) -> None:
    settings = Config().changed({**SHORT, "channels_last": True, "total_images": 32})
    Run.open(store, tmp_path / "run", settings).train()
    run = Run.open(store, tmp_path / "run", settings)
    states = [(p, state["exp_avg_sq"]) for p, state in run.adam_d.state.items()]
    assert any(p.dim() == 4 and not p.is_contiguous() for p, _ in states)
    assert all(p.stride() == value.stride() for p, value in states)
