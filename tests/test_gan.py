"""The GAN against a slow, plain reference in float64; the schedule against the original's rule; exact resuming."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config, preset
from mammogan.gan.dataset import RealImages, to_gray
from mammogan.gan.device import configure_device
from mammogan.gan.losses import discriminator_loss, gradient_penalty, scores_of_both
from mammogan.gan.networks import Architecture, Discriminator, DownConv, Generator, UpConv, minibatch_stddev
from mammogan.gan.sampling import Sampler, sample
from mammogan.gan.schedule import Schedule
from mammogan.gan.training import Run

TINY = Architecture(base=(5, 4), levels=3, latent=6, fmap_base=32, fmap_max=8)


def lrelu(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def norm(x: torch.Tensor) -> torch.Tensor:
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-8)


def plain_conv(layer: nn.Module, x: torch.Tensor, gain: float = 2**0.5) -> torch.Tensor:
    """A convolution by its definition: weight scaled, then a sum over shifted copies."""
    weight = layer.weight * gain / np.sqrt(layer.weight[0].numel())
    reach = weight.shape[-1] // 2
    padded = F.pad(x, (reach,) * 4)
    h, w = x.shape[2:]
    out = 0
    for dy in range(weight.shape[2]):
        for dx in range(weight.shape[3]):
            out = out + torch.einsum("nchw,oc->nohw", padded[:, :, dy : dy + h, dx : dx + w], weight[:, :, dy, dx])
    return out


def bias(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return x + layer.bias.reshape(1, -1, 1, 1)


def grow(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def shrink(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def plain_generator(g: Generator, z: torch.Tensor, level: int, alpha: float) -> torch.Tensor:
    maps, (h, w) = g.architecture.maps(0), g.architecture.base
    weight = g.dense.weight * (2**0.5 / 4) / np.sqrt(g.architecture.latent)
    x = (norm(z) @ weight.T).reshape(-1, maps, h, w)
    x = norm(lrelu(bias(g.dense, x)))
    x = norm(lrelu(bias(g.first, plain_conv(g.first, x))))
    pictures = [bias(g.to_image[0], plain_conv(g.to_image[0], x, 1))]
    for stage in range(level):
        x = norm(lrelu(bias(g.up[stage], plain_conv(g.up[stage], grow(x)))))
        x = norm(lrelu(bias(g.conv[stage], plain_conv(g.conv[stage], x))))
        pictures.append(bias(g.to_image[stage + 1], plain_conv(g.to_image[stage + 1], x, 1)))
    return pictures[level] if level == 0 else (1 - alpha) * grow(pictures[level - 1]) + alpha * pictures[level]


def plain_stddev(x: torch.Tensor, size: int = 4) -> torch.Tensor:
    n = len(x)
    size = min(size, n)
    groups = n // size
    maps = torch.zeros(n, 1, *x.shape[2:], dtype=x.dtype)
    for g in range(groups):
        members = list(range(g, n, groups))  # strided, as the original's reshape to [group, N / group]
        part = x[members]
        maps[members] = torch.sqrt(((part - part.mean(0)) ** 2).mean(0) + 1e-8).mean()
    return torch.cat([x, maps], 1)


def plain_discriminator(d: Discriminator, image: torch.Tensor, level: int, alpha: float) -> torch.Tensor:
    x = lrelu(bias(d.from_image[level], plain_conv(d.from_image[level], image)))
    for stage in range(level, 0, -1):
        x = lrelu(bias(d.conv[stage - 1], plain_conv(d.conv[stage - 1], x)))
        x = plain_conv(d.down[stage - 1], x)
        if d.architecture.fused:  # halving inside the convolution, the activation behind it
            x = lrelu(bias(d.down[stage - 1], shrink(x)))
        else:
            x = shrink(lrelu(bias(d.down[stage - 1], x)))
        if stage == level:
            below = d.from_image[level - 1]
            x = alpha * x + (1 - alpha) * lrelu(bias(below, plain_conv(below, shrink(image))))
    x = lrelu(bias(d.last, plain_conv(d.last, plain_stddev(x))))
    x = lrelu(x.flatten(1) @ (d.dense.weight * (2 / d.dense.weight.shape[1]) ** 0.5).T + d.dense.bias)
    return (x @ (d.score.weight / d.score.weight.shape[1] ** 0.5).T + d.score.bias)[:, 0]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (1, 0.0), (1, 0.4), (2, 0.7), (2, 1.0)])
def test_networks_equal_the_plain_reference(fused: bool, level: int, alpha: float) -> None:
    torch.manual_seed(0)
    architecture = Architecture(**{**vars(TINY), "fused": fused})
    g, d = Generator(architecture).double(), Discriminator(architecture).double()
    for parameter in [*g.parameters(), *d.parameters()]:
        nn.init.normal_(parameter)  # biases too: zeros would hide their place
    z = torch.randn(8, 6, dtype=torch.float64)
    image = g(z, level, alpha)
    assert image.shape == (8, 1, *architecture.size(level))
    torch.testing.assert_close(image, plain_generator(g, z, level, alpha), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        d(image, level, alpha), plain_discriminator(d, image, level, alpha), rtol=1e-10, atol=1e-10
    )


def test_fused_scaling_is_scaling_and_convolution() -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 10, 8, dtype=torch.float64)
    fused, plain = UpConv(3, 5, True).double(), UpConv(3, 5, False).double()
    plain.load_state_dict(fused.state_dict())
    torch.testing.assert_close(fused(x), plain(x), rtol=1e-12, atol=1e-12)
    # Halving and convolving commute; halving and activating do not.
    fused, plain = DownConv(3, 5, True).double(), DownConv(3, 5, False).double()
    plain.load_state_dict(fused.state_dict())
    torch.testing.assert_close(fused(x), lrelu(shrink(plain_conv(fused, x))), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(plain(x), shrink(lrelu(plain_conv(plain, x))), rtol=1e-12, atol=1e-12)
    assert (fused(x) - plain(x)).abs().max() > 0.01


def test_stddev_groups_are_strided() -> None:
    x = torch.randn(8, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(minibatch_stddev(x), plain_stddev(x))
    with pytest.raises(ValueError, match="multiple of 4"):
        minibatch_stddev(x[:6])


def test_widths_and_sizes_of_the_original() -> None:
    full = Architecture()
    assert [full.maps(level) for level in range(9)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert full.size(8) == (1280, 1024)
    config = Config()
    assert (config.adam_beta1, config.adam_beta2, config.adam_eps, config.ema) == (0.0, 0.99, 1e-8, 0.999)
    assert config.batches == (128, 128, 128, 64, 32, 16, 8, 4, 4)
    assert (config.total_images, config.stable_images, config.fade_images) == (12_000_000, 600_000, 600_000)


def test_penalty_of_a_linear_critic() -> None:
    slope = torch.randn(1, 1, 5, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 6, 1, 5, 4)
    none = torch.zeros(6, 0)
    penalty = gradient_penalty(lambda x, _: (x.double() * slope).sum((1, 2, 3)), real, fake, none, torch.rand(6))
    expected = (slope.norm() - 1) ** 2
    torch.testing.assert_close(penalty.double(), expected.expand(6), rtol=1e-5, atol=1e-6)
    loss, parts = discriminator_loss(lambda x, _: x.mean((1, 2, 3)), real, fake, none, torch.rand(6))
    gradient = (1 / 20**0.5 - 1) ** 2
    by_hand = fake.mean() - real.mean() + 10 * gradient + 0.001 * real.mean((1, 2, 3)).square().mean()
    torch.testing.assert_close(loss, by_hand, rtol=1e-5, atol=1e-6)
    assert set(parts) == {"real_score", "fake_score", "penalty"}
    loss, _ = discriminator_loss(lambda x, _: x.mean((1, 2, 3)), real, fake, none, torch.rand(6), "r1")
    means = real.mean((1, 2, 3)), fake.mean((1, 2, 3))
    by_hand = F.softplus(-means[0]).mean() + F.softplus(means[1]).mean() + 10 / 2 / 20
    torch.testing.assert_close(loss, by_hand, rtol=1e-5, atol=1e-6)


def test_one_pass_over_real_and_generated_is_two() -> None:
    torch.manual_seed(2)
    d = Discriminator(Architecture(**{**vars(TINY), "labels": 2})).double()
    real, fake = torch.randn(2, 8, 1, 10, 8, dtype=torch.float64)
    labels = F.one_hot(torch.arange(8) % 2, 2).double()
    both = scores_of_both(lambda x, y: d(x, 1, 0.5, y), real, fake, labels)
    for scores, images in zip(both, (real, fake), strict=True):
        torch.testing.assert_close(scores, d(images, 1, 0.5, labels), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "images", [0, 599_999, 600_001, 900_000, 1_199_999, 1_200_001, 5_000_000, 10_300_000, 11_999_999]
)
def test_schedule_of_the_original(images: int) -> None:
    """train.py:41-72: the level of detail falls by one a phase, after 600,000 stable images in a fade."""
    index = images // 1_200_000
    lod = max(8 - index - max(images - index * 1_200_000 - 600_000, 0) / 600_000, 0)
    phase = Schedule(9, 600_000, 600_000, 12_000_000, Config().batches).at(images)
    assert phase.level == 8 - int(np.floor(lod))
    assert phase.alpha == pytest.approx(1 - (lod - np.floor(lod)), abs=1e-9)
    assert phase.batch == Config().batches[phase.level]


def test_adam_starts_afresh_at_both_ends_of_a_fade() -> None:
    schedule = Schedule(3, 10, 20, 100, (4, 4, 4))
    assert schedule.boundaries == [10, 30, 40, 60]
    assert [schedule.at(n).optimizer_epoch for n in (0, 9, 10, 29, 30, 39, 40, 60, 99)] == [0, 0, 1, 1, 2, 2, 3, 4, 4]
    with pytest.raises(ValueError, match="3 levels need 3"):
        Schedule(3, 10, 20, 100, (4, 4))


def test_reals_are_every_image_once_an_epoch(store: Store) -> None:
    reals = RealImages(store, (5, 4), "", seed=3)
    epoch = torch.cat([reals.batch(start, 4)[0] for start in range(0, 16, 4)])
    assert epoch.min() >= -1
    assert epoch.max() <= 1
    expected = store.images((5, 4))[:].astype(np.float32) * (2 / 4095) - 1
    order = np.lexsort(expected.reshape(16, -1).T)
    found = epoch[:, 0].numpy()
    np.testing.assert_allclose(found[np.lexsort(found.reshape(16, -1).T)], expected[order], rtol=1e-6)
    assert not torch.equal(reals.batch(16, 16)[0], epoch)
    torch.testing.assert_close(reals.batch(14, 4)[0][:2], epoch[14:])


SETTINGS = {
    "levels": 3, "latent": 8, "fmap_base": 64, "fmap_max": 8, "stable_images": 64, "fade_images": 64,
    "total_images": 480, "batches": "8", "checkpoint_images": 96, "sample_images": 0, "ema": 0.9,
    "learning_rate": "0.001 0.002",
}  # fmt: skip
SCRIPT = """
import json, sys, time
import torch
torch.set_num_threads(1)
from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.device import configure_device
from mammogan.gan.training import Run
run = Run(Store.open(sys.argv[1]), sys.argv[2], Config().changed(json.loads(sys.argv[3])), configure_device("cpu"))
run.train(log=lambda line: time.sleep(float(sys.argv[4])))
"""


def everything(run: Path) -> tuple[dict[str, torch.Tensor], dict, str]:
    path = checkpoints.checkpoints(run)[-1]
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["state"]), (run / "stats.jsonl").read_text()


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    command = [sys.executable, "-c", SCRIPT, str(store.path), str(folder), json.dumps(SETTINGS), "0"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def split_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same images, every third of them held out."""
    path = tmp_path_factory.mktemp("split") / "store"
    shutil.copytree(store.path, path)
    held_out = np.arange(len(store)) % 3 == 2
    manifest = store.manifest.assign(split=np.where(held_out, "validation", "train"))
    manifest.to_parquet(path / "manifest.parquet", index=False)
    return Store.open(path)


