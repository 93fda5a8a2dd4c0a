"""Checkpoints that are cut short or broken lose nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gan_runs import BY_VIEW, SCRIPT, SHORT, arguments, assert_same_end
from safetensors import safe_open

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
        assert "is full; free space in /" in broken.stderr
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


def test_a_flipped_bit_is_found_and_the_checkpoint_before_is_used(
    store: Store, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    before, newest = checkpoints.checkpoints(copy)[-2:]
    content = bytearray(newest.read_bytes())
    with safe_open(newest, "pt") as file:
        weight = file.get_tensor("average/first.weight").numpy().tobytes()
    content[bytes(content).index(weight) + 3] ^= 0x40  # the highest bit of an exponent
    newest.write_bytes(content)
    with pytest.raises(RunError, match=r"448.safetensors is damaged \(average/first.weight does not have its checksum"):
        checkpoints.load(newest)
    assert checkpoints.trained(copy).state["images"] == int(before.stem)
    assert f"The one before is used, {before}" in caplog.text
    Run.open(store, copy, Config().changed(BY_VIEW)).train()
    assert_same_end(copy, run)


def test_checkpoints_follow_the_umask(run: Path, tmp_path: Path) -> None:
    checkpoint = checkpoints.trained(run)
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            checkpoints.save(tmp_path / "one.safetensors", *checkpoint)
        finally:
            assert os.umask(before) == mask
        assert (tmp_path / "one.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


def test_one_of_the_checkpoints_is_of_a_time_without_failures(run: Path, tmp_path: Path) -> None:
    tensors, state = checkpoints.trained(run)
    (tmp_path / "checkpoints").mkdir()
    for images, skipped_at in [(1, []), (2, []), (3, [3]), (4, [3, 4]), (5, [3, 4, 5])]:
        checkpoints.save_run(tmp_path, tensors, {**state, "images": images, "skipped_at": skipped_at})
    assert [int(path.stem) for path in checkpoints.checkpoints(tmp_path)] == [2, 4, 5]
    assert checkpoints.before_skips(tmp_path).state["images"] == 2
    for images in (6, 7):
        checkpoints.save_run(tmp_path, tensors, {**state, "images": images, "skipped_at": []})
    assert [int(path.stem) for path in checkpoints.checkpoints(tmp_path)] == [6, 7]


def test_moments_come_back_in_the_layout_of_their_weights(store: Store, tmp_path: Path) -> None:
    settings = Config().changed({**SHORT, "channels_last": True, "total_images": 32})
    Run.open(store, tmp_path / "run", settings).train()
    run = Run.open(store, tmp_path / "run", settings)
    states = [(p, state["exp_avg_sq"]) for p, state in run.adam_d.state.items()]
    assert any(p.dim() == 4 and not p.is_contiguous() for p, _ in states)
    assert all(p.stride() == value.stride() for p, value in states)
