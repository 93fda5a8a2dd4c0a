"""Building a study: which images are drawn, which are excluded, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom
from study import made_store, needs_viewer, ovals

from mammogan.data.store import Store
from mammogan.errors import InputError, MammoganError, OutputError, StudyError, TableError
from mammogan.reader_study.build import StudySettings, build, write_demo
from mammogan.reader_study.design import ReaderStudy
from mammogan.types import Size

pytestmark = needs_viewer


def test_pictures_of_8_bits_go_with_a_store_of_12(stores: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "pngs").mkdir()
    for number, image in enumerate(Store.open(stores[1]).images()[:]):
        Image.fromarray(np.rint(image / 4095 * 255).astype(np.uint8)).save(tmp_path / "pngs" / f"{number:02d}.png")
    study = build(stores[0], tmp_path / "pngs", tmp_path / "study", StudySettings())
    assert len(study.synthetic) == 16


def test_exclusions_are_recorded(stores: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (Store.open(path).manifest["id"].tolist() for path in stores)
    labels, hand = tmp_path / "labels.csv", tmp_path / "hand.txt"
    labels.write_text(
        f"id,label\n{second[0]},implausible outline\n{second[1]},none\n{second[2]},vessels\n{second[2]},grid\n"
    )
    hand.write_text(f"# by one observer\n{first[3]},motion\n{second[5]}\n")
    study = build(*stores, tmp_path / "study", StudySettings(labels=[labels], exclude=[hand], pool=12))
    record = json.loads((study.folder / "study.json").read_text())["excluded"]
    assert record == [
        {"set": "real", "id": first[3], "reason": "by hand: motion"},
        {"set": "synthetic", "id": second[0], "reason": "label implausible outline"},
        {"set": "synthetic", "id": second[2], "reason": "label vessels; label grid"},
        {"set": "synthetic", "id": second[5], "reason": "by hand"},
    ]
    assert len(study.real) == len(study.synthetic) == 12
    assert not {row["id"] for row in record} & {image for _, image in (*study.real, *study.synthetic)}
    assert study.summary == (
        "12 of 16 real images are in the pool; 1 is excluded (1: by hand: motion).",
        "12 of 16 synthetic images are in the pool; 3 are excluded "
        "(1: label implausible outline; 1: label vessels; label grid; 1: by hand).",
        "Pictures have 40 x 32 pixels, the largest size of both sets (real up to 40 x 32, synthetic up to 40 x 32).",
        "Pictures are drawn with replacement: 100% of the sessions of 10 pairs show one twice; larger pools make that "
        "rarer.",
    )
    only = build(*stores, tmp_path / "only", StudySettings(labels=[labels], exclude_labels=["Grid"], view="MLO"))
    record = json.loads((only.folder / "study.json").read_text())["excluded"]
    assert {row["id"] for row in record if row["reason"].startswith("label")} == {second[2]}
    assert {row["set"] for row in record if row["reason"] == "view is not MLO"} == {"real"}
    assert len(only.real) == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pool": 99}, "A pool of 99 cannot be drawn"),
        ({"pairs": 0}, "choose 1 or more pairs"),
        ({"seed": -1}, "The value -1 of seed is negative"),
        ({"view": "XCCL"}, "No real image is left"),
        ({"size": Size(7, 7)}, "do not both have the size 7 x 7"),
    ],
)
def test_what_cannot_be_built(stores: tuple[Path, Path], tmp_path: Path, options: dict, sentence: str) -> None:
    with pytest.raises(MammoganError, match=sentence):
        build(*stores, tmp_path / "study", StudySettings(**options))
    assert not (tmp_path / "study").exists()


def test_a_study_with_responses_or_a_full_folder_stays(stores: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="is not empty"):
        build(*stores, tmp_path, StudySettings())
    (tmp_path / "responses.sqlite").write_text("")
    with pytest.raises(StudyError, match="holds responses"):
        build(*stores, tmp_path, StudySettings())
    hand = tmp_path / "hand.txt"
    hand.write_text("nobody\n")
    with pytest.raises(StudyError, match="names 'nobody'"):
        build(*stores, tmp_path / "study", StudySettings(exclude=[hand]))
    with pytest.raises(StudyError, match="no study"):
        ReaderStudy.open(tmp_path)


def test_folders_are_ingested(phantoms: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        oval = np.zeros((160, 128), np.uint16)
        yy, xx = np.mgrid[:160, :128]
        oval[(yy - 80) ** 2 / 60**2 + xx**2 / (80 + number) ** 2 < 1] = 30000 + 500 * number
        Image.fromarray(oval).save(pictures / f"{number}.png")
    study = build(phantoms, pictures, tmp_path / "study", StudySettings(size=Size(80, 64)))
    assert len(study.real) == 16
    assert len(study.synthetic) == 3
    assert not (study.folder / ".ingest").exists()


def test_the_page_of_the_book_says_what_its_generator_was_trained_on(stores: tuple[Path, Path], tmp_path: Path) -> None:
    real, synthetic = stores
    write_demo(real, synthetic, tmp_path / "page", "mammograms of somewhere")
    naming = [p for p in (tmp_path / "page").rglob("*.js") if "trained on mammograms of somewhere" in p.read_text()]
    assert len(naming) == 1
    assert (tmp_path / "page" / "index.html").is_file()


def test_lists_of_exclusions_that_cannot_be_read(stores: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    for settings, content, error, sentence in (
        (StudySettings(labels=[table]), None, InputError, "table.csv cannot be read"),
        (StudySettings(exclude=[table]), b"\xff\xfe", InputError, "give a text file in UTF-8"),
        (StudySettings(labels=[table]), b"id,kind\n", TableError, "has no column 'label'"),
    ):
        if content:
            table.write_bytes(content)
        with pytest.raises(error, match=sentence):
            build(*stores, tmp_path / "study", settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv"]


def test_labels_that_match_nothing_are_an_error(stores: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,label\nsomebody,grid\n")
    with pytest.raises(StudyError, match=r"table.csv names no image of either set"):
        build(*stores, tmp_path / "study", StudySettings(labels=[table]))
    table.write_text("id,label\nreal-1,grid\nreal-2,vessels\n")
    with pytest.raises(StudyError, match="'blob' to exclude is in no table of labels, which have: grid, vessels"):
        build(*stores, tmp_path / "study", StudySettings(labels=[table], exclude_labels=["blob", "grid"]))
    with pytest.raises(StudyError, match="no label at all"):
        build(*stores, tmp_path / "study", StudySettings(exclude_labels=["grid"]))


def test_the_advice_on_depths_names_an_option_of_build(stores: tuple[Path, Path], tmp_path: Path) -> None:
    import typer.main

    from mammogan.cli.study import app

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.zeros((160, 128), np.uint8)).save(pictures / "1.png")
    with pytest.raises(InputError, match="folders with --bits"):
        build(stores[0], pictures, tmp_path / "study", StudySettings(bits=8))
    command = typer.main.get_command(app).commands["build"]
    assert "--bits" in {option for parameter in command.params for option in parameter.opts}


def test_a_folder_that_cannot_be_written(stores: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "study"):
        with pytest.raises(OutputError, match="cannot be written"):
            build(*stores, out, StudySettings())


def test_sharpness_that_tells_the_classes_is_reported(tmp_path: Path) -> None:
    """Images that were halved and enlarged again are found; those of the same sharpness are not."""
    sharp, other = ovals(12, 80, 64), ovals(13, 80, 64)
    blurred = [zoom(image[::2, ::2], 2, order=3).clip(0, 1) for image in other]
    real = made_store(tmp_path / "real", sharp, "real")
    for name, images, found in (("alike", other, 0), ("blurred", blurred, 1)):
        study = build(real, made_store(tmp_path / name, images, name), tmp_path / f"{name}.study", StudySettings())
        warnings = [sentence for sentence in study.summary if "Sharpness alone tells synthetic images" in sentence]
        assert len(warnings) == found
