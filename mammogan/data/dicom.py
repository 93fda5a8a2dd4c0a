"""One DICOM file -> grey values as a workstation would show them and the facts about them, or a reason to refuse it."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"

# PS3.16 CID 4014 "View for Mammography": SNOMED-RT codes (designators SRT, SNM3, 99SDM) and their SNOMED CT successors.
VIEW_CODES = {"R-10242": "CC", "399162004": "CC", "R-10226": "MLO", "399368009": "MLO"}
# PS3.16 CID 4015 "View Modifier for Mammography": those that show less, more or something other than the whole breast.
REFUSED_MODIFIERS = {
    "R-102D6": ("spot", "a magnified view"),
    "399163009": ("spot", "a magnified view"),
    "R-102D7": ("spot", "a spot compression"),
    "399055006": ("spot", "a spot compression"),
    "R-102D5": ("implant", "an implant-displaced view"),
    "399209000": ("implant", "an implant-displaced view"),
}


class Refused(Exception):
    """A source that is not taken: `reason` for machines, the message for people. Neither holds an identifier."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass
class Mammogram:
    """One image as displayed.

    Attributes:
        pixels: (rows, columns), float32 in [0, 1]; 0 is black, also where the file says MONOCHROME1.
        facts: columns of the store's manifest (view, laterality, window, spacing, ...).
        patient: the patient's identifier as the file has it; to be hashed, never to be written.
        instance: SOP instance UID or another key under which a duplicate is found; never to be written either.
    """

    pixels: np.ndarray = field(repr=False)
    facts: dict[str, Any]
    patient: str = field(repr=False)
    instance: str = field(repr=False)


def read_mammogram(content: bytes, *, window: int | str = 0, allow_processing: bool = False) -> Mammogram:
    """Read a full-field digital mammogram from the bytes of a DICOM file.

    Args:
        content: the file.
        window: which of several VOI windows or LUTs to show: its position, or its explanation ("HARDER"). The first
            one is the default of the hardware that made the image (PS3.3 C.11.2.1.2.1).
        allow_processing: take FOR PROCESSING images too.

    Raises:
        Refused: the file is no DICOM, or no mammogram of the kind that the paper trained on, or cannot be decoded.
    """
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
            view, laterality = view_of(dataset), laterality_of(dataset)
        except Refused:
            raise
        except Exception as error:
            raise Refused("malformed", f"The DICOM header cannot be read ({type(error).__name__}).") from None
        try:
            stored = dataset.pixel_array
        except Exception as error:
            raise Refused("undecodable", f"The pixel data cannot be decoded ({type(error).__name__}).") from None
        try:
            pixels, shown = display(dataset, stored, window)
        except Refused:
            raise
        except Exception as error:
            raise Refused("display", f"The display transform cannot be applied ({type(error).__name__}).") from None
        facts = {
            "view": view,
            "laterality": laterality,
            "age": age_of(dataset),
            "spacing_mm": spacing_of(dataset),
            "manufacturer": _text(dataset, "Manufacturer"),
            "model": _text(dataset, "ManufacturerModelName"),
            "source_rows": int(pixels.shape[0]),
            "source_columns": int(pixels.shape[1]),
            "photometric": str(dataset.PhotometricInterpretation),
            "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
            **shown,
        }
        # Without an identifier a file is its own patient: better split too finely than a patient across splits.
        instance = _text(dataset, "SOPInstanceUID") or hashlib.sha256(content).hexdigest()
        patient = _text(dataset, "PatientID") or _text(dataset, "StudyInstanceUID") or instance
        return Mammogram(pixels, facts, patient, instance)


def select(dataset: Dataset, *, allow_processing: bool = False) -> None:
    """Refuse what the paper excluded or a mammogram cannot be.

    The paper trained on full-field digital mammograms without implants and postoperative artifacts ("Data and Clinical
    Setting"); the attributes are those of the Mammography Image module (PS3.3 C.8.11.7).

    Raises:
        Refused: with the first reason found.
    """
    sop_class = _text(dataset, "SOPClassUID")
    modality = _text(dataset, "Modality").upper()
    if sop_class == TOMOSYNTHESIS:
        raise Refused("tomosynthesis", "The file holds a breast tomosynthesis, not a full-field mammogram.")
    if modality != "MG":
        what = f"modality {modality}" if modality.isalnum() and len(modality) <= 16 else "no modality"
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
    intent = _text(dataset, "PresentationIntentType").upper()
    if (sop_class == FOR_PROCESSING or intent == "FOR PROCESSING") and not allow_processing:
        raise Refused("for_processing", "The image is FOR PROCESSING; the paper used images made for presentation.")
    if _text(dataset, "BreastImplantPresent").upper() == "YES":
        raise Refused("implant", "The breast has an implant (0028,1300).")
    if _text(dataset, "PartialView").upper() == "YES":
        raise Refused("partial", "The image is a partial view (0028,1350).")
    magnification = _number(dataset.get("EstimatedRadiographicMagnificationFactor"))
    if magnification is not None and magnification > 1.25:
        raise Refused("spot", "The image is magnified (0018,1114).")
    for item in _codes(dataset, "ViewCodeSequence"):
        for modifier in _codes(item, "ViewModifierCodeSequence"):
            code = _text(modifier, "CodeValue")
            if code in REFUSED_MODIFIERS:
                reason, what = REFUSED_MODIFIERS[code]
                raise Refused(reason, f"The image is {what} (view modifier).")


