"""Training on several processes and in pieces."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gan_runs import LABELED, assert_close, gradients_of_a_step
from torch.distributed.run import get_args_parser
from typer.main import get_command

from mammogan.__main__ import app
from mammogan.cli.generator import train
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
import json
import sys
sys.path.insert(0, sys.argv[4])
import torch
torch.set_num_threads(1)
from pathlib import Path
from mammogan.data.store import Store
from mammogan.gan import distributed
from gan_runs import gradients_of_a_step
settings = json.loads(sys.argv[5])
gradients = gradients_of_a_step(Store.open(sys.argv[1]), Path(sys.argv[2]), **settings)
torch.save(gradients, f"{sys.argv[3]}.{distributed.rank()}")
"""


def on_processes(count: int, script: str, *arguments: str) -> None:
    """Run a script as torchrun would, several times at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]
    try:
        assert [worker.wait(300) for worker in workers] == [0] * count
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "settings"),
    [
        (2, {"batch": 8}),
        (2, {"batch": 4}),  # two images per process
        (4, {"batch": 8, "loss": "r1"}),
        (4, {"batch": 4}),  # one
        (2, {"batch": 12, "micro": 4}),  # pieces of a whole group and of half a group
    ],
)
def test_several_processes_have_the_gradient_of_one(
    store: Store, tmp_path: Path, processes: int, settings: dict[str, object]
) -> None:
    """Penalty included: its gradient of a gradient is summed over the processes like the rest."""
    settings = {**settings, "double": True}
    arguments = [str(store.path), str(tmp_path / "run"), str(tmp_path / "gradients"), str(Path(__file__).parents[1])]
    on_processes(processes, WORKER, *arguments, json.dumps(settings))
    expected = gradients_of_a_step(store, tmp_path / "one", **{**settings, "micro": 0})
    for rank in range(processes):
        assert_close(torch.load(tmp_path / f"gradients.{rank}"), expected)
    assert [path.name for path in tmp_path.glob("run/*.json")] == ["config.json"]


SMALL = {"levels": 3, "latent": 8, "fmap_base": 64, "fmap_max": 8, "total_images": 64, "batches": "8,4",
         "stable_images": 16, "fade_images": 16, "sample_images": 0}  # fmt: skip
OPTIONS = ["--device", "cpu", *(word for key, value in SMALL.items() for word in ("--set", f"{key}={value}"))]


def check_log(run: Path) -> None:
    """Check that a run of `SMALL` ended with all of its levels and minibatches."""
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert lines[-1]["images"] == 64
    assert {(line["level"], line["batch"]) for line in lines} == {(0, 8), (1, 4), (2, 4)}
    assert all(math.isfinite(line["loss_d"]) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_torchrun_trains_as_the_help_says(store: Store, tmp_path: Path, processes: int) -> None:
    """The examples for clusters are tested with the book that they end with."""
    line = re.search(r"Several GPUs: (torchrun .*)", train.__doc__)[1]
    given = {"N": str(processes), "STORE": str(store.path), "RUN": str(tmp_path / "run")}
    words = [given.get(word, word) for word in line.split()]
    torchrun = str(Path(sys.executable).with_name(words[0]))
    ended = subprocess.run([torchrun, "--standalone", *words[1:], *OPTIONS], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    check_log(tmp_path / "run")


def test_torchrun_leaves_the_options_of_train_alone() -> None:
    own = {text for action in get_args_parser()._actions for text in action.option_strings}
    parameters = get_command(app).commands["train"].params
    options = [text for parameter in parameters for text in parameter.opts if text != "--help"]
    assert "--out" in options
    taken = [option for option in options if any(text.startswith(option) for text in own)]
    assert taken == ["--run"]  # an earlier name, of which the help warns


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
    on_processes(2, TRAINING, str(store.path), str(tmp_path / "two"), json.dumps(settings))
    for newest in checkpoints.checkpoints(tmp_path / "two")[1:]:
        newest.unlink()
    on_processes(2, TRAINING, str(store.path), str(tmp_path / "two"), json.dumps(settings))
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
    monkeypatch.setattr(distributed, "world_size", lambda: 8)
    with pytest.raises(ParameterError, match=r"divisible among 8 processes; .* or set batches to multiples of 8"):
        distributed.own_pieces(4)


def test_few_groups_are_shared_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    own = []
    for rank in range(4):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        own += [piece.tolist() for piece in distributed.own_pieces(8)]
    assert own == [[0, 2], [4, 6], [1, 3], [5, 7]]


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 6, 7, 10, 18])
def test_a_minibatch_that_is_not_a_multiple_of_4_is_refused(store: Store, tmp_path: Path, batch: int) -> None:
    with pytest.raises(ParameterError, match=rf"minibatch of {batch} .* set batches to multiples of 4"):
        Run.open(store, tmp_path / "run", Config().changed({**LABELED, "batches": batch}))
    assert not (tmp_path / "run").exists()
