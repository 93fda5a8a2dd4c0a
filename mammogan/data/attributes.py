"""Facts from the header of a DICOM mammogram: view, laterality, age, pixel spacing, plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammogan.errors import Reason, Refused

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # digitized film is kept so: PS3.3 C.8.6.1, conversion type DF

VIEW_CODES = codes.cid4014
# PS3.16 CID 4014 "View for Mammography".
VIEWS = {VIEW_CODES.CranioCaudal: "CC", VIEW_CODES.MedioLateralObliqueProjection: "MLO"}
LATERALITIES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}


def view_of(dataset: Dataset) -> str | None:
    """CC or MLO, from the view code (0054,0220) or, without one, from the view position (0018,5101).

    Returns:
        None where the file states neither.

    Raises:
        Refused: another view.
    """
    stated = sequence_items(dataset, "ViewCodeSequence")
    for item in stated:
        if found := matching_code(item, VIEWS):
            return VIEWS[found]
    position = text(dataset, "ViewPosition").upper()
    if not stated and position in ("CC", "MLO"):
        return position
    if stated or position:
        raise Refused(Reason.VIEW, "The view is neither craniocaudal (CC) nor mediolateral oblique (MLO).")
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
    """Millimeters between rows at the detector (0018,1164), else at the patient (0028,0030); None where absurd."""
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


def sequence_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def matching_code(item: Dataset, known: Iterable[Code]) -> Code | None:
    """The known code that an item states. SNOMED-RT codes ("R-10242") come under several designators; all map."""
    value = text(item, "CodeValue") or text(item, "LongCodeValue")
    stated = Code(value, "SCT" if value.isdigit() else "SRT", "")
    return next((code for code in known if code == stated), None)


def text(dataset: Dataset, keyword: str) -> str:
    """The first value of an attribute as text; "" where it is missing or empty."""
    value = dataset.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return "" if value is None else str(value).strip()


def texts(value: Any) -> list[str]:
    """Every value of an attribute as text."""
    return [str(item).strip() for item in (value if isinstance(value, MultiValue) else [value] if value else [])]


def number(value: Any) -> float | None:
    """A value as a finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if np.isfinite(found) else None


def numbers(value: Any) -> list[float]:
    """Every value of an attribute that is a finite number."""
    items = value if isinstance(value, MultiValue) else [] if value is None else [value]
    found = [number(item) for item in items]
    return [item for item in found if item is not None]