@pytest.mark.parametrize("kill_at", [100, 230, 330])
def test_killed_run_ends_bit_for_bit_where_an_unbroken_one_ends(
    store: Store, finished: Path, tmp_path: Path, kill_at: int
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(store.path), str(tmp_path / "killed"), json.dumps(SETTINGS)]
    kill_and_continue(command, kill_at)
    assert_same_end(tmp_path / "killed", finished)


# A target below all overfitting: augmentation sets in at once.
AUGMENTED = {**SETTINGS, "condition": "view", "augment": -1.0, "augment_images": 500, "split": "train", "micro": 4}


def test_killed_run_with_augmentation_ends_bit_for_bit_where_an_unbroken_one_ends(
    split_store: Store, tmp_path: Path
) -> None:
    commands = [
        [sys.executable, "-c", SCRIPT, str(split_store.path), str(tmp_path / name), json.dumps(AUGMENTED)]
        for name in ("whole", "killed")
    ]
    subprocess.run([*commands[0], "0"], check=True)
    kill_and_continue(commands[1], 230)
    assert_same_end(tmp_path / "killed", tmp_path / "whole")
    assert everything(tmp_path / "whole")[1]["augment_p"] > 0


def kill_and_continue(command: list[str], kill_at: int) -> None:
    """Kill a run once it has seen `kill_at` images, and let the same command end it."""
    folder = Path(command[4])
    broken = subprocess.Popen([*command, "0.05"])
    log = folder / "stats.jsonl"
    deadline = time.time() + 90
    while time.time() < deadline:
        lines = log.read_text().splitlines() if log.exists() else []
        if lines and lines[-1].endswith("}") and json.loads(lines[-1])["images"] >= kill_at:
            break
        time.sleep(0.01)
    os.kill(broken.pid, signal.SIGKILL)
    broken.wait()
    assert checkpoints.latest(folder)[1]["images"] < SETTINGS["total_images"]
    subprocess.run([*command, "0"], check=True)


