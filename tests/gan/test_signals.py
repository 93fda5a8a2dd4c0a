"""A training that is terminated saves what it has, and continues bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from gan_runs import SHORT, assert_same_end

from mammogan.data.store import Store
from mammogan.errors import Stopped
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run

FEW = {**SHORT, "total_images": 160, "sample_images": 64}
SMALL = {**SHORT, "stable_images": 32, "fade_images": 32, "batches": "8 4", "total_images": 128}


@pytest.fixture(scope="module")
def unbroken(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    Run.open(store, folder, Config().changed(FEW)).train()
    return folder


def interrupt(monkeypatch: pytest.MonkeyPatch, images: int, number: signal.Signals) -> None:
    """Let a signal arrive during the step after `images` images."""
    step = Run.step

    def interrupted(run: Run, phase: Phase) -> dict[str, float]:
        if run.images == images:
            os.kill(os.getpid(), number)
        return step(run, phase)

    monkeypatch.setattr(Run, "step", interrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("images", [0, 72, 88, 152])  # first and third minibatch of a line of the log, and last ones
def test_a_signal_saves_at_the_next_minibatch(
    store: Store, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, images: int, number: signal.Signals
) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patch:
        interrupt(patch, images, number)
        if images == 152:
            Run.open(store, tmp_path / "run", Config().changed(FEW)).train()  # it was about to end
        else:
            with pytest.raises(Stopped, match=f"{number.name} stopped the training at {images + 8} images") as stop:
                Run.open(store, tmp_path / "run", Config().changed(FEW)).train()
            assert stop.value.code == 128 + number
            assert checkpoints.trained(tmp_path / "run").state["images"] == images + 8
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    Run.open(store, tmp_path / "run", Config().changed(FEW)).train()
    assert_same_end(tmp_path / "run", unbroken)
    sheets = [sorted(path.name for path in (run / "samples").iterdir()) for run in (tmp_path / "run", unbroken)]
    assert sheets[0] == sheets[1]


def command(store: Store, run: Path, *launcher: str) -> subprocess.Popen[str]:
    """Start a training as a command, with enough images to last until a signal."""
    pairs = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    words = [*launcher, "-m", "mammogan", "train", "--store", str(store.path), "--out", str(run), "--device", "cpu"]
    return subprocess.Popen([*words, *pairs], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(run: Path, lines: int) -> None:
    log, deadline = run / "stats.jsonl", time.time() + 120
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        assert time.time() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_ends_with_a_sentence_and_a_code(
    store: Store, tmp_path: Path, number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SMALL, "total_images", 100_000)
    training = command(store, tmp_path / "run", sys.executable)
    wait_for_lines(tmp_path / "run", 3)
    training.send_signal(number)
    _, said = training.communicate(timeout=120)
    assert training.returncode == code, said
    assert f"mammogan: {number.name} stopped the training at" in said.splitlines()[-1]
    logged = json.loads((tmp_path / "run" / "stats.jsonl").read_text().splitlines()[-1])["images"]
    assert checkpoints.trained(tmp_path / "run").state["images"] >= logged > 0


@pytest.mark.slow
def test_two_processes_that_are_preempted_are_continued_by_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to one unbroken process to 1e-4, relative to the largest weight of each tensor."""
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    training = command(store, tmp_path / "run", torchrun, "--standalone", "--nproc-per-node", "2")
    wait_for_lines(tmp_path / "run", 1)
    training.terminate()
    _, said = training.communicate(timeout=180)
    assert training.returncode != 0
    assert said.count("mammogan: SIGTERM stopped the training at") == 1, said
    at = checkpoints.trained(tmp_path / "run").state["images"]
    assert 32 <= at < 128
    for name in ("run", "whole"):
        alone = command(store, tmp_path / name, sys.executable)
        said = alone.communicate(timeout=180)[1]
        assert alone.returncode == 0, said
    run, whole = (checkpoints.trained(tmp_path / name) for name in ("run", "whole"))
    for name, expected in whole.tensors.items():
        if name.startswith(("average/", "generator/", "discriminator/")):
            atol = 1e-4 * float(expected.abs().max()) + 1e-7
            torch.testing.assert_close(run.tensors[name], expected, rtol=0, atol=atol, msg=name)
