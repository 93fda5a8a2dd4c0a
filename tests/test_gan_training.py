"""Training on several processes, in pieces, with labels and with augmentation; hyper-parameters of the original."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import augment, checkpoints, distributed, losses, networks
from mammogan.gan.config import Config
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run
from mammogan.report.hyperparameters import table

SETTINGS = {
    "levels": 3, "latent": 8, "fmap_base": 64, "fmap_max": 8, "stable_images": 64, "fade_images": 64,
    "total_images": 480, "batches": "8", "ema": 0.9, "condition": "view", "seed": 5,
}  # fmt: skip
Gradients = dict[str, list[torch.Tensor]]


def gradients_of_a_step(store: Store, folder: Path, **settings: object) -> Gradients:
    """Gradients of D and of G, as both Adams get them, of the first step of a run."""
    run = Run(store, folder, Config().changed({**SETTINGS, **settings}))
    found: Gradients = {}

    def keep(adam: torch.optim.Optimizer, *_: object) -> None:
        name = next(name for name, other in run._optimizers.items() if other is adam)
        found[name] = [p.grad.clone() for p in adam.param_groups[0]["params"] if p.grad is not None]

    for optimizer in run._optimizers.values():
        optimizer.register_step_pre_hook(keep)
    run.step(Phase(level=2, alpha=0.5, batch=8, optimizer_epoch=0))
    return found


def assert_close(found: Gradients, expected: Gradients) -> None:
    assert found.keys() == expected.keys() == {"adam_g", "adam_d"}
    for name in expected:
        assert len(found[name]) == len(expected[name]) > 10
        for a, b in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()) + 1e-7)


def test_a_minibatch_in_pieces_has_the_same_gradient(store: Store, tmp_path: Path) -> None:
    whole = gradients_of_a_step(store, tmp_path / "whole")
    assert_close(gradients_of_a_step(store, tmp_path / "pieces", micro=4), whole)
    with pytest.raises(RunError, match="set micro to a multiple of 4"):
        Run(store, tmp_path / "torn", Config().changed({**SETTINGS, "micro": 3}))


WORKER = """
import sys
sys.path.insert(0, sys.argv[4])
import torch
torch.set_num_threads(1)
from pathlib import Path
from mammogan.data.store import Store
from mammogan.gan import distributed
from test_gan_training import gradients_of_a_step
found = gradients_of_a_step(Store.open(sys.argv[1]), Path(sys.argv[2]))
assert distributed.count() == 2
torch.save(found, f"{sys.argv[3]}.{distributed.rank()}")
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


def test_two_processes_have_the_gradient_of_one(store: Store, tmp_path: Path) -> None:
    """Penalty included: its gradient of a gradient is summed over the processes like the rest."""
    arguments = [str(store.path), str(tmp_path / "run"), str(tmp_path / "found"), str(Path(__file__).parent)]
    on_two_processes(WORKER, *arguments)
    expected = gradients_of_a_step(store, tmp_path / "one")
    for rank in range(2):
        assert_close(torch.load(tmp_path / f"found.{rank}"), expected)
    assert [path.name for path in tmp_path.glob("run/*.json")] == ["config.json"]


TRAINING = """
import json, sys, time
import torch
torch.set_num_threads(1)
from mammogan.data.store import Store
from mammogan.gan import distributed
from mammogan.gan.config import Config
from mammogan.gan.training import Run
run = Run(Store.open(sys.argv[1]), sys.argv[2], Config().changed(json.loads(sys.argv[3])))
if distributed.rank():
    time.sleep(0.5)  # the first process has written its first checkpoint by then
run.train()
distributed.stop()
"""