def assert_same_end(folder: Path, finished: Path) -> None:
    (tensors, state, stats), (expected, expected_state, expected_stats) = everything(folder), everything(finished)
    assert stats == expected_stats
    assert state == expected_state
    assert tensors.keys() == expected.keys()
    assert any(name.startswith("adam_d/") for name in tensors)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


# The third checkpoint is cut in the middle: by a kill, or by a disk that takes no more.
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


@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_checkpoint_that_is_cut_short_loses_nothing(store: Store, finished: Path, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "cut"
    arguments = [str(store.path), str(folder), json.dumps(SETTINGS), "0", how]
    broken = subprocess.run([sys.executable, "-c", CUT + SCRIPT, *arguments], capture_output=True, text=True)
    if how == "kill":
        assert broken.returncode == -signal.SIGKILL
    else:
        assert broken.returncode == 1
        assert "cannot be written" in broken.stderr
        assert "free disk space and run again" in broken.stderr
        assert not list((folder / "checkpoints").glob(".*"))
    assert 0 < checkpoints.latest(folder)[1]["images"] < SETTINGS["total_images"]
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments], check=True)
    assert_same_end(folder, finished)


def test_a_broken_checkpoint_falls_back_to_the_one_before(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    newest = checkpoints.checkpoints(copy)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    assert checkpoints.latest(copy)[1]["images"] < 480
    with pytest.raises(RunError, match="cannot be read"):
        checkpoints.load(newest)


def test_another_store_or_setting_is_refused(store: Store, finished: Path) -> None:
    with pytest.raises(RunError, match="other settings \\(ema\\)"):
        Run(store, finished, Config().changed({**SETTINGS, "ema": 0.5}))
    with pytest.raises(RunError, match="4 levels up to 40 x 32"):
        Run(store, finished, Config().changed({**SETTINGS, "levels": 9}))
    with pytest.raises(RunError, match="no setting 'speed'"):
        Config().changed({"speed": 1})
    with pytest.raises(RunError, match="not of type"):
        Config().changed({"levels": "many"})
    with pytest.raises(RunError, match="not of type"):
        Config().changed({"batches": ""})
    with pytest.raises(RunError, match="no training profile"):
        preset("nope")


def test_a_run_may_go_on_in_smaller_pieces(store: Store, finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    Run(store, folder, Config().changed({**SETTINGS, "micro": 4}))
    assert json.loads((folder / "config.json").read_text())["config"]["micro"] == 4


def test_learning_rates_are_the_levels(store: Store, tmp_path: Path) -> None:
    run = Run(store, tmp_path / "run", Config().changed(SETTINGS))
    assert run.config.learning_rate == (0.001, 0.002, 0.002)
    rates = []
    for images in (0, 64, 479):
        phase = run.schedule.at(images)
        run.step(phase)
        rates.append((phase.level, run.adam_g.param_groups[0]["lr"], run.adam_d.param_groups[0]["lr"]))
    assert rates == [(0, 0.001, 0.001), (1, 0.002, 0.002), (2, 0.002, 0.002)]


def test_moments_come_back_in_the_layout_of_their_weights(store: Store, tmp_path: Path) -> None:
    settings = Config().changed({**SETTINGS, "channels_last": True, "total_images": 32})
    Run(store, tmp_path / "run", settings).train()
    run = Run(store, tmp_path / "run", settings)
    states = [(p, state["exp_avg_sq"]) for p, state in run.adam_d.state.items()]
    assert any(p.dim() == 4 and not p.is_contiguous() for p, _ in states)
    assert all(p.stride() == value.stride() for p, value in states)


def test_too_little_memory_says_what_to_do(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(run: Run, phase: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    run = Run(store, tmp_path / "run", Config().changed(SETTINGS))
    monkeypatch.setattr(Run, "step", too_much)
    with pytest.raises(RunError, match="8 images at a time; continue with --set micro=4"):
        run.train()
    # Four images are the fewest: the groups of D's standard deviation.
    run = Run(store, tmp_path / "run", Config().changed({**SETTINGS, "micro": 4}))
    with pytest.raises(RunError, match="4 images at a time; continue on a device that has more"):
        run.train()


@pytest.mark.parametrize("what", ["config.json", "samples/000000000000.npy", "stats.jsonl"])
def test_a_full_disk_is_said_whatever_is_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if what == "config.json":
        monkeypatch.setattr("mammogan.gan.training.write_json", full)
    elif what == "stats.jsonl":
        (tmp_path / "run" / what).mkdir(parents=True)  # as little to be written to as a full disk
    else:
        monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match=f"{what} cannot be written .*; free disk space and run again"):
        Run(store, tmp_path / "run", Config().changed(SETTINGS)).train()


def test_non_finite_gradients_are_skipped_and_counted(store: Store, tmp_path: Path) -> None:
    run = Run(store, tmp_path / "run", Config().changed(SETTINGS))
    before = [p.clone() for p in run.discriminator.parameters()]
    loss = sum((p * float("nan")).sum() for p in run.discriminator.parameters())
    loss.backward()
    run._update(run.adam_d)
    assert run.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(before, run.discriminator.parameters(), strict=True))
    run.skipped = 100
    with pytest.raises(RunError, match="non-finite"):
        run._update(run.adam_d)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16,tf32"])
def test_a_gpu_rounds_factors_only_where_it_may(store: Store, tmp_path: Path, precision: str) -> None:
    run = Run(store, tmp_path / "run", Config().changed({**SETTINGS, "precision": precision}))
    run.step(run.schedule.at(0))
    kinds = {torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision}
    assert kinds == {"tf32" if "tf32" in precision else "ieee"}
    configure_device("cpu")
    assert {torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision} == {"ieee"}


def test_a_step_keeps_to_its_device(split_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # "meta" stands for a GPU: an operation that mixes it with the processor fails. It has no values and no autocast.
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: True)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: devices.append(tensor.device.type) or 0.5)
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *args: False)
    devices: list[str] = []
    run = Run(split_store, tmp_path / "run", Config().changed(AUGMENTED), "meta")
    phase = run.schedule.at(96)
    assert 0 < phase.alpha < 1
    run._steer_augmentation(phase, run.step(phase), 8)
    assert set(devices) == {"meta"}


def test_samples_depend_on_seed_and_index_alone(finished: Path, tmp_path: Path) -> None:
    sampler = Sampler.open(finished)
    assert sampler.size == (20, 16)
    few, many = list(sampler.draw(3, 5)), list(sampler.draw(7, 5))
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one, other)
    made = Store.open(sample(finished, tmp_path / "s", 7, 5))
    assert (len(made), made.bits, made.sizes[-1]) == (7, 12, (20, 16))
    folder = sample(finished, tmp_path / "png", 2, 5, "png")
    assert len(list(folder.rglob("*.png"))) == 2
    with pytest.raises(RunError, match="no trained generator"):
        Sampler.open(tmp_path / "nothing")


def test_gray_grid() -> None:
    np.testing.assert_array_equal(to_gray(np.array([-2.0, -1, 0, 1, 3]), 12), [0, 0, 2048, 4095, 4095])
