"""A published run: small, without images, readable like a run, and enough to rebuild chapters from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from small_stores import make_store
from typer.testing import CliRunner

from mammogan.__main__ import app
from mammogan.artifacts.inspection import read_key
from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.errors import OutputError, PipelineError, RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.sampling import Sampler
from mammogan.gan.snapshot import Snapshot, publish_run
from mammogan.gan.training import Run
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.pipeline import Pipeline, running
from mammogan.report import copies, training
from mammogan.report.inspection import TABLES, read_tables
from mammogan.report.labels import tables as labeled
from mammogan.report.provenance import ROOT
from mammogan.report.reference import export, origin_of
from mammogan.report.snapshots import choose, measure_snapshots

SMALL = {"levels": 4, "latent": 8, "fmap_base": 32, "fmap_max": 8, "batches": (4,), "stable_images": 8,
         "fade_images": 8, "total_images": 64, "checkpoint_images": 16, "sample_images": 16}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Of six patients: half of them stand against the others."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_population(folder, 24, seed=7, height=160, width=128)
    return ingest([folder], tmp_path_factory.mktemp("stores") / "store", Settings(height=40, width=32))


@pytest.fixture(scope="module")
def kept(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of 64 images and its reference folder."""
    folder = tmp_path_factory.mktemp("reference")
    Run.open(store, folder / "run", Config().changed(SMALL)).train()
    return folder / "run", export(folder / "run", store.path, folder / "kept", count=16)


@pytest.mark.slow
def test_the_copy_draws_the_same_images_but_for_half_precision(kept: tuple[Path, Path]) -> None:
    exact, half = (Sampler.open(path) for path in (kept[0], kept[1] / "run"))
    a, b = (np.stack(list(s.draw(4, 3))).astype(float) for s in (exact, half))
    assert half.images == exact.images == 64
    # Eleven bits of a weight are a part in two thousand; this net is all but untrained, and its contrast enormous.
    assert np.abs(a - b).mean() <= 0.005 * 4095
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999
    tensors, _ = checkpoints.latest(kept[1] / "run")
    assert all(name.startswith("average/") and str(t.dtype) == "torch.float16" for name, t in tensors.items())
    run, again = Snapshot.open(kept[0]), Snapshot.open(kept[1] / "run")
    assert run == again
    full, _ = checkpoints.latest(kept[0])
    for name in ("generator", "discriminator"):
        assert run.weights[name] == sum(t.numel() for k, t in full.items() if k.startswith(f"{name}/"))


