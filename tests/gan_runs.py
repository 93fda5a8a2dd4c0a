"""Short trainings for the tests of the GAN: settings, a script for a process of its own, and comparisons."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import torch

from mammogan.data.store import Store
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.minibatch import Piece
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run

SHORT = {
    "levels": 3, "latent": 8, "fmap_base": 64, "fmap_max": 8, "stable_images": 64, "fade_images": 64,
    "total_images": 480, "batches": "8", "checkpoint_images": 96, "sample_images": 0, "ema": 0.9,
    "learning_rate": "0.001 0.002",
}  # fmt: skip
# A target below all overfitting: augmentation sets in at once.
AUGMENTED = {**SHORT, "condition": "view", "augment": -1.0, "augment_images": 500, "split": "train", "micro": 4}
SMOOTH = {"resampling": "bilinear", "noise": True, "clip": True, "dequantize": True, "edge_levels": 2}
LATE = {"penalty_every": 3, "average_images": 100, "decay_images": 200}
BY_VIEW = {
    **SHORT, "learning_rate": 0.001, "total_images": 448, "checkpoint_images": 0, "condition": "view", "noise": True,
}  # fmt: skip
LABELED = {**SHORT, "learning_rate": 0.001, "condition": "view", "seed": 5}
SCRIPT = """
import json, sys, time
import torch
torch.set_num_threads(1)
from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.device import configure_device
from mammogan.gan.training import Run
config = Config().changed(json.loads(sys.argv[3]))
run = Run.open(Store.open(sys.argv[1]), sys.argv[2], config, configure_device("cpu"))
run.train(log=lambda line: time.sleep(float(sys.argv[4])))
"""
Gradients = dict[str, list[torch.Tensor]]


def assert_same_end(folder: Path, expected_folder: Path) -> None:
    """Check that two runs have the same log and the same newest checkpoint, bit for bit."""
    assert (folder / "stats.jsonl").read_text() == (expected_folder / "stats.jsonl").read_text()
    paths = [checkpoints.checkpoints(run)[-1] for run in (folder, expected_folder)]
    (tensors, state), (expected, expected_state) = map(checkpoints.load, paths)
    assert state == expected_state
    assert tensors.keys() == expected.keys()
    assert any(name.startswith("adam_d/") for name in tensors)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def arguments(store: Store, folder: Path, settings: dict[str, object], *more: str) -> list[str]:
    """Return the arguments of `SCRIPT`; the last one is seconds to wait after each line of the log."""
    return [str(store.path), str(folder), json.dumps(settings), *more]


def gradients_of_a_step(
    store: Store, folder: Path, batch: int = 8, double: bool = False, **settings: object
) -> Gradients:
    """Return the gradients of D and of G that both Adams receive in the first step of a run, in float64 if `double`."""
    run = Run.open(store, folder, Config().changed({**LABELED, **settings}))
    gradients: Gradients = {}

    def keep(name: str, adam: torch.optim.Optimizer) -> None:
        parameters = adam.param_groups[0]["params"]
        gradients[name] = [p.grad.clone() for p in parameters if p.grad is not None]

    for name, adam in (("adam_g", run.adam_g), ("adam_d", run.adam_d)):
        adam.register_step_pre_hook(lambda adam, *_, name=name: keep(name, adam))
    if double:
        draw = run._draw
        for network in (run.generator, run.discriminator, run.average):
            network.double()

        def doubled(piece: Piece) -> Piece:
            return piece._replace(**{k: v.double() for k, v in piece._asdict().items() if k not in ("share", "seeds")})

        run._draw = lambda phase: [doubled(piece) for piece in draw(phase)]
    run.step(Phase(level=2, alpha=0.5, batch=batch, optimizer_epoch=0))
    return gradients


def assert_close(gradients: Gradients, expected: Gradients) -> None:
    """Check that gradients are equal but for rounding."""
    assert gradients.keys() == expected.keys() == {"adam_g", "adam_d"}
    for name in expected:
        assert len(gradients[name]) == len(expected[name]) > 10
        for a, b in zip(gradients[name], expected[name], strict=True):
            assert a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()) + 1e-7)


def read_table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a folder of drawn images."""
    with (folder / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))
