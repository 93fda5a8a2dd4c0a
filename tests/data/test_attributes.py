"""View, age and names of elements, from headers as archives have them."""

from __future__ import annotations

import pytest
from dicom_files import HEADER, PIXELS, as_bytes
from pydicom.dataset import Dataset

from mammogan.data.attributes import element, parse_view
from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import build, code
from mammogan.errors import Refused


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


@pytest.mark.parametrize(
    ("stated", "view", "side"),
    [
        ("CC", "CC", ""),
        ("RMLO", "MLO", "R"),
        ("L-MLO", "MLO", "L"),
        ("MLO R", "MLO", "R"),
        ("lcc", "CC", "L"),
        ("CCR", "CC", "R"),
        ("left cranio-caudal", "CC", "L"),
        ("medio-lateral oblique projection", "MLO", ""),
        ("RML", "other", "R"),
        ("XCCL", "other", ""),
        ("medio-lateral", "other", ""),
        ("", "", ""),
        ("UNKNOWN", "", ""),
        ("R", "", "R"),
        ("M.L.O.", "MLO", ""),
        ("L M L O", "MLO", "L"),
        ("L MLO R", "MLO", ""),
        ("RCC2", "CC", "R"),
        ("R MLO 1", "MLO", "R"),
        ("MLORT", "MLO", "R"),
        ("CC D", "CC", "R"),
        ("MLO links", "MLO", "L"),
        ("médio-latérale oblique gauche", "MLO", "L"),
        ("cráneo-caudal derecha", "CC", "R"),
        ("mediolateral schräg rechts", "MLO", "R"),
    ],
)
def test_views_however_they_are_written(stated: str, view: str, side: str) -> None:
    assert parse_view(stated) == (view, side)


def test_a_code_decides_then_a_meaning_then_the_position_then_the_table() -> None:
    def read(position: str, *items: tuple[str, str], label: str = "") -> str | None:
        dataset = build(PIXELS, HEADER)
        dataset.ViewPosition, dataset.ViewCodeSequence = position, [Dataset() for _ in items]
        for item, (value, meaning) in zip(dataset.ViewCodeSequence, items, strict=True):
            if value:
                item.CodeValue, item.CodingSchemeDesignator = value, "SCT" if value.isdigit() else "99LOCAL"
            item.CodeMeaning = meaning
        return read_mammogram(as_bytes(dataset), label={"view": label} if label else None).facts["view"]

    assert read("", ("399162004", "anything")) == "CC"
    assert read("CC", ("", "")) == "CC"
    assert read("RMLO", ("17", "")) == "MLO"
    assert read("", ("", "cranio-caudal")) == "CC"
    assert read("nothing", ("17", "nothing"), label="MLO") == "MLO"
    for position, items in (("CC", [("399260004", "medio-lateral")]), ("ML", [])):
        with pytest.raises(Refused, match="neither"):
            read(position, *items, label="MLO")
    with pytest.raises(Refused, match="no known view; give the view"):
        read("nothing", ("", ""))


def test_the_side_in_the_position_counts_where_no_other_is_stated() -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ImageLaterality, dataset.ViewPosition = "", "LMLO"
    assert read_mammogram(as_bytes(dataset)).facts["laterality"] == "L"


def test_pixels_that_are_not_square_are_made_so() -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ImagerPixelSpacing = ["0.1", "0.2"]
    mammogram = read_mammogram(as_bytes(dataset))
    assert mammogram.pixels.shape == (70, 180)
    assert (mammogram.facts["source_columns"], mammogram.facts["flags"]) == (90, ["aspect"])
    del dataset.ImagerPixelSpacing
    dataset.PixelAspectRatio = ["2", "1"]
    assert read_mammogram(as_bytes(dataset)).pixels.shape == (70, 45)


def test_cbis_states_the_view_as_an_orientation() -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ViewPosition, dataset.ViewCodeSequence, dataset.PatientOrientation = "", [], "CC"
    assert read_mammogram(as_bytes(dataset)).facts["view"] == "CC"
    dataset.PatientOrientation = ["A", "R"]
    with pytest.raises(Refused, match="state no known view"):
        read_mammogram(as_bytes(dataset))
