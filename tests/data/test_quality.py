"""Metal, markers and text are flagged, ordinary breasts are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mammogan.data.ingest import Settings, ingest
from mammogan.data.metadata import LabelSource
from mammogan.data.phantom.render import render
from mammogan.data.quality import FLAGS, flags_of
from mammogan.data.segmentation import breast_mask
from mammogan.errors import ParameterError


@pytest.fixture(scope="module")
def breast() -> np.ndarray:
    return render(5, 2, "CC", "L", height=640, width=512).shown.astype(np.float32)


def drawn(breast: np.ndarray, draw: str) -> np.ndarray:
    """Return a breast with something foreign in or next to it."""
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


def test_a_corner_of_tissue_is_not_a_marker(breast: np.ndarray) -> None:
    y, x = np.mgrid[:640, :512]
    corner = np.where(np.hypot(y, 512 - x) < 60, 0.8, breast)
    assert flags_of(np.asarray(corner, np.float32)) == []


def test_a_flag_can_be_a_reason(breast: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray((drawn(breast, "clips") * 255).astype(np.uint8)).save(tmp_path / "in" / "a.png")
    Image.fromarray((breast * 255).astype(np.uint8)).save(tmp_path / "in" / "b.png")
    labels = LabelSource(assume={"view": "CC", "laterality": "L"})
    strict = Settings(height=640, width=512, refuse_flags=("clips", "pacemaker"))
    store = ingest([tmp_path / "in"], tmp_path / "s", strict, labels=labels)
    assert list(store.refused["reason"]) == ["clips"]
    assert len(store) == 1
    with pytest.raises(ParameterError, match="There is no flag 'rust'"):
        Settings(refuse_flags=("rust",))


def test_a_side_that_contradicts_the_label_is_flagged(breast: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray((breast * 255).astype(np.uint8)).save(tmp_path / "in" / "a.png")
    labels = LabelSource(assume={"view": "CC", "laterality": "R"})
    kept = ingest([tmp_path / "in"], tmp_path / "s", Settings(height=80, width=64), labels=labels)
    assert list(kept.manifest["flags"][0]) == ["side"]
    turned = ingest([tmp_path / "in"], tmp_path / "t", Settings(height=80, width=64, laterality="left"), labels=labels)
    assert not turned.manifest["mirrored"][0]  # it is at the left already, whatever the label says
    np.testing.assert_array_equal(turned.images()[:], kept.images()[:])
