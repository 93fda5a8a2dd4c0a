"""Images of stores and of folders, whatever they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from breasts import SIZE, breasts
from dicom_files import drawn
from PIL import Image

from mammogan.data.images import open_images
from mammogan.errors import InputError


def test_a_folder_of_pictures_is_read_whatever_it_shows(phantoms: Path, tmp_path: Path) -> None:
    population = breasts()
    for k in range(3):
        Image.fromarray((population.pixels[k].astype(np.uint32) * 65535 // 4095).astype(np.uint16)).save(
            tmp_path / f"{k}.png"
        )
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "3.png")  # black: no ingest would take it
    images = open_images(tmp_path)
    assert len(images) == 4
    assert set(images.views) == {""}
    np.testing.assert_array_equal(images.pixels[:3], population.pixels[:3])
    (tmp_path / "labels.csv").write_text("file,view\n0.png,CC\n1.png,MLO\n2.png,CC\n")
    assert list(open_images(tmp_path).views) == ["CC", "MLO", "CC", ""]
    dicom = open_images(phantoms, (40, 32))
    assert dicom.size == (40, 32)
    assert set(dicom.views) == {"CC", "MLO"}
    assert len(set(dicom.patients)) == 4
    with pytest.raises(InputError, match="no image in"):
        open_images(drawn(tmp_path / "drawn"), allow_synthetic=False)
    assert len(open_images(tmp_path / "drawn")) == 2
    (tmp_path / "empty").mkdir()
    for folder, sentence in (("empty", "no image in"), ("nowhere", "no folder")):
        with pytest.raises(InputError, match=sentence):
            open_images(tmp_path / folder)
