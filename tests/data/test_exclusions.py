"""What the paper excluded, and what is not a mammogram, is refused with its reason."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from dicom_files import HEADER, PIXELS, as_bytes
from pydicom.dataset import Dataset

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import build, code
from mammogan.errors import Refused


def with_modifier(value: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [code(value, "modifier", "SNM3")]

    return change


def assign(**values: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def two_frames(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData * 2
    dataset.NumberOfFrames = 2


REFUSED = {
    "two frames": (two_frames, "multi_frame"),
    "implant": (assign(BreastImplantPresent="YES"), "implant"),
    "implant displaced": (with_modifier("R-102D5"), "implant"),
    "spot": (with_modifier("R-102D7"), "spot"),
    "magnified": (with_modifier("R-102D6"), "magnified"),
    "partial": (assign(PartialView="YES"), "partial"),
    "for processing": (assign(PresentationIntentType="FOR PROCESSING"), "for_processing"),
    "stereotactic": (assign(ImageType=["ORIGINAL", "PRIMARY", "STEREO_PLUS"]), "stereotactic"),
    "from tomosynthesis": (assign(ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]), "tomosynthesis"),
    "specimen": (assign(ViewCodeSequence=[code("127457009", "tissue specimen from breast")]), "specimen"),
    "magnification paddle": (assign(PaddleDescription="10CM MAG"), "magnified"),
    "phantom of quality control": (assign(QualityControlImage="YES"), "not_a_breast"),
    "lateral": (assign(ViewCodeSequence=[code("399260004", "medio-lateral")]), "view"),
    "absurd size": (assign(Rows=65535, Columns=65535), "too_large"),
    "rows too many": (assign(Rows=4000), "undecodable"),
    "bits that contradict": (assign(BitsStored=14, HighBit=20), "malformed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_mammogram_is_refused(original: Dataset, name: str) -> None:
    dataset = copy.deepcopy(original)
    change, reason = REFUSED[name]
    change(dataset)
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Modality": "CT"}, "modality"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"BreastImplantPresent": "YES"}, "implant"),
        ({"PartialView": "YES"}, "partial"),
        ({"EstimatedRadiographicMagnificationFactor": "1.8"}, "magnified"),
        ({"NumberOfFrames": "3"}, "multi_frame"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "color"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "tomosynthesis"),
        ({"ViewCodeSequence": None, "ViewPosition": "ML"}, "view"),
        ({"PixelData": None}, "no_pixels"),
        ({"WindowWidth": ["0", "0"]}, "display"),
    ],
)
def test_refused_with_its_reason(change: dict, reason: str) -> None:
    dataset = build(PIXELS, HEADER)
    for keyword, value in change.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason
    assert "PHANTOM" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("399163009", "magnified"), ("R-102D7", "spot"), ("R-102D5", "implant"), ("R-102C2", "partial")],
)
def test_view_modifiers(value: str, reason: str) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [code(value, "modifier")]
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason
