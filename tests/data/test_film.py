"""Films lose padding, frames, labels and tape, and keep every pixel of the breast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mammogan.data.film import clean_film, extent, remove_labels
from mammogan.data.ingest import Settings, ingest
from mammogan.data.metadata import LabelSource
from mammogan.data.phantom.render import render
from mammogan.data.segmentation import chest_side, film_background

BASE = 0.1  # gray of the film


@pytest.fixture(scope="module")
def breast() -> np.ndarray:
    return render(7, 2, "CC", "L", height=640, width=512).shown.astype(np.float32)


@pytest.fixture(scope="module")
def film(breast: np.ndarray) -> np.ndarray:
    """Return a film (640, 460) without anything to remove: its own gray with a gradient and grain."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:640, :460]
    grain = ndimage.gaussian_filter(rng.normal(size=(640, 460)), 0.7) * 0.015
    base = BASE + 0.03 * (x / 460 - 0.5) - 0.03 * (y / 640 - 0.5)
    return np.asarray(np.clip(base + grain + 0.9 * breast[:, :460], 0, 1), np.float32)


def padded(film: np.ndarray, chest: int = 90, other: int = 40) -> np.ndarray:
    return np.pad(film, ((0, 0), (chest, other)))


def lettered(film: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    labeled = film.copy()
    labeled[rows, columns] = 0.85
    labeled[rows.start + 8 : rows.stop - 8, columns.start + 8 : columns.stop : 9] = 0.15
    return labeled


@pytest.fixture(scope="module")
def scans(film: np.ndarray) -> dict[str, np.ndarray]:
    """Return scans of a film by what they show besides it."""
    faint = padded(film)
    faint[-9] = np.maximum(faint[-9], 0.024)
    column = padded(film)
    column[:, [30, -20]] = 0.04
    tape = film.copy()
    tape[:14, 200:] = 0.95
    strip = film.copy()
    strip[150:500, -16:] = 0.95
    frame = np.pad(np.pad(film, 10, constant_values=1.0), ((0, 0), (60, 30)))
    return {
        "nothing": film,
        "padding": padded(film),
        "faint row": faint,
        "faint column": column,
        "frame in padding": frame,
        "blurred frame": ndimage.uniform_filter(frame, (3, 3)),
        "label": padded(lettered(film, slice(20, 60), slice(350, 440))),
        "label at the edge": padded(lettered(film, slice(20, 60), slice(370, 460))),
        "tape above": padded(tape),
        "strip": padded(strip, 0, 30),
        "tape and label": padded(lettered(strip, slice(20, 160), slice(400, 460))),
        "tilted": ndimage.rotate(padded(film), 1.0, reshape=False, order=1),
    }


NAMES = ("nothing", "padding", "faint row", "faint column", "frame in padding", "blurred frame", "label")
NAMES += ("label at the edge", "tape above", "strip", "tape and label", "tilted")


@pytest.mark.parametrize("name", NAMES)
def test_a_film_is_left(film: np.ndarray, breast: np.ndarray, scans: dict[str, np.ndarray], name: str) -> None:
    scan, side = scans[name], "LR"[NAMES.index(name) % 2]
    cleaned, removed, gray = clean_film(np.ascontiguousarray(scan if side == "L" else scan[:, ::-1]))
    assert chest_side(cleaned) == side
    assert gray == pytest.approx(BASE, abs=0.02)
    cleaned = cleaned if side == "L" else cleaned[:, ::-1]
    assert (removed > 0) == any(word in name for word in ("label", "tape", "strip"))
    if name == "tilted":
        assert (cleaned <= 0.02).mean() < 0.002
        return
    assert cleaned[:, :2].max(axis=1).mean() > 0.2  # the breast is at the edge
    cut = [abs(a - b) for a, b in zip(cleaned.shape, film.shape, strict=True)]
    assert max(cut) <= (6 if name == "blurred frame" else 1)
    if name == "blurred frame":
        assert cleaned[[0, -1]].max() < 0.5
        return
    inside = breast[:, :460] > 0.02
    np.testing.assert_array_equal(cleaned[inside], film[inside])  # no breast is cut or painted
    assert np.abs(cleaned - film)[~inside].max() < 0.1


@pytest.mark.parametrize("bright", [0.3, 0.6, 0.9])
def test_tissue_apart_from_the_breast_is_not_a_label(breast: np.ndarray, bright: float) -> None:
    y, x = np.mgrid[:640, :512]
    for center in ((0, 0), (640, 0), (0, 300)):  # corners at the chest wall, and a fold above
        distance = 60 - np.hypot(y - center[0], x - center[1])
        fold = bright * np.clip(distance / 15, 0, 1)
        gap = (distance > -12) & (distance < 0)
        image = np.asarray(np.where(gap, 0, np.maximum(breast, fold)), np.float32)
        np.testing.assert_array_equal(remove_labels(image)[0], image)
    tissue = breast.copy()
    tissue[np.hypot(y, x) < 60] = bright  # cut off abruptly by a paddle
    tissue[(np.hypot(y, x) >= 60) & (np.hypot(y, x) < 75)] = 0
    assert remove_labels(tissue)[1] == 0


def test_labels_are_painted_over_and_the_breast_is_not_touched(breast: np.ndarray) -> None:
    film = np.clip(0.08 + 0.92 * breast, 0, 1)  # film's background is no true black
    labeled = film.copy()
    labeled[30:70, 430:500] = 0.95
    cleaned, count = remove_labels(labeled)
    assert count == 1
    np.testing.assert_allclose(cleaned, film, atol=0.02)
    assert remove_labels(film)[1] == 0


@pytest.mark.parametrize("angle", [0, 17, 45])
def test_extent_of_rectangles(angle: int) -> None:
    body = np.zeros((160, 160))
    body[50:110, 30:130] = 1
    assert extent(ndimage.rotate(body, angle, reshape=False, order=1) > 0.5) == pytest.approx(1, abs=0.07)
    y, x = np.mgrid[:160, :160]
    assert extent(np.hypot(y - 80, x - 80) < 60) == pytest.approx(np.pi / 4, abs=0.02)
    assert extent(x + y < 100) == pytest.approx(0.5, abs=0.03)


def test_the_background_of_a_film_is_gray_and_smooth(film: np.ndarray, breast: np.ndarray) -> None:
    background = film_background(film)
    assert background
    assert background.level == pytest.approx(BASE, abs=0.02)
    assert film_background(breast) is None  # black
    assert film_background(breast[200:440, :200]) is None  # tissue alone


@pytest.mark.slow
def test_a_film_is_stored_on_its_own_gray(scans: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.uint8(np.rint(scans["faint row"] * 255))).save(tmp_path / "in" / "a.pgm")
    labels = LabelSource(assume={"view": "CC", "laterality": "L"})
    store = ingest([tmp_path / "in"], tmp_path / "s", Settings(height=320, width=256), labels=labels)
    stored = store.images()[0] / 4095
    assert list(store.manifest["flags"][0]) == []
    assert (stored > 0.04).all()


def test_a_picture_of_the_size_of_the_store_is_stored_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pictures = []
    for number in range(4):
        shown = render(6, number, "MLO", "L", height=80, width=64).shown
        shown[:6], shown[:, 52:] = 0, 0  # a letterbox
        pictures.append(np.uint8(np.rint(shown * 255)))
        Image.fromarray(pictures[-1]).save(tmp_path / "in" / f"{number}.png")
    settings = Settings(height=80, width=64, bits=8)
    store = ingest([tmp_path / "in"], tmp_path / "s", settings, labels=LabelSource(assume={"view": "MLO"}))
    np.testing.assert_array_equal(store.images()[:], pictures)
