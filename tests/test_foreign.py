"""Film labels go, white borders go, metal and text are flagged, ordinary breasts are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mammogan.data.geometry import crop_white_border
from mammogan.data.ingest import Settings, ingest
from mammogan.data.metadata import Labels
from mammogan.data.phantom.render import render
from mammogan.data.quality import FLAGS, flags_of, remove_labels
from mammogan.data.segmentation import breast_mask
from mammogan.errors import InputError, TableError


@pytest.fixture(scope="module")
def breast() -> np.ndarray:
    return render(5, 2, "CC", "L", height=640, width=512).shown.astype(np.float32)


def drawn(breast: np.ndarray, draw: str) -> np.ndarray:
    """A breast with something foreign in or beside it."""
    picture = Image.fromarray(breast)
    pen = ImageDraw.Draw(picture)
    if draw == "clips":
        for x, y in ((100, 300), (130, 340), (90, 360)):
            pen.line([(x, y), (x + 7, y + 4)], fill=1.0, width=3)
    elif draw == "pacemaker":
        pen.ellipse([(20, 20), (80, 70)], fill=1.0)
    elif draw == "marker":
        pen.rectangle([(440, 40), (490, 70)], fill=1.0)
    elif draw == "text":
        pen.text((330, 20), "RIGHT CC 2021 AUTO", fill=1.0)
    elif draw == "clipped":
        return np.clip(breast / np.quantile(breast[breast_mask(breast)], 0.9), 0, 1).astype(np.float32)
    return np.asarray(picture)


def test_an_ordinary_breast_has_no_flag(breast: np.ndarray) -> None:
    assert flags_of(breast) == []


@pytest.mark.parametrize("flag", ["clips", "pacemaker", "marker", "text", "clipped"])
def test_planted_things_are_flagged(breast: np.ndarray, flag: str) -> None:
    assert flag in flags_of(drawn(breast, flag))
    assert set(flags_of(drawn(breast, flag))) <= set(FLAGS)


@pytest.mark.parametrize("size", [(320, 256), (640, 512), (1280, 1024)])
def test_clips_are_found_at_any_size(size: tuple[int, int]) -> None:
    height, width = size
    gray = render(5, 2, "CC", "L", height=height, width=width).shown.astype(np.float32)
    scale = height / 640
    picture = Image.fromarray(gray)
    pen = ImageDraw.Draw(picture)
    for x, y in ((100, 300), (130, 340), (90, 360)):
        ends = [(x * scale, y * scale), ((x + 9) * scale, (y + 5) * scale)]
        pen.line(ends, fill=1.0, width=max(round(3.5 * scale), 1))
    assert "clips" not in flags_of(gray)
    assert "clips" in flags_of(np.asarray(picture))


def test_labels_are_painted_over_and_the_breast_is_not_touched(breast: np.ndarray) -> None:
    film = np.clip(0.08 + 0.92 * breast, 0, 1)  # film's background is no true black
    labeled = film.copy()
    labeled[30:70, 430:500] = 0.95
    cleaned, count = remove_labels(labeled)
    assert count == 1
    np.testing.assert_allclose(cleaned, film, atol=0.02)
    assert remove_labels(film)[1] == 0


def test_a_white_border_is_cut_and_a_bright_breast_is_not() -> None:
    film = np.full((200, 160), 0.1)
    film[40:160, :70] = 0.9
    framed = np.pad(film, ((6, 4), (5, 9)), constant_values=1.0)
    np.testing.assert_array_equal(crop_white_border(framed), film)
    np.testing.assert_array_equal(crop_white_border(film), film)


def test_film_scans_through_the_whole_ingest(breast: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "films"
    source.mkdir()
    film = np.clip(0.08 + 0.9 * breast, 0, 1)
    film[30:70, 430:500] = 0.95
    framed = np.pad(film, 12, constant_values=1.0)
    as_bits = {8: np.rint(framed * 255).astype(np.uint8), 16: np.rint(framed * 65535).astype(np.uint16)}
    Image.fromarray(as_bits[16]).save(source / "a.png")
    Image.fromarray(as_bits[8]).save(source / "b.tif")
    Image.fromarray(as_bits[8]).save(source / "c.jpg", quality=98)
    Image.fromarray(as_bits[8]).save(source / "d.pgm")
    Image.fromarray(np.stack([as_bits[8]] * 3, -1)).save(source / "e.png")  # gray in three channels
    Image.fromarray(as_bits[16] >> 4).save(source / "f.png")  # 12 bits in 16: too dark by 16 unless it is said
    (source / "sheet.csv").write_text("image name,position,side,breast density\n" + "a.png,CC,L,2\nb.tif,CC,L,2\n")
    columns = {"file": "image name", "view": "position", "density": "breast density"}
    settings = Settings(height=320, width=256)
    store = ingest([source], tmp_path / "s", settings, labels=source / "sheet.csv", columns=columns)
    assert list(store.manifest["density"]) == ["B", "B"]
    assert sorted(store.refused["reason"]) == ["no_label"] * 4
    assert all("label_removed" in flags for flags in store.manifest["flags"])
    first = store.images()[0] / 4095
    expected = np.clip(0.08 + 0.9 * breast, 0, 1).reshape(320, 2, 256, 2).mean(axis=(1, 3))
    assert np.abs(first - expected).mean() < 0.01
    # A fact that holds for all files stands in for a table.
    others = ingest([source], tmp_path / "t", settings, assume={"view": "CC", "laterality": "L"})
    assert set(others.manifest["view"]) == {"CC"}
    assert list(others.refused["reason"]) == ["duplicate", "duplicate", "not_dicom"]  # d and e are b again
    means = others.images()[:].mean(axis=(1, 2))
    assert means[:3] == pytest.approx(means[0], rel=0.01)
    assert means[3] < means[0] / 10
    deep = ingest(
        [source / "f.png"], tmp_path / "u", Settings(height=320, width=256, picture_bits=12), assume={"view": "CC"}
    )
    assert deep.images()[0].mean() == pytest.approx(means[0], rel=0.01)


def test_a_flag_can_be_a_reason(breast: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray((drawn(breast, "clips") * 255).astype(np.uint8)).save(tmp_path / "in" / "a.png")
    Image.fromarray((breast * 255).astype(np.uint8)).save(tmp_path / "in" / "b.png")
    assume = {"view": "CC", "laterality": "L"}
    strict = Settings(height=640, width=512, refuse_flags=("clips", "pacemaker"))
    store = ingest([tmp_path / "in"], tmp_path / "s", strict, assume=assume)
    assert list(store.refused["reason"]) == ["clips"]
    assert len(store) == 1
    with pytest.raises(InputError, match="There is no flag 'rust'"):
        Settings(refuse_flags=("rust",))


def test_a_side_that_contradicts_the_label_is_flagged(breast: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray((breast * 255).astype(np.uint8)).save(tmp_path / "in" / "a.png")
    assume = {"view": "CC", "laterality": "R"}
    kept = ingest([tmp_path / "in"], tmp_path / "s", Settings(height=80, width=64), assume=assume)
    assert list(kept.manifest["flags"][0]) == ["side"]
    turned = ingest([tmp_path / "in"], tmp_path / "t", Settings(height=80, width=64, laterality="left"), assume=assume)
    assert not turned.manifest["mirrored"][0]  # it is at the left already, whatever the label says
    np.testing.assert_array_equal(turned.images()[:], kept.images()[:])


def test_labels_are_found_by_the_end_of_the_path(tmp_path: Path) -> None:
    rows = "file,view,age\nleft/a.png,CC,50\nright/a.png,MLO,60\nb,CC,70\nc.png,CC,-3\n./d.png,craniocaudal,x\n"
    (tmp_path / "t.csv").write_text(rows)
    labels = Labels([tmp_path / "t.csv"])
    assert labels.get(Path("/any/left/a.png")) == {"view": "CC", "age": 50}
    assert labels.get(Path("/any/right/a.png")) == {"view": "MLO", "age": 60}
    assert labels.get(Path("/any/a.png")) is None  # which one it is cannot be said
    assert labels.get(Path("/any/b.dcm")) == {"view": "CC", "age": 70}
    assert labels.get(Path("c.png")) == labels.get(Path("d.png")) == {"view": "CC"}
    with pytest.raises(TableError, match="no column view"):
        Labels([tmp_path / "t.csv"], {"view": "position"})
    with pytest.raises(TableError, match="no fact 'size'"):
        Labels([], {"size": "x"})
