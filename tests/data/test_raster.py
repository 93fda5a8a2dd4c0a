"""Film scans in every format go through the whole ingest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammogan.data.ingest import Settings, ingest
from mammogan.data.metadata import LabelSource
from mammogan.data.phantom.render import render


@pytest.mark.slow
def test_film_scans_through_the_whole_ingest(tmp_path: Path) -> None:
    breast = render(5, 2, "CC", "L", height=640, width=512).shown.astype(np.float32)
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
    Image.fromarray(as_bits[16] >> 4).save(source / "f.png")  # 12 bits in 16
    (source / "sheet.csv").write_text("image name,position,side,breast density\n" + "a.png,CC,L,2\nb.tif,CC,L,2\n")
    columns = {"file": "image name", "view": "position", "density": "breast density"}
    settings = Settings(height=320, width=256)
    store = ingest([source], tmp_path / "s", settings, labels=LabelSource(source / "sheet.csv", columns))
    assert list(store.manifest["density"]) == ["B", "B"]
    assert sorted(store.refused["reason"]) == ["no_label"] * 4
    assert all("label_removed" in flags for flags in store.manifest["flags"])
    first = store.images()[0] / 4095
    expected = np.clip(0.08 + 0.9 * breast, 0, 1).reshape(320, 2, 256, 2).mean(axis=(1, 3))
    assert np.abs(first - expected).mean() < 0.01
    # A fact about all files replaces a table.
    others = ingest([source], tmp_path / "t", settings, labels=LabelSource(assume={"view": "CC", "laterality": "L"}))
    assert set(others.manifest["view"]) == {"CC"}
    assert list(others.refused["reason"]) == ["duplicate", "duplicate"]  # d and e are b again
    means = others.images()[:].mean(axis=(1, 2))
    assert means == pytest.approx(means[0], rel=0.01)
    assert ["bits" in flags for flags in others.manifest["flags"]] == [False, False, False, True]
    deep = ingest(
        [source / "f.png"],
        tmp_path / "u",
        Settings(height=320, width=256, picture_bits=12),
        labels=LabelSource(assume={"view": "CC"}),
    )
    assert deep.images()[0].mean() == pytest.approx(means[0], rel=0.01)
