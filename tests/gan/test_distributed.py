"""Training on several processes and in pieces."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gan_runs import LABELED, assert_close, gradients_of_a_step

from mammogan.data.store import Store
from mammogan.errors import ParameterError, RunError
from mammogan.gan import checkpoints, distributed
from mammogan.gan.config import Config
from mammogan.gan.training import Run


def test_a_minibatch_in_pieces_has_the_same_gradient(store: Store, tmp_path: Path) -> None:
    whole = gradients_of_a_step(store, tmp_path / "whole")
    assert_close(gradients_of_a_step(store, tmp_path / "pieces", micro=4), whole)
    with pytest.raises(ParameterError, match=r"micro=3 splits .* use a multiple of 4"):
        Run.open(store, tmp_path / "torn", Config().changed({**LABELED, "micro": 3}))


WORKER = """
import sys
sys.path.insert(0, sys.argv[4])
import torch
torch.set_num_threads(1)
from pathlib import Path
from mammogan.data.store import Store
from mammogan.gan import distributed
from gan_runs import gradients_of_a_step
gradients = gradients_of_a_step(Store.open(sys.argv[1]), Path(sys.argv[2]))
assert distributed.world_size() == 2
torch.save(gradients, f"{sys.argv[3]}.{distributed.rank()}")
"""


def on_two_processes(script: str, *arguments: str) -> None:
    """Run a script as torchrun would, twice at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [worker.wait(300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one(store: Store, tmp_path: Path) -> None:
    """Penalty included: its gradient of a gradient is summed over the processes like the rest."""
    arguments = [str(store.path), str(tmp_path / "run"), str(tmp_path / "gradients"), str(Path(__file__).parents[1])]
    on_two_processes(WORKER, *arguments)
    expected = gradients_of_a_step(store, tmp_path / "one")
    for rank in range(2):
        assert_close(torch.load(tmp_path / f"gradients.{rank}"), expected)
    assert [path.name for path in tmp_path.glob("run/*.json")] == ["config.json"]


TRAINING = """
import json, sys, time
import torch
torch.set_num_threads(1)
from mammogan.data.store import Store
from mammogan.gan import distributed
from mammogan.gan.config import Config
from mammogan.gan.training import Run
run = Run.open(Store.open(sys.argv[1]), sys.argv[2], Config().changed(json.loads(sys.argv[3])))
if distributed.rank():
    time.sleep(0.5)  # the first process has written its first checkpoint by then
run.train()
distributed.leave()
"""


@pytest.mark.slow
def test_two_processes_train_and_continue_as_one(store: Store, tmp_path: Path) -> None:
    settings = {**LABELED, "total_images": 96, "checkpoint_images": 32, "sample_images": 0}
    Run.open(store, tmp_path / "one", Config().changed(settings)).train()
    on_two_processes(TRAINING, str(store.path), str(tmp_path / "two"), json.dumps(settings))
    for newest in checkpoints.checkpoints(tmp_path / "two")[1:]:
        newest.unlink()
    on_two_processes(TRAINING, str(store.path), str(tmp_path / "two"), json.dumps(settings))
    one, two = (checkpoints.trained(tmp_path / name) for name in ("one", "two"))
    assert one.state["images"] == two.state["images"] == 96
    for name, value in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], value, rtol=1e-3, atol=1e-3, msg=name)  # sums in another order


def test_torchrun_gives_out_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.join("cuda:1") == "cuda:1"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="give --device cuda, not cuda:1"):
        distributed.join("cuda:1")


def test_pieces_keep_groups_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    seen = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        for piece in distributed.own_pieces(16, 4):
            assert len(set((piece % 4).tolist())) == 1  # the groups of 16 images are those with one remainder by 4
            seen += piece.tolist()
    assert sorted(seen) == list(range(16))
    with pytest.raises(ParameterError, match="batches to multiples of 8"):
        distributed.own_pieces(12)
    monkeypatch.setattr(distributed, "world_size", lambda: 1)
    with pytest.raises(ParameterError, match="batches to multiples of 4"):
        distributed.own_pieces(6)
