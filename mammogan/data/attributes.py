"""Facts from the header of a DICOM mammogram: view, laterality, age, pixel spacing, plain text."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from mammogan.errors import Reason, Refused

VIEW_CODES = codes.cid4014
# PS3.16 CID 4014 "View for Mammography".
VIEWS = {VIEW_CODES.CranioCaudal: "CC", VIEW_CODES.MedioLateralObliqueProjection: "MLO"}
OTHER_VIEW = "is neither craniocaudal (CC) nor mediolateral oblique (MLO)."
KNOWN_VIEWS = list(VIEW_CODES.concepts.values())
# Names of sides in English, German, French, Spanish, Portuguese and Italian.
LATERALITIES = {
    **dict.fromkeys(
        ("L", "LEFT", "LT", "LINKS", "LI", "GAUCHE", "G", "IZQUIERDA", "IZQUIERDO", "ESQUERDA", "SINISTRA"), "L"
    ),
    **dict.fromkeys(("SX", "IZQ"), "L"),
    **dict.fromkeys(("R", "RIGHT", "RT", "RECHTS", "RE", "DROITE", "DROIT", "D", "DERECHA", "DERECHO", "DIREITA"), "R"),
    **dict.fromkeys(("DESTRA", "DX"), "R"),
}
OTHER = "other"
# Names of views in capitals, without spaces and accents: those of PS3.16 CID 4014, with the abbreviations of the ACR,
# and those of other languages.
NAMES = {
    **dict.fromkeys(("CC", "CRANIOCAUDAL", "CRANIOCAUDALE", "CRANEOCAUDAL", "KRANIOKAUDAL"), "CC"),
    **dict.fromkeys(("MLO", "MEDIOLATERALOBLIQUE", "MEDIALLATERALOBLIQUE", "OBLIQUEMEDIOLATERAL"), "MLO"),
    **dict.fromkeys(("MEDIOLATERALEOBLIQUE", "OBLIQUEMEDIOLATERALE", "MEDIOLATERALOBLIK", "MEDIOLATERALSCHRAG"), "MLO"),
    **dict.fromkeys(
        ("MEDIOLATERALOBLICUA", "OBLICUAMEDIOLATERAL", "MEDIOLATERALOBLIQUA", "OBLIQUAMEDIOLATERALE"), "MLO"
    ),
    **dict.fromkeys(("ML", "LM", "LMO", "SIO", "FB", "XCC", "XCCL", "XCCM", "CV", "AT", "TAN"), OTHER),
    **dict.fromkeys(("MEDIOLATERAL", "LATEROMEDIAL", "LATEROMEDIALOBLIQUE", "CAUDOCRANIAL", "LATERAL"), OTHER),
    **dict.fromkeys(("CRANIOCAUDALEXAGGERATEDLATERALLY", "CRANIOCAUDALEXAGGERATEDMEDIALLY"), OTHER),
    **dict.fromkeys(("AXILLARYTAIL", "CLEAVAGE", "TANGENTIAL"), OTHER),
}
NOT_A_VIEW = {"VIEW", "PROJECTION", "BREAST", "STANDARD", "ROUTINE"}
# A number counts the images of a view.
VIEW_NAME = re.compile(rf"(RT|LT|[RL])?({'|'.join(sorted(NAMES, key=len, reverse=True))})(RT|LT|[RL])?\d?")


def element(keyword: str) -> str:
    """Return the name and tag of a DICOM element for a message, "Window Width (0028,1051)"."""
    return f"{dictionary_description(keyword)} {Tag(keyword)}"


def view_of(dataset: Dataset) -> str | None:
    """Return CC or MLO by View Code Sequence (0054,0220), else View Position (0018,5101); refuse any other view.

    A code decides; then the meaning of an item without a known code; then the position, or Patient Orientation
    (0020,0020), where CBIS-DDSM has it. None where none of them is known: an empty item or a private code says nothing.
    """
    items = sequence_items(dataset, "ViewCodeSequence")
    coded = [code for item in items if (code := matching_code(item, KNOWN_VIEWS))]
    if coded:
        named = [("ViewCodeSequence", VIEWS.get(code, OTHER)) for code in coded]
    else:
        named = [("ViewCodeSequence", parse_view(text(item, "CodeMeaning"))[0]) for item in items]
        named += [
            (keyword, parse_view(text(dataset, keyword))[0]) for keyword in ("ViewPosition", "PatientOrientation")
        ]
    stated = [(keyword, view) for keyword, view in named if view]
    if accepted := [view for _, view in stated if view != OTHER]:
        return accepted[0]
    if stated:
        raise Refused(Reason.VIEW, f"{element(stated[0][0])} {OTHER_VIEW}")
    return None


def parse_view(stated: str) -> tuple[str, str]:
    """Return (view, side) of a text such as "RMLO", "MLO R", "L-MLO" or "left cranio-caudal".

    The view is "CC", "MLO", "other" of a view that is known and neither, or "" of any other text; the side is "L", "R"
    or "".
    """
    words = re.sub(r"[\W_]+", " ", without_accents(stated)).upper().split()
    sides = [LATERALITIES[word] for word in words if word in LATERALITIES]
    named = [word for word in words if word not in NOT_A_VIEW]
    rest = [word for word in named if word not in LATERALITIES]
    # The letters of "M.L.O." are words, and none of them is a side.
    for letters, stated_sides in (("".join(named), []), ("".join(rest), sides)):
        if match := VIEW_NAME.fullmatch(letters):
            found = {*stated_sides, *(LATERALITIES[side] for side in (match[1], match[3]) if side)}
            return NAMES[match[2]], found.pop() if len(found) == 1 else ""
    return "", sides[0] if len(set(sides)) == 1 else ""


def without_accents(value: str) -> str:
    """Return a text without the accents of its letters, so that "é" is "e"."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", value) if not unicodedata.combining(sign))


def laterality_of(dataset: Dataset) -> str | None:
    """Return L, R or None from Image Laterality (0020,0062), Laterality (0020,0060) or View Position (0018,5101)."""
    keywords = ("ImageLaterality", "Laterality", "ViewPosition")
    return next(filter(None, (parse_view(text(dataset, keyword))[1] for keyword in keywords)), None)


def aspect_of(dataset: Dataset) -> float:
    """Return the width of a pixel over its height, by the spacing or Pixel Aspect Ratio (0028,0034); 1 if unknown."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing", "PixelAspectRatio"):
        pair = numbers(dataset, keyword)
        if len(pair) == 2 and min(pair) > 0 and 0.2 <= pair[1] / pair[0] <= 5:
            return pair[1] / pair[0]
    return 1.0


def age_of(dataset: Dataset) -> float | None:
    """Return Patient's Age (0010,1010), "056Y" or "018M", in years; None where missing or not possible ("000Y")."""
    match = re.fullmatch("([0-9]{3})([YMWD])", text(dataset, "PatientAge").upper())
    age = int(match[1]) / {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}[match[2]] if match else 0
    return age if 0 < age < 120 else None


def spacing_of(dataset: Dataset) -> float | None:
    """Return Imager Pixel Spacing (0018,1164), else Pixel Spacing (0028,0030), of rows in mm; None where absurd."""
    first = (number(next(iter(values(dataset, key)), None)) for key in ("ImagerPixelSpacing", "PixelSpacing"))
    return next((spacing for spacing in first if spacing is not None and 0.01 <= spacing <= 5), None)


def plain(value: str) -> str:
    """Return the name of a device or a window in plain characters; "" for a text that is not a name.

    Where a length in a broken file is wrong, a value runs on into the next attributes, which may name the patient; it
    then holds their tags, which no text may (PS3.5 6.2, LO: at most 64 characters and no control character).
    """
    return "" if len(value) > 64 or not value.isprintable() else re.sub(r"[^\w .,+/()&-]", "", value).strip()


def sequence_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none where it is missing or not a sequence."""
    value = dataset.get(keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def matching_code(item: Dataset, codes: Iterable[Code]) -> Code | None:
    """Return the code that an item states; SNOMED-RT codes ("R-10242") come under several designators and all match."""
    value = text(item, "CodeValue") or text(item, "LongCodeValue")
    stated = Code(value, "SCT" if value.isdigit() else "SRT", "")
    return next((code for code in codes if code == stated), None)


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """Return all values of an element, of whatever types pydicom gives them; [] where it is missing or empty."""
    value = dataset.get(keyword)
    return [item for item in (value if isinstance(value, MultiValue) else [value]) if item is not None]


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """Return all values of an element as text."""
    return [str(value).strip() for value in values(dataset, keyword)]


def text(dataset: Dataset, keyword: str) -> str:
    """Return the first value of an element as text; "" where it is missing or empty."""
    return next(iter(texts(dataset, keyword)), "")


def number(value: Any) -> float | None:
    """Return a value as a finite number, or None; a text may have a decimal comma, against PS3.5 6.2."""
    try:
        converted = float(value.replace(",", ".") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if np.isfinite(converted) else None


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return all values of an element that are finite numbers."""
    return [finite for value in values(dataset, keyword) if (finite := number(value)) is not None]
