"""View, age and names of elements, from headers as archives have them."""

from __future__ import annotations

import pytest
from dicom_files import HEADER, PIXELS, as_bytes

from mammogan.data.attributes import element
from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import build, code


@pytest.mark.parametrize(("value", "scheme"), [("R-10242", "SNM3"), ("399162004", "SCT")])
def test_view_from_either_code(value: str, scheme: str) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ViewCodeSequence = [code(value, "view", scheme)]
    assert read_mammogram(as_bytes(dataset)).facts["view"] == "CC"


@pytest.mark.parametrize(("age", "expected"), [("061Y", 61), ("018M", 1.5), ("000Y", None), ("abc", None), ("", None)])
def test_age_is_read_defensively(age: str, expected: float | None) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.PatientAge = age
    assert read_mammogram(as_bytes(dataset)).facts["age"] == expected


def test_elements_have_their_name_and_tag() -> None:
    assert element("WindowWidth") == "Window Width (0028,1051)"
    assert element("PixelData") == "Pixel Data (7FE0,0010)"
