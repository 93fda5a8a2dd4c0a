"""One DICOM file -> grey values as a workstation would show them and the facts about them, or a reason to refuse it."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammogan.data.decoders import decoded
from mammogan.data.display import Refused, display, number, stored_values, text, texts

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # digitized film is kept so: PS3.3 C.8.6.1, conversion type DF
MAX_PIXELS = 2**27  # four times the largest film scan in use; a header that promises more is wrong or an attack

_VIEWS, _MODIFIERS = codes.cid4014, codes.cid4015
# PS3.16 CID 4014 "View for Mammography".
VIEWS = {_VIEWS.CranioCaudal: "CC", _VIEWS.MedioLateralObliqueProjection: "MLO"}
# PS3.16 CID 4015 "View Modifier for Mammography": those that show less, more or something other than the whole breast.
REFUSED_MODIFIERS = {
    _MODIFIERS.Magnification: ("magnified", "a magnified view"),
    _MODIFIERS.SpotCompression: ("spot", "a spot compression"),
    _MODIFIERS.ImplantDisplaced: ("implant", "an implant-displaced view"),
    _MODIFIERS.RolledInferior: ("rolled", "a rolled view"),
    _MODIFIERS.RolledLateral: ("rolled", "a rolled view"),
    _MODIFIERS.RolledMedial: ("rolled", "a rolled view"),
    _MODIFIERS.RolledSuperior: ("rolled", "a rolled view"),
    _MODIFIERS.AnteriorCompression: ("partial", "an anterior compression"),
    _MODIFIERS.AxillaryTail: ("partial", "a view of the axillary tail"),
    _MODIFIERS.AxillaryTissue: ("partial", "a view of axillary tissue"),
    _MODIFIERS.Cleavage: ("partial", "a cleavage view"),
    _MODIFIERS.InfraMammaryFold: ("partial", "a view of the inframammary fold"),
    _MODIFIERS.Tangential: ("partial", "a tangential view"),
}
# Words by which units mark what the coded attributes do not always tell, in image type, paddle and view descriptions.
WORDS = (
    (r"stereo\w*|biopsy", "stereotactic", "The image was made for a stereotactic biopsy."),
    (r"specimen\w*", "specimen", "The image shows a tissue specimen."),
    (r"tomo\w*|generated_2d|c-view", "tomosynthesis", "The image was made from a breast tomosynthesis."),
    (r"spot\w*", "spot", "The image is a spot compression."),
    (r"mag|magn\w*", "magnified", "The image is magnified."),
)
LATERALITIES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}


@dataclass
class Mammogram:
    """One image as displayed.

    Attributes:
        pixels: (rows, columns), float32 in [0, 1]; 0 is black, also where the file says MONOCHROME1.
        facts: columns of the store's manifest (view, laterality, window, spacing, ...).
        patient: the patient's identifier as the file has it; to be hashed, never to be written.
        instance: SOP instance UID or another key under which a duplicate is found; never to be written either.
        film: True where the image was digitized from film, and so may show labels and the film's border.
        depth: bits of the grey values of a picture.
    """

    pixels: np.ndarray = field(repr=False)
    facts: dict[str, Any]
    patient: str = field(repr=False)
    instance: str = field(repr=False)
    film: bool = False
    depth: int = 16


def read_mammogram(
    content: bytes,
    *,
    window: int | str = 0,
    allow_processing: bool = False,
    label: Mapping[str, Any] | None = None,
) -> Mammogram:
    """Read a full-field digital mammogram from the bytes of a DICOM file.

    Args:
        content: the file.
        window: which of several VOI windows or LUTs to show, see `display`. The first one is the default of the
            hardware that made the image (PS3.3 C.11.2.1.2.1).
        allow_processing: take FOR PROCESSING images too.
        label: facts from a table (view, laterality, age, density, patient) for what the header does not state.

    Raises:
        Refused: the file is no DICOM, or no mammogram of the kind that the paper trained on, or cannot be decoded.
    """
    label = label or {}
    with warnings.catch_warnings():
        # pydicom warns about every value that breaks its VR; archives are full of them and none matters here.
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(content))
            if not dataset:
                raise InvalidDicomError
        except InvalidDicomError:
            raise Refused("not_dicom", "The file is not a DICOM file.") from None
        except Exception as error:
            raise Refused("malformed", f"The DICOM file cannot be parsed ({type(error).__name__}).") from None
        try:
            select(dataset, allow_processing=allow_processing)
            view = view_of(dataset) or label.get("view")
            if not view:
                raise Refused("view", "The file states no view; give one in a table of labels.")
            if view not in VIEWS.values():
                raise Refused("view", "The view is neither craniocaudal (CC) nor mediolateral oblique (MLO).")
            laterality = laterality_of(dataset) or label.get("laterality")
        except Refused:
            raise
        except Exception as error:
            raise Refused("malformed", f"The DICOM header cannot be read ({type(error).__name__}).") from None
        try:
            stored = stored_values(dataset, decoded(dataset))
        except Refused:
            raise
        except Exception as error:
            raise Refused("undecodable", f"The pixel data cannot be decoded ({type(error).__name__}).") from None
        try:
            pixels, shown = display(dataset, stored, window)
        except Refused:
            raise
        except Exception as error:
            raise Refused("display", f"The display transform cannot be applied ({type(error).__name__}).") from None
        age = age_of(dataset)
        burned_in = text(dataset, "BurnedInAnnotation").upper() == "YES"
        facts = {
            "view": view,
            "laterality": laterality,
            "age": label.get("age") if age is None else age,
            "density": label.get("density"),
            "spacing_mm": spacing_of(dataset),
            "manufacturer": plain(text(dataset, "Manufacturer")),
            "model": plain(text(dataset, "ManufacturerModelName")),
            "source_rows": int(pixels.shape[0]),
            "source_columns": int(pixels.shape[1]),
            "photometric": str(dataset.PhotometricInterpretation),
            "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
            "flags": ["text"] if burned_in else [],
            **shown,
        }
        facts["window_explanation"] = plain(facts.get("window_explanation") or "") or None
        # Without an identifier a file is its own patient: better split too finely than a patient across splits.
        instance = text(dataset, "SOPInstanceUID") or hashlib.sha256(content).hexdigest()
        patient = label.get("patient") or text(dataset, "PatientID") or text(dataset, "StudyInstanceUID") or instance
        film = text(dataset, "SOPClassUID") == SECONDARY_CAPTURE or text(dataset, "ConversionType").upper() == "DF"
        return Mammogram(pixels, facts, patient, instance, film)


def select(dataset: Dataset, *, allow_processing: bool = False) -> None:
    """Refuse what the paper excluded or a mammogram cannot be.

    The paper trained on full-field digital mammograms without implants and postoperative artifacts ("Data and Clinical
    Setting"); the attributes are those of the Mammography Image module (PS3.3 C.8.11.7).

    Raises:
        Refused: with the first reason found.
    """
    sop_class = text(dataset, "SOPClassUID")
    modality = text(dataset, "Modality").upper()
    if sop_class == TOMOSYNTHESIS:
        raise Refused("tomosynthesis", "The file holds a breast tomosynthesis, not a full-field mammogram.")
    if modality != "MG":
        what = f"modality {modality}" if re.fullmatch("[A-Z0-9]{2,6}", modality) else "no modality"
        raise Refused("modality", f"The file has {what}; a mammogram has modality MG.")
    if "PixelData" not in dataset:
        raise Refused("no_pixels", "The file has no integer pixel data.")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused("multi_frame", "The file has several frames; a full-field mammogram has one.")
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise Refused("colour", "The file is a colour image; a mammogram is MONOCHROME1 or MONOCHROME2.")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise Refused("too_large", f"The image has more than {MAX_PIXELS} pixels.")
    intent = text(dataset, "PresentationIntentType").upper()
    if (sop_class == FOR_PROCESSING or intent == "FOR PROCESSING") and not allow_processing:
        raise Refused("for_processing", "The image is FOR PROCESSING; the paper used images made for presentation.")
    if text(dataset, "QualityControlImage").upper() == "YES":
        raise Refused("not_a_breast", "The image was made for quality control (0028,0300).")
    if text(dataset, "BreastImplantPresent").upper() == "YES":
        raise Refused("implant", "The breast has an implant (0028,1300).")
    if text(dataset, "PartialView").upper() == "YES":
        raise Refused("partial", "The image is a partial view (0028,1350).")
    magnification = number(dataset.get("EstimatedRadiographicMagnificationFactor"))
    if magnification is not None and magnification > 1.25:
        raise Refused("magnified", "The image is magnified (0018,1114).")
    if _items(dataset, "SpecimenDescriptionSequence"):
        raise Refused("specimen", "The image shows a tissue specimen.")
    for item in _items(dataset, "ViewCodeSequence"):
        if _among(item, [_VIEWS.TissueSpecimenFromBreast]):
            raise Refused("specimen", "The image shows a tissue specimen.")
        for modifier in _items(item, "ViewModifierCodeSequence"):
            if found := _among(modifier, REFUSED_MODIFIERS):
                reason, what = REFUSED_MODIFIERS[found]
                raise Refused(reason, f"The image is {what} (view modifier).")
    stated = texts(dataset.get("ImageType")) + [text(dataset, key) for key in ("PaddleDescription", "ViewPosition")]
    for pattern, reason, sentence in WORDS:
        if re.search(rf"\b({pattern})\b", " ".join(stated), re.IGNORECASE):
            raise Refused(reason, sentence)


def view_of(dataset: Dataset) -> str | None:
    """CC or MLO, from the view code (0054,0220) or, without one, from the view position (0018,5101).

    Returns:
        None where the file states neither.

    Raises:
        Refused: another view.
    """
    stated = _items(dataset, "ViewCodeSequence")
    for item in stated:
        if found := _among(item, VIEWS):
            return VIEWS[found]
    position = text(dataset, "ViewPosition").upper()
    if not stated and position in ("CC", "MLO"):
        return position
    if stated or position:
        raise Refused("view", "The view is neither craniocaudal (CC) nor mediolateral oblique (MLO).")
    return None


def laterality_of(dataset: Dataset) -> str | None:
    """L, R or None, from image laterality (0020,0062) or, without one, laterality (0020,0060)."""
    for keyword in ("ImageLaterality", "Laterality"):
        value = text(dataset, keyword).upper()
        if value in LATERALITIES:
            return LATERALITIES[value]
    return None


def age_of(dataset: Dataset) -> float | None:
    """Age in years from (0010,1010), "056Y" or "018M"; None where it is missing or no age of a patient ("000Y")."""
    value = text(dataset, "PatientAge").upper()
    per_year = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
    if len(value) != 4 or not value[:3].isascii() or not value[:3].isdigit() or value[3] not in per_year:
        return None
    age = int(value[:3]) / per_year[value[3]]
    return age if 0 < age < 120 else None


def spacing_of(dataset: Dataset) -> float | None:
    """Millimetres between rows at the detector (0018,1164), else at the patient (0028,0030); None where absurd."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        value = dataset.get(keyword)
        spacing = number(value[0] if isinstance(value, MultiValue) and value else value)
        if spacing is not None and 0.01 <= spacing <= 5:
            return spacing
    return None


def plain(value: str) -> str:
    """A name of a device or a window, in plain characters; "" for what cannot be one.

    Where a length in a broken file is wrong, a value runs on into the next attributes, which may name the patient; it
    then holds their tags, which no text may (PS3.5 6.2, LO: at most 64 characters and no control character).
    """
    return "" if len(value) > 64 or not value.isprintable() else re.sub(r"[^\w .,+/()&-]", "", value).strip()


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def _among(item: Dataset, known: Iterable[Code]) -> Code | None:
    """The known code that an item states. SNOMED-RT codes ("R-10242") come under several designators; all map."""
    value = text(item, "CodeValue") or text(item, "LongCodeValue")
    stated = Code(value, "SCT" if value.isdigit() else "SRT", "")
    return next((code for code in known if code == stated), None)
