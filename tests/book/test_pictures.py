"""Pictures of the pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pictures
from book_fixtures import ramp
from PIL import Image


def test_pictures_keep_their_gray_levels(tmp_path: Path) -> None:
    ramp(tmp_path / "a.png")
    pictures.webp(tmp_path / "a.png", tmp_path / "a.webp")
    before, after = (np.asarray(Image.open(tmp_path / f"a.{kind}").convert("RGB")) for kind in ("png", "webp"))
    assert np.array_equal(before, after)
    assert (tmp_path / "a.webp").stat().st_size < (tmp_path / "a.png").stat().st_size
