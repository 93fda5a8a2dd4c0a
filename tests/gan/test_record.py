"""The folder of a run: one process at a time, settings that may change, config.json that is lost."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from gan_runs import BY_VIEW, SHORT

from mammogan.data.store import Store
from mammogan.errors import ParameterError, RunError
from mammogan.gan import checkpoints, record
from mammogan.gan.config import MOST_VALUES, Config
from mammogan.gan.record import Record
from mammogan.gan.sampling import Sampler, sample
from mammogan.gan.snapshot import publish_run
from mammogan.gan.training import Run
from mammogan.gan.writers import Draw

FEW = {**SHORT, "total_images": 64}


@pytest.fixture(scope="module")
def few(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "few"
    Run.open(store, folder, Config().changed(FEW)).train()
    return folder


@pytest.fixture
def folder(few: Path, tmp_path: Path) -> Path:
    return shutil.copytree(few, tmp_path / "run")


@pytest.mark.slow
def test_a_folder_is_locked_for_other_processes(store: Store, folder: Path) -> None:
    code = (
        "import sys; from mammogan.data.store import Store; from mammogan.gan.config import Config; "
        "from mammogan.gan.training import Run; "
        f"Run.open(Store.open(sys.argv[1]), sys.argv[2], Config().changed({FEW!r}))"
    )
    process = [sys.executable, "-c", code, str(store.path), str(folder)]
    run = Run.open(store, folder, Config().changed(FEW))
    again = Run.open(store, folder, Config().changed(FEW))  # as a notebook does whose cell is run again
    del run
    refused = subprocess.run(process, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"RunError: Another process trains {folder}; wait for it or stop it." in refused.stderr
    del again
    assert subprocess.run(process).returncode == 0


@pytest.mark.slow
def test_settings_that_change_are_recorded(store: Store, folder: Path) -> None:
    changes = {"learning_rate": 0.0005, "precision": "bfloat16", "total_images": 128, "checkpoint_minutes": 1}
    changes["edge_levels"] = 2
    Run.open(store, folder, Config().changed({**FEW, **changes})).train()
    (entry,) = json.loads((folder / "config.json").read_text())["history"]
    assert entry["images"] == 64
    assert entry["changed"] == {
        "learning_rate": [[0.001, 0.002, 0.002], [0.0005] * 3],
        "precision": ["float32", "bfloat16"],
        "edge_levels": [0, 2],
        "total_images": [64, 128],
    }
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    assert ["changed" in line for line in lines] == [False, False, True, False]
    assert "learning_rate: 0.001 0.002 0.002 -> 0.0005 0.0005 0.0005; " in lines[2]["changed"]
    with pytest.raises(RunError, match="a run of 128 images; total_images may only grow"):
        Run.open(store, folder, Config().changed({**FEW, **changes, "total_images": 64}))


def test_a_run_that_is_lengthened_ends_as_one_that_was_long(store: Store, folder: Path, tmp_path: Path) -> None:
    longer = Config().changed({**FEW, "total_images": 96})
    for path in (folder, tmp_path / "whole"):
        Run.open(store, path, longer).train()
    grown, whole = (checkpoints.trained(path) for path in (folder, tmp_path / "whole"))
    assert grown.state == whole.state  # checksums of all tensors included


def test_changes_that_a_run_abandoned_are_made_where_it_continues(store: Store, tmp_path: Path) -> None:
    record = Record.read(tmp_path, Config().changed({**SHORT, "learning_rate": 1}).at_levels(3), store)
    record.changes = {"learning_rate": ([2], [1])}
    record.history = [{"images": n, "changed": {"learning_rate": [[n], [n / 2]]}} for n in (16, 4)]
    record.write(8)
    assert record.history == [
        {"images": 4, "changed": {"learning_rate": [[4], [2]]}},
        {"images": 8, "changed": {"learning_rate": [[16], [1]]}},
    ]


@pytest.mark.parametrize("content", [None, "{", "[]", b"\xff"])
def test_settings_that_are_lost_are_those_of_the_checkpoint(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture, content: str | bytes | None
) -> None:
    path = folder / "config.json"
    before = path.read_text()
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=r"other settings \(levels, batches\)"):
        Run.open(store, folder, Config().changed({**FEW, "levels": 2}))
    Run.open(store, folder, Config().changed(FEW))
    assert path.read_text() == before
    assert "the settings of the newest checkpoint replace it" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_networks_of_another_shape_are_a_sentence(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((folder / "config.json").read_text())
    content["config"]["latent"] = 9
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="have another shape than its settings; give another --out"):
        Run.open(store, folder, Config().changed({**FEW, "latent": 9}))


def test_a_copy_for_publication_is_not_continued(store: Store, folder: Path, tmp_path: Path) -> None:
    publish_run(folder, tmp_path / "published")
    with pytest.raises(RunError, match="is a copy of a run that cannot be continued"):
        Run.open(store, tmp_path / "published", Config().changed(FEW))


def test_a_condition_that_no_image_has_is_refused(store: Store, tmp_path: Path) -> None:
    path = shutil.copytree(store.path, tmp_path / "store")
    store.manifest.assign(density=None).to_parquet(path / "manifest.parquet", index=False)
    with pytest.raises(RunError, match=r"has a density; .* or omit condition=density"):
        Run.open(Store.open(path), tmp_path / "run", Config().changed({**BY_VIEW, "condition": "view,density"}))
    assert not (tmp_path / "run").exists()


def with_findings(store: Store, path: Path, findings: list[str | None]) -> Store:
    shutil.copytree(store.path, path)
    facts = store.manifest.assign(finding=[findings[row % len(findings)] for row in range(len(store))])
    facts.to_parquet(path / "manifest.parquet", index=False)
    return Store.open(path)


@pytest.mark.slow
def test_any_column_with_few_values_conditions_a_run(store: Store, tmp_path: Path) -> None:
    archive = with_findings(store, tmp_path / "store", ["none", "a, b|c", None])
    settings = {**BY_VIEW, "condition": "view,finding", "total_images": 16, "levels": 1}
    run = Run.open(archive, tmp_path / "run", Config().changed(settings))
    run.train()
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["condition"]
    assert kept == "view,finding=a%2C%20b%7Cc|none"
    assert Config().changed({"condition": kept}).conditions == {"view": ("CC", "MLO"), "finding": ("a, b|c", "none")}
    _, labels = run._dataset(0, "").batch(0, len(archive))
    assert labels.shape == (len(archive), 4)
    rows = run._dataset(0, "")._order(0)[:, 0]
    for row, label in zip(rows, labels.numpy(), strict=True):
        expected = [archive.manifest["finding"][row] == value for value in ("a, b|c", "none")]
        assert label[2:].tolist() == expected
    # The same settings continue it, in short or as they were kept.
    for condition in ("view,finding", kept):
        assert (
            Run.open(archive, tmp_path / "run", Config().changed({**settings, "condition": condition})).images
            == run.images
        )
    sampler = Sampler.open(tmp_path / "run")
    facts = [sampler.facts(1, index) for index in range(60)]
    assert {fact["finding"] for fact in facts} == {"none", "a, b|c", None}
    assert {sampler.only(finding="none").facts(1, index)["finding"] for index in range(9)} == {"none"}
    sample(tmp_path / "run", tmp_path / "drawn", Draw(8, 1, only=(("finding", "none"),)))
    assert Store.open(tmp_path / "drawn").manifest["finding"].tolist() == ["none"] * 8
    sample(tmp_path / "run", tmp_path / "png", Draw(8, 1), "png")
    table = pd.read_csv(tmp_path / "png" / "images.csv", keep_default_na=False)
    assert table["finding"].tolist() == [fact["finding"] or "" for fact in facts[:8]]
    with pytest.raises(ParameterError, match=r"finding must be a, b\|c or none, not 'cyst'"):
        sampler.only(finding="cyst")


@pytest.mark.parametrize(
    ("findings", "problem"),
    [
        (["none"], "has 1 values, and a condition has 2 to 5; omit condition=finding"),
        (list("abcdef"), "has 6 values, and a condition has 2 to 5"),
        ([None], "No image of .* has a finding; ingest with a table"),
    ],
)
def test_a_condition_of_one_or_many_values_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, findings: list[str | None], problem: str
) -> None:
    assert MOST_VALUES == 16
    monkeypatch.setattr(record, "MOST_VALUES", 5)
    archive = with_findings(store, tmp_path / "store", findings)
    with pytest.raises(RunError, match=problem):
        Run.open(archive, tmp_path / "run", Config().changed({**BY_VIEW, "condition": "finding"}))


def test_a_store_of_an_early_version_has_no_findings(store: Store, tmp_path: Path) -> None:
    path = shutil.copytree(store.path, tmp_path / "store")
    store.manifest.drop(columns="finding").to_parquet(path / "manifest.parquet", index=False)
    assert Store.open(path).manifest["finding"].isna().all()