def view_of(dataset: Dataset) -> str:
    """CC or MLO, from the view code (0054,0220) or, without one, from the view position (0018,5101).

    Raises:
        Refused: another view, or none.
    """
    codes = [_text(item, "CodeValue") for item in _codes(dataset, "ViewCodeSequence")]
    for code in codes:
        if code in VIEW_CODES:
            return VIEW_CODES[code]
    position = _text(dataset, "ViewPosition").upper()
    if not codes and position in ("CC", "MLO"):
        return position
    raise Refused("view", "The view is neither craniocaudal (CC) nor mediolateral oblique (MLO).")


def laterality_of(dataset: Dataset) -> str | None:
    """L, R or None, from image laterality (0020,0062) or, without one, laterality (0020,0060)."""
    for keyword in ("ImageLaterality", "Laterality"):
        value = _text(dataset, keyword).upper()
        if value in ("L", "R"):
            return value
    return None


def age_of(dataset: Dataset) -> float | None:
    """Age in years from (0010,1010), "056Y" or "018M"; None where it is missing or no age of a patient ("000Y")."""
    value = _text(dataset, "PatientAge").upper()
    per_year = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
    if len(value) != 4 or not value[:3].isdigit() or value[3] not in per_year:
        return None
    age = int(value[:3]) / per_year[value[3]]
    return age if 0 < age < 120 else None


def spacing_of(dataset: Dataset) -> float | None:
    """Millimetres between rows at the detector (0018,1164), else at the patient (0028,0030); None where absurd."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        value = dataset.get(keyword)
        spacing = _number(value[0] if isinstance(value, MultiValue) and value else value)
        if spacing is not None and 0.01 <= spacing <= 5:
            return spacing
    return None


def display(dataset: Dataset, stored: np.ndarray, window: int | str = 0) -> tuple[np.ndarray, dict[str, Any]]:
    """Grey values in [0, 1] as PS3.3 C.11 and PS3.4 N.2 prescribe: modality LUT, VOI window or LUT, polarity.

    A window is preferred to a VOI LUT where the file has both: the paper applied "the default windowing level for the
    hardware". Pixel padding becomes black.

    Returns:
        float32 (rows, columns), and the manifest's columns that say which window was used.
    """
    values = np.asarray(apply_modality_lut(stored, dataset), np.float32)
    shown: dict[str, Any] = {}
    centers, widths = _numbers(dataset.get("WindowCenter")), _numbers(dataset.get("WindowWidth"))
    luts = dataset.get("VOILUTSequence")
    if centers and len(centers) == len(widths):
        explanations = _texts(dataset.get("WindowCenterWidthExplanation"))
        index = _choose(window, len(centers), explanations)
        function = _text(dataset, "VOILUTFunction").upper() or "LINEAR"
        shown = {
            "window_center": centers[index],
            "window_width": widths[index],
            "window_function": function,
            "window_explanation": explanations[index] if index < len(explanations) else None,
        }
        grey = apply_window(values, centers[index], widths[index], function)
    elif luts:
        explanations = [_text(item, "LUTExplanation") for item in luts]
        index = _choose(window, len(luts), explanations)
        top = 2.0 ** int(luts[index].LUTDescriptor[2]) - 1
        grey = np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset, index), np.float32) / top
        shown = {"window_function": "LUT", "window_explanation": explanations[index] or None}
    else:
        # PS3.3 C.11.2.1.2: without a window the range of the values is shown as it is.
        low, high = float(values.min()), float(values.max())
        grey = (values - low) / max(high - low, 1e-12)
        shown = {"window_center": (low + high) / 2, "window_width": high - low, "window_function": "RANGE"}
    # PS3.3 C.11.6: the presentation LUT shape rules where it is present, and INVERSE belongs to MONOCHROME1.
    shape = _text(dataset, "PresentationLUTShape").upper()
    if shape == "INVERSE" or (not shape and dataset.PhotometricInterpretation == "MONOCHROME1"):
        grey = 1 - grey
    grey[padding_of(dataset, stored)] = 0
    return grey.astype(np.float32), shown


def apply_window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """VOI window onto [0, 1]: LINEAR, LINEAR_EXACT (PS3.3 C.11.2.1.2.1, C.11.2.1.3.2) or SIGMOID (C.11.2.1.3.1)."""
    if function == "LINEAR":
        if width < 1:
            raise Refused("display", "The window is narrower than 1.")
        # A width of 1 is a threshold: everything above center - 0.5 is white.
        return np.clip((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5, 0, 1)
    if width <= 0:
        raise Refused("display", "The window's width is not positive.")
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
    raise Refused("display", "The VOI LUT function is none of LINEAR, LINEAR_EXACT and SIGMOID.")


def padding_of(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """True where a stored value is padding, by (0028,0120) and (0028,0121); PS3.3 C.7.5.1.1.2."""
    value = _number(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = _number(dataset.get("PixelPaddingRangeLimit"))
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _choose(window: int | str, count: int, explanations: list[str]) -> int:
    if isinstance(window, str):
        if window in explanations:
            return explanations.index(window)
        raise Refused("window", f"The file has no window called {window}.")
    if not 0 <= window < count:
        raise Refused("window", f"The file has {count} windows; there is none at position {window}.")
    return window


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return "" if value is None else str(value).strip()


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, MultiValue) else [value] if value else [])]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _numbers(value: Any) -> list[float]:
    items = value if isinstance(value, MultiValue) else [] if value is None else [value]
    numbers = [_number(item) for item in items]
    return [number for number in numbers if number is not None]


def _codes(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []
