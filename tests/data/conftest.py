"""A mammogram of our own and a real one, uncompressed."""

from __future__ import annotations

import pydicom
import pytest
from dicom_files import phantom
from pydicom.dataset import Dataset


@pytest.fixture(scope="module", params=["phantom", pytest.param("GH133", marks=pytest.mark.slow)])
def original(request: pytest.FixtureRequest) -> Dataset:
    """Return an uncompressed data set: one of our own, and a real one where there is one."""
    if request.param == "phantom":
        return phantom()
    folder = request.getfixturevalue("real_data")
    dataset = pydicom.dcmread(folder / "dicom_mg" / "GH133.dcm")
    dataset.decompress()
    # The pictures within its sequences stay compressed, which no uncompressed file may hold.
    del dataset.IconImageSequence
    dataset.remove_private_tags()
    return dataset
