"""The report on a store names every file and reason."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np

from mammogan.data.ingest import Settings, ingest
from mammogan.data.store import Store, StoreWriter
from mammogan.errors import Reason
from mammogan.report.ingest import devices, image_set, outcomes, splits, write_report
from mammogan.report.provenance import ROOT
from mammogan.report.results import Results


def test_the_report_names_every_file_and_reason(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "archive"
    source.mkdir()
    shutil.copy(phantoms / "0000000.dcm", source)
    (source / "notes.txt").write_text("no image")
    page = write_report(ingest([source], tmp_path / "s", Settings(height=40, width=32)))
    with (page.parent / "files.csv").open() as file:
        assert [row["reason"] for row in csv.DictReader(file)] == ["accepted", "not_dicom"]
    with (page.parent / "outcomes.csv").open() as file:
        rows = [(row["outcome"], row["files"]) for row in csv.DictReader(file)]
    assert rows == [("accepted", "1"), ("not_dicom", "1")]
    assert "not a DICOM file" in page.read_text()


def test_a_sentence_is_true_of_all_files_that_it_counts(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", 40, 32, 12, {"by": "test"}) as writer:
        for reason, sentence in (("modality", "CT"), ("modality", "MR"), ("side", "a"), ("side", "b"), ("view", "v")):
            writer.refuse(reason, sentence)
        writer.abandon()
    store = Store.without_images(tmp_path / "s")
    sentences = {reason: sentence for reason, _, sentence in outcomes(store).itertuples(index=False)}
    assert sentences["modality"] == Reason.MODALITY.meaning
    assert "other edge" in sentences["side"]
    assert sentences["view"] == "v"
    page = write_report(store).read_text()
    assert "0 images were accepted, 5 files refused" in page and "nan" not in page.lower()


def test_facts_that_are_missing_are_dashes(tmp_path: Path) -> None:
    gray = np.random.default_rng(0).random((40, 32))
    with StoreWriter(tmp_path / "s", 40, 32, 12, {"by": "test"}) as writer:
        writer.accept(gray, id="1", flags=[])
        writer.accept(gray / 2, id="2", view="CC", split="train", patient="p", model="M", window_center=5.0)
        writer.refuse("view", "v")
    page = write_report(Store.open(tmp_path / "s")).read_text()
    cells = re.findall("<t[dh][^>]*>([^<]*)</t[dh]>", page)
    assert "M" in cells and "-" in cells
    assert not {"nan", "none", "<na>", "nat"} & {cell.strip().lower() for cell in cells}
    assert splits(Store.open(tmp_path / "s"))["images"].sum() == 2


def test_devices_by_number_of_images(store: Store) -> None:
    table = devices(store)
    assert table["images"].sum() == len(store)
    assert table["images"].is_monotonic_decreasing
    first = table.iloc[0]
    rows = store.manifest[
        store.manifest["model"].eq(first["model"]) & store.manifest["photometric"].eq(first["photometric"])
    ]
    assert first["images"] == len(rows)
    assert first["median center"] == rows["window_center"].median()


def test_the_images_of_a_published_run_are_described(store: Store, tmp_path: Path) -> None:
    """Its counts are those of its record, not those of the phantoms that the chapter draws."""
    reference = ROOT / "reference" / "cdd-cesm"
    facts = json.loads((reference / "provenance.json").read_text())
    results = Results(tmp_path / "published", "preprocessing")
    table = image_set(results, store, str(reference)).set_index("Item")["Here"]
    assert results.entries["set.images"]["value"] == facts["real_images"]
    assert f"{facts['training_images']} images" in table["Shown to the discriminator"]
    assert str(facts["real_images"] - facts["training_images"]) in table["Held out"]
    assert "age" not in results.entries
    own = Results(tmp_path / "own", "preprocessing")
    image_set(own, store)
    assert own.entries["set.images"]["value"] == len(store)
    assert "phantoms" in own.entries["set.name"]["value"]
    assert "age" not in own.entries  # drawn by the program
