"""What the paper excluded, and what is not a mammogram, is refused with its reason."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from dicom_files import HEADER, PIXELS, as_bytes
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

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


def with_meaning(meaning: str, value: str = "", scheme: str = "99LOCAL") -> Dataset:
    item = Dataset()
    if value:
        item.CodeValue, item.CodingSchemeDesignator = value, scheme
    item.CodeMeaning = meaning
    return item


STATED = [
    ({"ViewModifierCodeSequence": [code("399055006", "Spot Compression")]}, "spot"),
    ({"ViewModifierCodeSequence": [code("R-102D6", "M", "SRT")]}, "magnified"),
    ({"ViewModifierCodeSequence": [with_meaning("Implant Displaced")]}, "implant"),
    ({"ViewModifierCodeSequence": [with_meaning("Rolled Lateral", "17")]}, "rolled"),
    ({"ViewModifierCodeSequence": [with_meaning("axillary tail", "17")]}, "partial"),
    ({"ViewCodeSequence": [with_meaning("MLO magnification", "4")]}, "magnified"),
    ({"ViewPosition": "MLO SPOT"}, "spot"),
    ({"ViewPosition": "RMLO-ID"}, "implant"),
    ({"PaddleDescription": "9 CM SPT"}, "spot"),
    ({"PaddleDescription": "SPOT_CONTACT"}, "spot"),
    ({"PaddleDescription": "BIOPSY"}, "stereotactic"),
    ({"PaddleDescription": "PERFORATED"}, "stereotactic"),
    ({"PaddleDescription": "Fenestrated paddle"}, "stereotactic"),
    ({"SeriesDescription": "AEC test"}, "not_a_breast"),
    ({"StudyDescription": "Weekly checks, MQSA test"}, "not_a_breast"),
    ({"SeriesDescription": "Testaufnahme Röhre"}, "not_a_breast"),
    ({"SeriesDescription": "L MLO Spot Mag"}, "spot"),
    ({"SeriesDescription": "R CC ID"}, "implant"),
    ({"SeriesDescription": "SPECIMEN R"}, "specimen"),
    ({"StudyDescription": "Surgical specimen radiograph"}, "specimen"),
    ({"ProtocolName": "Stereotactic Biopsy"}, "stereotactic"),
    ({"StudyDescription": "STEREO BX"}, "stereotactic"),
    ({"BodyPartExamined": "SPECIMEN"}, "specimen"),
    ({"BodyPartExamined": "HAND"}, "not_a_breast"),
    ({"PartialViewDescription": "anterior"}, "partial"),
    ({"SeriesDescription": "R MLO C-View"}, "tomosynthesis"),
    ({"SeriesDescription": "S-View L CC"}, "tomosynthesis"),
    ({"SeriesDescription": "L CC Intelligent 2D"}, "tomosynthesis"),
    ({"SeriesDescription": "ROUTINE3D_VPREVIEW_RCC"}, "tomosynthesis"),
    ({"SeriesDescription": "Synthesized 2D"}, "tomosynthesis"),
    ({"ImageType": ["DERIVED", "PRIMARY", "TOMO_2D"]}, "tomosynthesis"),
    ({"VolumetricProperties": "VOLUME"}, "tomosynthesis"),
    ({"VolumetricProperties": "SAMPLED"}, "tomosynthesis"),
    ({"VolumeBasedCalculationTechnique": "MAX_IP"}, "tomosynthesis"),
    ({"ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"]}, "contrast"),
    ({"SeriesDescription": "R CC Subtraction"}, "contrast"),
    ({"SeriesDescription": "L MLO HIGH ENERGY"}, "contrast"),
    ({"ContrastBolusAgent": "Iohexol"}, "contrast"),
    ({"ContrastBolusAgentSequence": [with_meaning("Iohexol", "1")]}, "contrast"),
    ({"KVP": "46", "FilterMaterial": "COPPER"}, "contrast"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "sop_class"),
    ({"SOPClassUID": "1.2.3.4"}, "sop_class"),
    ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen_save"),
    ({"SeriesDescription": "ROI mask images"}, "screen_save"),
    ({"SeriesDescription": "cropped images"}, "partial"),
    ({"StudyDescription": "Weekly QC"}, "not_a_breast"),
    ({"SeriesDescription": "ACR Phantom"}, "not_a_breast"),
    ({"SeriesDescription": "Zielaufnahme links"}, "spot"),
    ({"SeriesDescription": "Cliché localisé"}, "spot"),
    ({"SeriesDescription": "compresión focalizada"}, "spot"),
    ({"SeriesDescription": "VERGRÖSSERUNG R CC"}, "magnified"),
    ({"SeriesDescription": "Vergrößerung"}, "magnified"),
    ({"SeriesDescription": "Agrandissement CC"}, "magnified"),
    ({"SeriesDescription": "Ampliação MLO"}, "magnified"),
    ({"ViewModifierCodeSequence": [with_meaning("Ingrandimento")]}, "magnified"),
    ({"SeriesDescription": "Stéréotaxie"}, "stereotactic"),
    ({"SeriesDescription": "Drahtmarkierung R"}, "stereotactic"),
    ({"SeriesDescription": "needle loc L"}, "stereotactic"),
    ({"SeriesDescription": "Imagen sintetizada"}, "tomosynthesis"),
    ({"SeriesDescription": "Intelligent2D R CC"}, "tomosynthesis"),
    ({"SeriesDescription": "Insight2D"}, "tomosynthesis"),
    ({"SeriesDescription": "Kontrastmittel R CC"}, "contrast"),
    ({"SeriesDescription": "avec produit de contraste"}, "contrast"),
    ({"ImageType": ["DERIVED", "PRIMARY", "SUBTRACT"]}, "contrast"),
    ({"KVP": "49", "FilterMaterial": "TITANIUM"}, "contrast"),
    ({"BreastImplantPresent": "", "SeriesDescription": "Prothèse"}, "implant"),
    ({"BreastImplantPresent": "", "SeriesDescription": "protesi mammaria"}, "implant"),
    ({"SeriesDescription": "Pièce opératoire"}, "specimen"),
    ({"SeriesDescription": "Präparatradiographie"}, "specimen"),
    ({"SeriesDescription": "Konstanzprüfung"}, "not_a_breast"),
    ({"StudyDescription": "Contrôle de qualité"}, "not_a_breast"),
    ({"SeriesDescription": "CDMAM"}, "not_a_breast"),
    ({"BodyPartExamined": "LUMBAR SPINE"}, "not_a_breast"),
    ({"AnatomicRegionSequence": [with_meaning("Hand", "1")]}, "not_a_breast"),
    ({"Manufacturer": "Faxitron X-Ray LLC"}, "specimen"),
    ({"ManufacturerModelName": "Trident Specimen Radiography System"}, "specimen"),
    ({"ManufacturerModelName": "MultiCare Platinum"}, "stereotactic"),
    ({"Rows": None}, "malformed"),
    # A negation of something else does not help.
    ({"BreastImplantPresent": "NO", "SeriesDescription": "no implant, SPOT view"}, "spot"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), STATED, ids=lambda value: str(value)[:60])
def test_refused_wherever_it_is_stated(change: dict, reason: str) -> None:
    dataset = build(PIXELS, HEADER)
    assign(**change)(dataset)
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason
    assert refused.value.sentence.endswith(".") and "Iohexol" not in refused.value.sentence


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        ({}, []),
        ({"SeriesDescription": "R MLO", "StudyDescription": "MG Screening Bilat w/Tomo w/CAD"}, []),
        ({"PaddleDescription": "18X24CM", "ProtocolName": "ROUTINE"}, []),
        ({"ViewModifierCodeSequence": [code(codes.cid4015.NippleInProfile.value, "nipple, no spot")]}, []),
        ({"ViewModifierCodeSequence": [Dataset()]}, []),
        ({"PartialView": "NO", "PartialViewDescription": "none"}, []),
        ({"ContrastBolusAgent": "NONE"}, []),
        ({"ContrastBolusAgent": "No contrast agent"}, []),
        ({"ContrastBolusAgent": "not applicable"}, []),
        ({"ContrastBolusAgent": "keines"}, []),
        ({"SeriesDescription": "Mammographie de dépistage, ambulatoire"}, []),
        ({"SeriesDescription": "Magna Kontrolle, Localidad Cortés"}, []),
        ({"StudyDescription": "Mammografie beidseits, Zielgruppe 50 plus"}, []),
        ({"ManufacturerModelName": "MAMMOMAT Inspiration Tomo 3D"}, []),
        ({"AcquisitionDeviceProcessingDescription": "Premium View contrast"}, []),
        ({"SeriesDescription": "Contrast enhanced processing, R MLO"}, []),
        ({"SeriesDescription": "Synthesis Health screening"}, []),
        ({"SeriesDescription": "contested, ACR density B"}, []),
        ({"StudyDescription": "6 monthly check, screening test"}, []),
        ({"SeriesDescription": "senza protesi"}, ["described"]),
        ({"SeriesDescription": "Zustand nach Biopsie"}, ["described"]),
        ({"SeriesDescription": "Prothèse retirée"}, ["described"]),
        ({"SeriesDescription": "Contrast R CC"}, ["described"]),
        ({"SeriesDescription": "Galaktographie"}, ["described"]),
        ({"SeriesDescription": "L MLO iCAD SecondLook"}, ["described"]),
        ({"ImageComments": "compare with spot view of 2011"}, ["described"]),
        ({"BodyPartExamined": "CHEST"}, ["described"]),
        ({"SeriesDescription": "CESM Niedrigenergie"}, ["contrast"]),
        ({"KVP": "29", "FilterMaterial": "RHODIUM"}, []),
        ({"StudyDescription": "no implants"}, ["described"]),
        ({"SeriesDescription": "R MLO w/o implant"}, ["described"]),
        ({"SeriesDescription": "implants removed 2010"}, ["described"]),
        ({"SeriesDescription": "R MLO spot?"}, ["described"]),
        ({"SeriesDescription": "R CC post stereotactic biopsy"}, ["described"]),
        ({"BreastImplantPresent": "NO", "SeriesDescription": "Implant views"}, ["described"]),
        ({"StudyDescription": "Diagnostic with spot and magnification"}, ["described"]),
        ({"StudyDescription": "US guided biopsy"}, ["described"]),
        ({"ProtocolName": "Combo 2D 3D"}, ["described"]),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"], "ContrastBolusAgent": "Iohexol"}, ["contrast"]),
        ({"SeriesDescription": "R CC CESM Low Energy"}, ["contrast"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_accepted_and_flagged_where_words_are_in_doubt(change: dict, flags: list[str]) -> None:
    dataset = build(PIXELS, HEADER)
    assign(**change)(dataset)
    assert read_mammogram(as_bytes(dataset)).facts["flags"] == flags