def test_two_processes_train_and_continue_as_one(store: Store, tmp_path: Path) -> None:
    settings = {**SETTINGS, "total_images": 96, "checkpoint_images": 32, "sample_images": 0}
    Run(store, tmp_path / "one", Config().changed(settings)).train()
    on_two_processes(TRAINING, str(store.path), str(tmp_path / "two"), json.dumps(settings))
    for newest in checkpoints.checkpoints(tmp_path / "two")[1:]:
        newest.unlink()
    on_two_processes(TRAINING, str(store.path), str(tmp_path / "two"), json.dumps(settings))
    one, two = (checkpoints.latest(tmp_path / name) for name in ("one", "two"))
    assert one[1]["images"] == two[1]["images"] == 96
    for name, value in one[0].items():
        torch.testing.assert_close(two[0][name], value, rtol=1e-3, atol=1e-3, msg=name)  # sums in another order


def test_torchrun_gives_out_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.start("cuda:1") == "cuda:1"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="say --device cuda, not cuda:1"):
        distributed.start("cuda:1")


def test_shares_keep_groups_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "count", lambda: 2)
    seen = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        for piece in distributed.shares(16, 4):
            assert len(set((piece % 4).tolist())) == 1  # the groups of 16 images are those with one remainder by 4
            seen += piece.tolist()
    assert sorted(seen) == list(range(16))
    with pytest.raises(RunError, match="multiples of 8"):
        distributed.shares(12)


def test_labels_reach_both_networks() -> None:
    torch.manual_seed(0)
    architecture = Architecture(levels=2, latent=6, labels=2, fmap_base=32, fmap_max=8)
    g, d = Generator(architecture).double(), Discriminator(architecture).double()
    z = torch.randn(4, 6, dtype=torch.float64)
    one, other = (torch.eye(2, dtype=torch.float64)[[k] * 4] for k in (0, 1))
    # The same weights without labels, given latents and labels joined.
    plain = Generator(Architecture(levels=2, latent=8, fmap_base=32, fmap_max=8)).double()
    plain.load_state_dict(g.state_dict())
    torch.testing.assert_close(g(z, 1, 0.3, one), plain(torch.cat([z, one], 1), 1, 0.3))
    image = g(z, 1, 1.0, one)
    assert (image - g(z, 1, 1.0, other)).abs().max() > 1e-3
    # Miyato & Koyama 2018, equation 3: scores of two labels differ by a linear function of D's last features.
    blind = Discriminator(Architecture(levels=2, latent=6, fmap_base=32, fmap_max=8)).double()
    blind.load_state_dict({k: v for k, v in d.state_dict().items() if k != "embed"})
    features = []
    blind.score.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    base = blind(image, 1)
    for k, labels in enumerate((one, other)):
        expected = base + features[0] @ d.embed[:, k] / d.embed.shape[0] ** 0.5
        torch.testing.assert_close(d(image, 1, 1.0, labels), expected)


def test_augmentation_by_known_changes() -> None:
    image = torch.rand(1, 1, 20, 16, dtype=torch.float64) * 2 - 1
    nothing = torch.tensor([[1.0, 0, 1, 1, 0, 0, 1, 0]])
    torch.testing.assert_close(augment.apply(image, nothing), image, rtol=1e-9, atol=1e-9)

    def changed(**values: float) -> torch.Tensor:
        names = ["flip", "angle", "scale", "aspect", "down", "right", "contrast", "brightness"]
        row = nothing.clone()
        for name, value in values.items():
            row[0, names.index(name)] = value
        return augment.apply(image, row)

    torch.testing.assert_close(changed(flip=-1), image.flip(3), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(changed(angle=torch.pi), image.flip(2, 3), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(changed(contrast=0.5, brightness=0.25), image * 0.5 + 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        same = augment.apply(image.float(), nothing.float())
    torch.testing.assert_close(same, image.float())
    down = changed(down=0.25)  # a quarter of the height comes from beyond the edge, black
    assert torch.all(down[..., -5:, :] == -1)
    torch.testing.assert_close(down[..., :15, :], image[..., 5:, :], rtol=1e-9, atol=1e-9)
    # A quarter turn of a square is numpy's rot90; a rectangle is not sheared, only cut.
    square = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    turn = nothing.clone()
    turn[0, 1] = torch.pi / 2
    turned = augment.apply(square, turn)
    either = [torch.rot90(square, k, (2, 3)) for k in (1, 3)]
    assert min(float((turned - other).abs().max()) for other in either) < 1e-5


def test_augmentation_follows_overfitting() -> None:
    random = torch.Generator().manual_seed(0)
    untouched = augment.draw(64, 0.0, random)
    torch.testing.assert_close(untouched, torch.tensor([[1.0, 0, 1, 1, 0, 0, 1, 0]]).expand(64, 8))
    often = augment.draw(4000, 0.5, random)
    assert 0.45 < float((often[:, 1] != 0).float().mean()) < 0.55
    assert augment.overfitting(2.0, 2.0, -1.0) == 0
    assert augment.overfitting(2.0, -1.0, -1.0) == 1
    assert augment.adapted(0.1, 0.9, 0.6, 1000, 100_000) == pytest.approx(0.11)
    assert augment.adapted(0.1, 0.2, 0.6, 1000, 100_000) == pytest.approx(0.09)
    assert augment.adapted(0.8, 0.9, 0.6, 1000, 10_000) == augment.MOST
    with pytest.raises(RunError, match="set split=train"):
        Config().changed({"augment": 0.6})


NOTES = Path(__file__).resolve().parents[2] / "shared" / "pggan.md"


def test_hyper_parameters_are_the_originals() -> None:
    """Every value in the table of the original's hyper-parameters, read from the notes beside the checkout."""
    if not NOTES.is_file():
        pytest.skip("no notes on the original beside the checkout")
    rows = [line.split("|")[1:3] for line in NOTES.read_text().splitlines() if line.startswith("| ")]
    stated = {name.strip(): value.strip() for name, value in rows}
    c, a = Config(), Architecture()

    def numbers(row: str) -> list[float]:
        return [float(x) for x in re.findall(r"(?<![\w.])\d*\.?\d+(?:e-\d+)?", stated[row])]

    assert numbers("feature maps")[:3] == [a.fmap_base, 2, a.fmap_max]
    assert numbers("feature maps")[3:] == [a.maps(level) for level in range(a.levels)]
    assert numbers("latent")[0] == c.latent == a.latent
    assert "gain sqrt(2)/4" in stated["first layer"]
    tiny = Generator(Architecture(levels=2, fmap_max=4))
    assert tiny.dense.scale == pytest.approx(2**0.5 / 4 / 512**0.5)
    assert "gain sqrt(2); 1 for toRGB" in stated["equalized learning rate"]
    assert tiny.first.scale == pytest.approx((2 / 36) ** 0.5)
    assert tiny.to_image[0].scale == pytest.approx(0.5)
    assert numbers("order")[-1] == networks.LEAK
    assert numbers("minibatch stddev")[0] == networks.GROUP
    assert "fused" in stated["up and down"] and c.fused
    assert numbers("loss") == [losses.LAMBDA, losses.TARGET, losses.DRIFT]
    adam = re.match(r"Adam beta1 (\S+), beta2 (\S+), eps (\S+); lr (\S+)", stated["optimiser"])
    assert adam is not None
    assert [float(x) for x in adam.groups()] == [c.adam_beta1, c.adam_beta2, c.adam_eps, c.learning_rate[0]]
    assert numbers("critic steps")[-1] == c.repeats
    assert numbers("EMA of G")[0] == c.ema
    fade, stable, total = re.match(r"(\d+) thousand.* (\d+) thousand.* (\d+) million", stated["phases"]).groups()
    assert (c.fade_images, c.stable_images, c.total_images) == (
        int(fade) * 1000,
        int(stable) * 1000,
        int(total) * 10**6,
    )
    assert numbers("minibatch on one GPU") == list(c.batches)


def test_learning_rates_are_the_originals_and_shown_by_level() -> None:
    # config.py:100 as well: "G_lrate_dict = {1024: 0.0015}", which the notes leave out.
    assert Config().learning_rate == (0.001,) * 8 + (0.0015,)
    shown = {row["setting"]: row["here"] for row in table(Config())}
    assert shown["learning_rate"] == "8 x 0.001, 0.0015"
    assert shown["batches"] == "3 x 128, 64, 32, 16, 8, 2 x 4"