@pytest.mark.slow
def test_a_run_that_was_killed_is_published_up_to_its_checkpoint(kept: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(kept[0], tmp_path / "run")
    for name in checkpoints.LOGS:
        with (tmp_path / "run" / name).open("a") as log:
            log.write('{"images": 68}\n{"images": 7')
    publish_run(tmp_path / "run", tmp_path / "published")
    for name in checkpoints.LOGS:
        assert (tmp_path / "published" / name).read_text() == (kept[0] / name).read_text()


@pytest.mark.slow
def test_the_tables_are_those_of_the_images(kept: tuple[Path, Path], store: Store) -> None:
    moments = pd.read_csv(kept[1] / "moments.csv", keep_default_na=False)
    found = moments.loc[moments["kind"] == "real", list(MOMENT_NAMES)].to_numpy(float)
    np.testing.assert_allclose(found, image_moments(store.images(), store.bits), rtol=1e-10)
    assert (moments["kind"] == "synthetic").sum() == 16
    tables = read_tables(kept[1] / "artifacts")
    assert set(tables) == set(TABLES)
    assert len(tables["synthetic"]) == 16
    assert len(tables["real"]) == len(store)
    assert not {"id", "patient", "source_sha256"} & set(tables["real"].columns)
    distances = pd.read_csv(kept[1] / "run" / "distances.csv")
    pd.testing.assert_frame_equal(distances, training.distances(kept[0], store, seed=1))
    assert distances["images"].tolist()[-1] == 64
    log, again = (training.read_log(run) for run in (kept[0], kept[1] / "run"))
    pd.testing.assert_frame_equal(log, again)
    assert (log["images_per_second"] > 0).all()
    names = ("texture", "features", "memorization", "pruned")
    values = [copies.read_section(kept[1] / "alignment", name).values.items() for name in names]
    assert [value.value for part in values for key, value in part if key.endswith(".n")] == [16, 16, 13]
    record = json.loads((kept[1] / "provenance.json").read_text())
    assert record["data_hash"] == store.fingerprint
    card = (kept[1] / "README.md").read_text()
    assert "64 of 64 images" in card
    assert "cannot show" in card
    # Nothing of the real images' pixels or of the machine.
    files = [p for p in kept[1].rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".md", ".json", ".jsonl", ".csv", ".npy", ".safetensors"}
    assert not any(str(kept[1].parent) in p.read_text() for p in files if p.suffix not in (".npy", ".safetensors"))
    with pytest.raises(OutputError, match="not empty"):
        export(kept[0], store.path, kept[1])


@pytest.mark.slow
def test_the_card_is_of_the_store_on_which_the_run_was_trained(
    kept: tuple[Path, Path], store: Store, tmp_path: Path
) -> None:
    """Neither an option nor another store decides what the card says."""
    card, record = ((kept[1] / name).read_text() for name in ("README.md", "provenance.json"))
    assert "Generator trained on phantoms" in card and json.loads(record)["origin"] == "phantoms"
    other = make_store(tmp_path / "other", 24, 1)
    assert store.fingerprint == Snapshot.open(kept[0]).store != other.fingerprint
    with pytest.raises(RunError, match=r"does not state that it was trained on .*other; give --real"):
        export(kept[0], other.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shutil.copytree(kept[0], tmp_path / "early")  # a run whose checkpoints do not state the store
    for path in checkpoints.checkpoints(tmp_path / "early"):
        tensors, state = checkpoints.load(path)
        checkpoints.save(path, tensors, {key: value for key, value in state.items() if key != "store"})
    assert Snapshot.open(tmp_path / "early").store == store.fingerprint
    with pytest.raises(RunError, match=r"more than 0\.001; give --megabytes 1 "):
        export(kept[0], store.path, tmp_path / "out", megabytes=0.001)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_origins_are_recognized_by_the_images(store: Store, tmp_path: Path) -> None:
    assert origin_of(store) == "phantoms"
    unknown = make_store(tmp_path / "unknown", 8, 1)
    assert origin_of(unknown) == "unnamed"
    for folder in (ROOT / "reference").iterdir():
        record = json.loads((folder / "provenance.json").read_text())
        unknown.attributes["fingerprint"] = record["data_hash"]
        expected = "unnamed" if record["origin"] == "phantoms" else record["origin"]  # no phantoms by their manifest
        assert origin_of(unknown) == expected


@pytest.mark.slow
def test_a_chosen_generator_is_published_as_it_was(store: Store, tmp_path: Path) -> None:
    settings = {**SMALL, "split": "train", "total_images": 80, "sample_images": 8}
    Run.open(store, tmp_path / "run", Config().changed(settings)).train()
    out = export(tmp_path / "run", store.path, tmp_path / "kept", count=16, choose=True)
    choice = pd.read_csv(out / "choice.csv")
    assert choice["images"].tolist() == [64, 80]
    assert choice["chosen"].sum() == 1
    images = int(choice.loc[choice["chosen"], "images"].item())
    assert choice["images"][choice["chosen"]].item() == choose(choice, 256)
    published, exact = Sampler.open(out / "run"), Sampler.open(tmp_path / "run", at=images)
    assert published.images == images
    assert published.fingerprint == exact.fingerprint
    assert max(int(path.stem) for path in (out / "run" / "samples").glob("*.npy")) <= images
    assert "**Choice.**" in (out / "README.md").read_text()
    with pytest.raises(RunError, match="split=train"):
        Run.open(store, tmp_path / "all", Config().changed(SMALL)).train()
        export(tmp_path / "all", store.path, tmp_path / "x", count=16, choose=True)


@pytest.mark.slow
def test_more_images_may_be_held_out_than_are_drawn(store: Store, tmp_path: Path) -> None:
    Run.open(store, tmp_path / "run", Config().changed({**SMALL, "split": "test", "sample_images": 64})).train()
    assert (~store.in_split("test")).sum() > 8
    measured = measure_snapshots(tmp_path / "run", store, count=8)
    assert measured["distance"].gt(0).all()
    assert measured["chosen"].sum() == 1


@pytest.mark.parametrize(
    ("flagged", "distance", "expected"),
    [
        ([0.10, 0.12, 0.50], [50, 40, 10], 200),  # the last one is flagged too often to be near by right
        ([0.0, 0.01, 0.2], [50, 40, 10], 200),  # no flag among 256 images is no proof of none
        ([0.3, 0.1, 0.1], [1, 40, 40], 200),  # of equals the first
    ],
)
def test_the_rule_weighs_flags_before_distance(flagged: list[float], distance: list[float], expected: int) -> None:
    table = pd.DataFrame({"images": [100, 200, 300], "flagged": flagged, "distance": distance})
    assert choose(table, 256) == expected


@pytest.mark.slow
def test_force_loses_neither_labels_nor_what_has_no_successor(
    kept: tuple[Path, Path], store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "kept"
    shutil.copytree(kept[1], out)
    old = out / "run" / "samples" / "000000000001.npy"
    old.touch()
    command = ["reference", str(kept[0]), "--real", str(store.path), "--out", str(out), "--count", "16", "--force"]
    assert CliRunner().invoke(app, [*command, "--seed", "x"]).exit_code != 0
    assert old.exists()
    (out / "run" / "mine").touch()
    assert "run/mine would be lost" in str(CliRunner().invoke(app, command).exception)
    (out / "run" / "mine").unlink()
    (out / "labels").mkdir()
    refused = CliRunner().invoke(app, command)
    assert "labels would be lost" in str(refused.exception)
    (out / "labels").rmdir()
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (out / "moments.csv").read_bytes() == (kept[1] / "moments.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert not old.exists()


def test_the_profile_depends_on_its_files_and_says_whose_they_are(tmp_path: Path) -> None:
    for name in ("notebooks", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    content = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    pipeline = Pipeline("reference", root=tmp_path)
    assert pipeline.data_name == content["profiles"]["reference"]["data"]
    for stage in pipeline.stages:
        pipeline.check_parameters(stage)
    with pytest.raises(PipelineError, match=r"needs reference/cdd-cesm.*; restore it"):
        pipeline.key("04_moment_alignment")
    folder = tmp_path / "reference" / "cdd-cesm"
    (folder / "run").mkdir(parents=True)
    (folder / "provenance.json").write_text('{"data_hash": "ab"}')
    (folder / "moments.csv").write_text("kind\n")
    (folder / "run" / "stats.jsonl").write_text("")
    before = pipeline.key("04_moment_alignment")
    assert running._fingerprint(pipeline, "04_moment_alignment") == "ab"
    (folder / "moments.csv").write_text("kind,M1\n")
    after = Pipeline("reference", root=tmp_path).key("04_moment_alignment")
    assert {k for k in before if before[k] != after[k]} == {"the reference"}


@pytest.mark.parametrize("folder", sorted((ROOT / "reference").glob("*/labels")), ids=lambda path: path.parent.name)
def test_labels_are_of_the_generator_beside_them_and_name_no_real_image(folder: Path) -> None:
    record = json.loads((folder / "inspection.json").read_text())
    assert record["generator"] == Sampler.open(folder.parent / "run").fingerprint
    key = read_key(folder)
    assert len(key) == record["images"] and set(key["kind"]) == {"synthetic", "real"}
    assert set(key.columns) == {"number", "kind", "view", "id"} and not key.loc[key["kind"] == "real", "id"].any()
    found = labeled(folder, sorted(folder.glob("labels*.csv")))
    shown = found["rates"].query("view == 'all' and artifact == 'any'").set_index("kind")["shown"]
    assert shown.to_dict() == {"real": record["controls"], "synthetic": record["synthetic"]}
    assert set(pd.read_csv(folder / "candidates.csv")["number"]) == set(key.loc[key["kind"] == "synthetic", "number"])
