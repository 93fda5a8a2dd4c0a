"""A run that is killed ends bit for bit as an unbroken one; what stops a run is reported."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_runs import AUGMENTED, BY_VIEW, LATE, SCRIPT, SHORT, SMOOTH, arguments, assert_same_end

from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.errors import OutputError, ParameterError, RunError, StoreError
from mammogan.gan import checkpoints, training
from mammogan.gan.config import Config, preset
from mammogan.gan.sampling import Sampler, sample
from mammogan.gan.snapshot import publish_run
from mammogan.gan.training import Run
from mammogan.gan.writers import Draw
from mammogan.metrics.moments import image_moments


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [100, 230, 330])
def test_killed_run_ends_bit_for_bit_where_an_unbroken_one_ends(
    store: Store, finished: Path, tmp_path: Path, kill_at: int
) -> None:
    kill_and_continue(arguments(store, tmp_path / "killed", SHORT), kill_at)
    assert_same_end(tmp_path / "killed", finished)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {**SMOOTH, **LATE}], ids=["plain", "smooth"])
def test_killed_run_with_augmentation_ends_bit_for_bit_where_an_unbroken_one_ends(
    split_store: Store, tmp_path: Path, settings: dict[str, object]
) -> None:
    whole, killed = (arguments(split_store, tmp_path / name, AUGMENTED | settings) for name in ("whole", "killed"))
    subprocess.run([sys.executable, "-c", SCRIPT, *whole, "0"], check=True)
    kill_and_continue(killed, 230)
    assert_same_end(tmp_path / "killed", tmp_path / "whole")
    assert checkpoints.trained(tmp_path / "whole").state["augment_p"] > 0


@pytest.mark.slow
def test_a_run_begins_with_the_networks_of_another(store: Store, finished: Path, tmp_path: Path) -> None:
    late = Config().changed({**SHORT, "first_level": 1, "total_images": 64})
    run = Run.open(store, tmp_path / "run", late, start=finished)
    before = checkpoints.trained(finished)
    for name, weight in run.average.state_dict().items():
        assert torch.equal(weight, before.part("average")[name])
    assert run.schedule.at(0).level == 1
    run.train()
    after = checkpoints.trained(tmp_path / "run").state
    assert after["start"] == {"images": before.state["images"], "store": store.fingerprint}
    assert (
        Run.open(store, tmp_path / "run", late).images == Run.open(store, tmp_path / "run", late, start=finished).images
    )
    with pytest.raises(RunError, match="did not begin with that one"):
        Run.open(store, tmp_path / "run", late, start=tmp_path / "run")
    edge = Run.open(store, tmp_path / "edge", late.changed({"edge_levels": 1}), start=finished)
    assert torch.equal(edge.generator.dense.weight, before.part("generator")["dense.weight"])
    with pytest.raises(RunError, match="have another shape"):
        Run.open(store, tmp_path / "other", late.changed({"latent": 7}), start=finished)
    publish_run(finished, tmp_path / "published")
    with pytest.raises(RunError, match="without discriminator"):
        Run.open(store, tmp_path / "other", late, start=tmp_path / "published")


@pytest.mark.slow
@pytest.mark.parametrize("augmented", [False, True])
def test_killed_run_of_pairs_ends_bit_for_bit_where_an_unbroken_one_ends(
    split_store: Store, tmp_path: Path, augmented: bool
) -> None:
    split_by_patient(split_store, tmp_path / "store")
    settings = {**(AUGMENTED if augmented else SHORT), **SMOOTH, "condition": "density", "views": "pair"}
    by_patient = Store.open(tmp_path / "store")
    whole, killed = (arguments(by_patient, tmp_path / name, settings) for name in ("whole", "killed"))
    subprocess.run([sys.executable, "-c", SCRIPT, *whole, "0"], check=True)
    kill_and_continue(killed, 230)
    assert_same_end(tmp_path / "killed", tmp_path / "whole")
    assert checkpoints.trained(tmp_path / "whole").architecture.channels == 2
    sheet = np.load(tmp_path / "whole" / "samples" / f"{SHORT['total_images']:012d}.npy")
    assert sheet.shape == (16, 20, 16)
    assert not np.array_equal(sheet[0], sheet[1])


@pytest.mark.slow
def test_ten_levels_grow_to_2560_x_2048_and_survive_a_kill(tmp_path: Path) -> None:
    write_population(tmp_path / "phantoms", 2, seed=1, height=2560, width=2048)
    store = ingest([tmp_path / "phantoms"], tmp_path / "store", Settings(height=2560, width=2048))
    assert (len(store), store.sizes[0], store.sizes[-1]) == (2, (5, 4), (2560, 2048))
    # Two levels per minibatch, and two minibatches at the last one.
    narrow = {
        **preset("paper-2560").to_dict(), "latent": 8, "fmap_base": 1024, "fmap_max": 8, "batches": [4], "repeats": 1,
        "stable_images": 1, "fade_images": 1, "total_images": 28, "checkpoint_images": 4, "sample_images": 0,
    }  # fmt: skip
    whole, killed = (arguments(store, tmp_path / name, narrow) for name in ("whole", "killed"))
    subprocess.run([sys.executable, "-c", SCRIPT, *whole, "0"], check=True)
    kill_and_continue(killed, 24, 600)
    assert_same_end(tmp_path / "killed", tmp_path / "whole")
    sampler = Sampler.open(tmp_path / "whole")
    assert (sampler.size, sampler.batch) == ((2560, 2048), 1)
    drawn = Store.open(sample(tmp_path / "whole", tmp_path / "drawn", Draw(2), "zarr"))
    assert image_moments(drawn.images(), drawn.bits).shape == (2, 5)


def split_by_patient(store: Store, path: Path) -> None:
    """Copy a store, every other patient of it held out."""
    shutil.copytree(store.path, path)
    held_out = store.manifest["patient"].factorize()[0] % 2 == 1
    manifest = store.manifest.assign(split=np.where(held_out, "validation", "train"))
    manifest.to_parquet(path / "manifest.parquet", index=False)


def test_pairs_are_counted_and_needed(split_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = {**SHORT, "views": "pair"}
    run = Run.open(split_store, tmp_path / "run", Config().changed({**pairs, "split": "train"}))
    count = len(run._dataset(0, "train").rows)
    images = int((split_store.manifest["split"] == "train").sum())
    assert f"{images - 2 * count} images are left out; the other {2 * count} are {count} pairs" in caplog.text
    lone = replace(split_store, manifest=split_store.manifest.assign(split=split_store.manifest["view"]))
    with pytest.raises(RunError, match=r"No breast of .* of the split 'MLO' has both"):
        Run.open(lone, tmp_path / "none", Config().changed({**pairs, "split": "MLO"}))
    lone = replace(split_store, manifest=split_store.manifest.assign(split="train"))
    with pytest.raises(StoreError, match="no images in the split 'validation'"):
        Run.open(lone, tmp_path / "none", Config().changed(AUGMENTED))
    assert not (tmp_path / "none").exists()


def kill_and_continue(words: list[str], kill_at: int, seconds: float = 90) -> None:
    """Kill a run once it has seen `kill_at` images, which takes some seconds, and let the same command end it."""
    folder, command = Path(words[1]), [sys.executable, "-c", SCRIPT, *words]
    broken = subprocess.Popen([*command, "0.05"])
    log = folder / "stats.jsonl"
    deadline = time.time() + seconds
    while time.time() < deadline:
        lines = log.read_text().splitlines() if log.exists() else []
        if lines and lines[-1].endswith("}") and json.loads(lines[-1])["images"] >= kill_at:
            break
        time.sleep(0.01)
    os.kill(broken.pid, signal.SIGKILL)
    broken.wait()
    assert checkpoints.trained(folder).state["images"] < SHORT["total_images"]
    subprocess.run([*command, "0"], check=True)


def test_another_store_or_setting_is_refused(store: Store, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"other settings \(ema\)"):
        Run.open(store, run, Config().changed({**BY_VIEW, "ema": 0.5}))
    with pytest.raises(RunError, match="4 levels up to 40 x 32; set levels=4"):
        Run.open(store, run, Config().changed({**BY_VIEW, "levels": 9}))
    monkeypatch.setattr(Store, "fingerprint", "another")
    with pytest.raises(RunError, match="a run with another store"):
        Run.open(store, run, Config().changed(BY_VIEW))


def test_a_run_may_go_on_in_smaller_pieces(store: Store, run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    Run.open(store, folder, Config().changed({**BY_VIEW, "micro": 4}))
    assert json.loads((folder / "config.json").read_text())["config"]["micro"] == 4


def test_learning_rates_are_the_levels(store: Store, tmp_path: Path) -> None:
    run = Run.open(store, tmp_path / "run", Config().changed(SHORT))
    assert run.config.learning_rate == (0.001, 0.002, 0.002)
    rates = []
    for images in (0, 64, 479):
        phase = run.schedule.at(images)
        run.step(phase)
        rates.append((phase.level, run.adam_g.param_groups[0]["lr"], run.adam_d.param_groups[0]["lr"]))
    assert rates == [(0, 0.001, 0.001), (1, 0.002, 0.002), (2, 0.002, 0.002)]


def test_learning_rate_falls_and_the_penalty_is_lazy(store: Store, tmp_path: Path) -> None:
    run = Run.open(store, tmp_path / "run", Config().changed({**SHORT, "learning_rate": 0.002, **LATE}))
    rates, penalized = [], []
    for run.images in (0, 16, 24, 48, 280, 380, 472):
        penalized.append(run.step(run.schedule.at(run.images))["penalty"] > 0)
        rates.append(run.adam_g.param_groups[0]["lr"])
    assert rates == pytest.approx([0.002, 0.002, 0.002, 0.002, 0.002, 0.001, 0.00008])
    assert penalized == [True, False, True, True, False, False, False]


def test_images_for_the_critic_are_within_the_gray_levels(store: Store, tmp_path: Path) -> None:
    run = Run.open(store, tmp_path / "run", Config().changed({**SHORT, **SMOOTH}))
    seen: list[torch.Tensor] = []
    run.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        run.generator.to_image[2].bias.fill_(-1.5)
    run.step(run.schedule.at(479))
    drawn = seen[-1]  # by G for its own update
    assert (drawn == -1).float().mean() > 0.25
    assert all(images.min() >= -1 and images.max() <= 1 for images in seen)


def test_too_little_memory_says_what_to_do(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(run: Run, phase: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    run = Run.open(store, tmp_path / "run", Config().changed(SHORT))
    monkeypatch.setattr(Run, "step", too_much)
    with pytest.raises(RunError, match="8 images at a time; continue with --set micro=4"):
        run.train()
    # Four images are the fewest: the groups of D's standard deviation.
    run = Run.open(store, tmp_path / "run", Config().changed({**SHORT, "micro": 4}))
    with pytest.raises(RunError, match="4 images at a time; continue on a device that has more"):
        run.train()


@pytest.mark.parametrize("what", ["config.json", "samples/000000000000.npy", "stats.jsonl"])
def test_a_full_disk_is_reported_whatever_is_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    sentence = f"The disk of .*{what} is full; free space in /.* and run the same command again"
    if what == "config.json":
        monkeypatch.setattr(os, "fsync", full)
    elif what == "stats.jsonl":
        (tmp_path / "run" / what).mkdir(parents=True)  # no more writable than a full disk
        sentence = f"{what} cannot be written .Is a directory.; correct that and run again"
    else:
        monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match=sentence):
        Run.open(store, tmp_path / "run", Config().changed(SHORT)).train()


def test_non_finite_gradients_are_skipped_and_counted(store: Store, tmp_path: Path) -> None:
    run = Run.open(store, tmp_path / "run", Config().changed(SHORT))
    skips = {"loss_d": torch.ones(()), "skipped_d": torch.ones(()), "skipped_g": torch.zeros(())}
    run.images, run._unread = 8, [(0, skips)]
    run._read()
    assert (run.skipped, run.skipped_at, run.sums) == (1, [0], {"loss_d": 0.25})
    # They are counted in a window of 500 minibatches of 8 images.
    run.images, run.skipped_at = 4008, [8] * 60 + [9] * 99
    run._unread = [(4000, skips)]
    run._read()
    assert (run.skipped, run.skipped_at) == (2, [9] * 99 + [4000])
    run._unread = [(4000, skips)]
    with pytest.raises(RunError, match=r"101 of the last 1000 updates .* as --set learning_rate=0.001: it continues"):
        run._read()


def test_a_run_that_diverged_continues_as_it_is_advised(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training, "MAX_SKIPPED", 20)
    settings = {**SHORT, "checkpoint_images": 32, "total_images": 192}
    for _ in range(2):  # the same command ends the same way
        with pytest.raises(RunError, match="learning_rate=5e\\+29: it continues before them"):
            Run.open(store, tmp_path / "run", Config().changed({**settings, "learning_rate": 1e30})).train()
    healthy, *failing = [checkpoints.load(path).state for path in checkpoints.checkpoints(tmp_path / "run")]
    assert not healthy["skipped_at"] and all(state["skipped_at"] for state in failing)
    run = Run.open(store, tmp_path / "run", Config().changed({**settings, "learning_rate": 0.001}))
    assert run.images == healthy["images"] < failing[0]["images"]
    assert f"Continued at {run.images} images" in caplog.text
    assert [int(path.stem) for path in checkpoints.checkpoints(tmp_path / "run")] == [run.images]
    run.train()
    assert checkpoints.trained(tmp_path / "run").state["skipped_at"] == []


def test_the_log_is_json_whatever_the_losses_are(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(store, tmp_path / "run", Config().changed({**SHORT, "total_images": 32}))
    numbers = {"loss_d": torch.tensor(math.nan), "skipped_d": torch.zeros(()), "skipped_g": torch.zeros(())}
    monkeypatch.setattr(Run, "step", lambda run, phase: setattr(run, "images", run.images + 8) or numbers)
    run.train(log=(lines := []).append)
    assert math.isnan(lines[0]["loss_d"])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = json.loads((tmp_path / "run" / "stats.jsonl").read_text(), parse_constant=refuse)
    assert line["loss_d"] is None


def test_checkpoints_are_written_by_the_clock(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**SHORT, "total_images": 128, "stable_images": 512, "checkpoint_images": 0}
    saved: list[int] = []
    save = checkpoints.save_run
    monkeypatch.setattr(
        checkpoints, "save_run", lambda run, tensors, state: saved.append(state["images"]) or save(run, tensors, state)
    )
    for minutes in (15, 0, 1e-9):
        run = Run.open(store, tmp_path / str(minutes), Config().changed({**settings, "checkpoint_minutes": minutes}))
        run.train()
    assert saved == [0, 128, 0, 128, 0, 32, 64, 96, 128]


def test_a_sheet_is_drawn_in_pieces_and_after_the_checkpoint(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config().changed({**SHORT, "total_images": 64, "micro": 4})
    run = Run.open(store, tmp_path / "run", settings)
    counts: list[int] = []

    def too_large(average: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        counts.append(len(given[0]))
        if run.images == 64:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = run.average.register_forward_pre_hook(too_large)
    with pytest.raises(RunError, match="4 images at a time"):
        run.train()
    hook.remove()
    assert set(counts) == {4}
    assert checkpoints.trained(tmp_path / "run").state["images"] == 64
    assert not (tmp_path / "run" / "samples" / "000000000064.npy").exists()
    Run.open(store, tmp_path / "run", settings).train()
    assert np.load(tmp_path / "run" / "samples" / "000000000064.npy").shape == (16, 5, 4)


def test_progress_states_the_time_left(store: Store, tmp_path: Path) -> None:
    notes: list[str] = []
    run = Run.open(store, tmp_path / "run", Config().changed({**SHORT, "total_images": 64}))
    run.train(progress=lambda task, done, total, note: notes.append(note))
    assert notes[0].startswith("5x4 alpha 1.00 ") and "about " in notes[0]
    assert notes[-1].endswith(" about 0 h left")


def test_a_step_keeps_to_its_device(split_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # "meta" replaces a GPU: an operation that mixes it with the processor fails, and one that waits for a value of it.
    # It has no autocast and no fused Adam.
    monkeypatch.setattr(training, "new_adam", lambda parameters, config: torch.optim.Adam(parameters))
    monkeypatch.setattr(training, "update", lambda adam: adam.step() or torch.zeros((), device="meta"))
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *args: False)
    devices: list[str] = []
    run = Run.open(split_store, tmp_path / "run", Config().changed(AUGMENTED), "meta")
    phase = run.schedule.at(96)
    assert 0 < phase.alpha < 1
    numbers = run.step(phase)
    assert {number.device.type for number in numbers.values()} == {"meta"}
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: devices.append(tensor.device.type) or 0.5)
    run._steer_augmentation(phase, dict.fromkeys(numbers, 0.5), 8)
    assert set(devices) == {"meta"}


def test_a_store_that_cannot_grow_is_refused(phantoms: Path, tmp_path: Path) -> None:
    odd = ingest([phantoms], tmp_path / "odd", Settings(height=75, width=60))
    with pytest.raises(ParameterError, match="75 x 60 pixels halve only down to 75 x 60, and a GAN grows from 16"):
        Run.open(odd, tmp_path / "run", Config())
    assert not (tmp_path / "run").exists()


def test_generators_are_kept_at_the_end_of_each_phase(run: Path) -> None:
    kept = checkpoints.generators(run)
    assert list(kept) == [64, 128, 192, 256, 320, 384, 448]
    sizes = [Sampler.open(run, at=images).size for images in kept]
    assert sizes == [(5, 4), (10, 8), (10, 8), (20, 16), (20, 16), (20, 16), (20, 16)]
    assert {Sampler.open(run, at=images).alpha for images in kept} == {1}
    last, newest = Sampler.open(run, at=448), Sampler.open(run)
    difference = np.abs(next(last.draw(1, 0)).astype(int) - next(newest.draw(1, 0)))
    assert difference.max() <= 20  # half precision, of 4095
    assert last.fingerprint != newest.fingerprint
    with pytest.raises(RunError, match="kept no generator at 65"):
        Sampler.open(run, at=65)
