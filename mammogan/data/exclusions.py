"""Exclusion criteria: DICOM files that the paper left out or that are not mammograms.

The same fact is stated in many places: in codes, in terms that the standard defines, and in words that technologists
type. A code or a defined term decides. Words about the image (its series, paddle, view) refuse it where they are plain,
and flag it where they are negated, in doubt, or contradicted by a code. Words about the whole study refuse an image
only where all images of such a study are excluded. The elements, codes and words are in exclusions.toml.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mammogan.data.attributes import (
    KNOWN_VIEWS,
    VIEW_CODES,
    element,
    matching_code,
    number,
    numbers,
    sequence_items,
    text,
    texts,
    without_accents,
)
from mammogan.errors import Reason, Refused

MAX_PIXELS = 2**27  # four times the largest film scan in use; a header that promises more is wrong or an attack
ACCEPT_SYNTHETIC = "add --synthetic to accept such images"
MAGNIFICATION = "EstimatedRadiographicMagnificationFactor"
HIGHEST_KV = 40  # of a mammogram; with a filter of copper, a higher one is the second exposure with a contrast agent
# SOP classes of gray mammograms with one frame; digitized film is a secondary capture.
SOP_CLASSES = (
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.ComputedRadiographyImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.SecondaryCaptureImageStorage,
)
FOR_PROCESSING = (uid.DigitalMammographyXRayImageStorageForProcessing, uid.DigitalXRayImageStorageForProcessing)
_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
DEVICES = {Reason[reason.upper()]: re.compile(rf"\b({words})\b") for reason, words in _WORDS["devices"].items()}
YES, PRESENT, MODIFIERS = (
    {name: Reason[reason.upper()] for name, reason in _WORDS[kind].items()} for kind in ("yes", "present", "modifiers")
)
OF_IMAGE, OF_STUDY, REMARKS = (_WORDS["texts"][kind] for kind in ("of_image", "of_study", "remarks"))
# Defined terms of an image that was computed from a volume (PS3.3 C.8.16.2.1.2 and C.8.16.2.1.3).
VOLUMES = ("VOLUME", "SAMPLED", "DISTORTED", "MIXED")
REFUSED_CODES = {getattr(codes.cid4015, name): reason for name, reason in MODIFIERS.items()}
KNOWN_MODIFIERS = list(codes.cid4015.concepts.values())
# Body parts (PS3.16, annex L) of images that were filed as mammograms by mistake, and parts that a mammogram shows too.
OTHER_PARTS = re.compile(
    "ABDOMEN|ANKLE|ARM|[CTL]SPINE|ELBOW|EXTREMITY|FINGER|FOOT|HAND|HEAD|HEART|HIP|JAW|KNEE|LEG|NECK|PELVIS|SHOULDER|"
    "SKULL|(LUMBAR |THORACIC |CERVICAL )?SPINE|TOE|WRIST"
)
DOUBTFUL_PARTS = re.compile("CHEST|THORAX|LUNG|AXILL?A")
LOW_ENERGY = re.compile(
    r"\b((low|basse|baja|baixa|bassa) ?energ[yi][ea]?|nied(er|rig)energie|(cc|mlo) le|le (cc|mlo))\b"
)
NO_AGENT = re.compile(
    "|0|no|none|n a|na|not applicable|not used|unknown|kein[es]?|nein|aucun|ningun[oa]|nessun[oa]|nenhum"
)


# Beginnings of the comments that `mammogan sample` and `mammogan phantom` write.
OWN = ("Synthetic: drawn by", "Procedural phantom")


class Word(NamedTuple):
    """Words that state a reason.

    Attributes:
        pattern: expression that finds them in a text as `_normal` returns it.
        reason: reason for the refusal.
        meaning: what they name.
        of_study: "refuse" where all images of a study that is called so are excluded, "flag" or "ignore".
        of_image: "refuse", or "flag" where the words are not plain about an image either.
    """

    pattern: re.Pattern[str]
    reason: Reason
    meaning: str
    of_study: str
    of_image: str = "refuse"


def _word(pattern: str | list[str], reason: str, **rest: str) -> Word:
    joined = pattern if isinstance(pattern, str) else "|".join(pattern)
    return Word(re.compile(rf"\b({joined})\b"), Reason[reason.upper()], **rest)


WORDS = [_word(**word) for word in _WORDS["words"]]
# Words that put in doubt what follows them within three words, or what they follow.
DOUBT = re.compile(
    r"\b(no|not|non|without|w o|wo|minus|kein\w*|ohne|sans|pas de|sin|sem|senza|pre|post|prior|after|before|history|hx|"
    r"h o|s p|status|rule out|r o|possible|former|nach|vor|zustand|z n|apres|avant|despues|antes|apos|tras|dopo|prima)"
    r"( \w+){0,2} ?$"
)
DOUBT_AFTER = re.compile(
    r"^ ?(no|none|absent|removed|removal|negative|not|without|explant\w*|nein|entfern\w*|"
    r"retire\w*|depose\w*|retirad[ao])\b"
)


def check_exclusions(dataset: Dataset, *, allow_processing: bool = False, allow_synthetic: bool = False) -> list[str]:
    """Refuse what the paper excluded and what is not a mammogram, with the first reason that applies.

    The paper trained on full-field digital mammograms without implants and postoperative artifacts ("Data and Clinical
    Setting"); the attributes are those of the Mammography Image module (PS3.3 C.8.11.7).

    Returns:
        Flags of the image, see `quality.FLAGS`.
    """
    flags = []
    _check_kind(dataset, allow_processing)
    if text(dataset, "SyntheticData").upper() == "YES" or is_drawn(text(dataset, "ImageComments")):
        if not allow_synthetic:
            name = element("SyntheticData" if "SyntheticData" in dataset else "ImageComments")
            raise Refused(Reason.SYNTHETIC, f"{name} says that a program drew the image; {ACCEPT_SYNTHETIC}.")
        flags.append("synthetic")
    _check_terms(dataset)
    _check_codes(dataset)
    return flags + _check_contrast(dataset) + _check_words(dataset)


def is_drawn(comment: str) -> bool:
    """Return True for the comment that `mammogan sample` writes into every DICOM file and PNG."""
    return comment.startswith(OWN[0])


def _check_kind(dataset: Dataset, allow_processing: bool) -> None:
    """Refuse a file that does not hold one gray full-field mammogram for presentation."""
    sop_class, modality = text(dataset, "SOPClassUID"), text(dataset, "Modality").upper()
    if "DirectoryRecordSequence" in dataset:
        raise Refused(Reason.SOP_CLASS, "The file is a DICOMDIR, the index of a disc, not an image.")
    if sop_class == uid.BreastTomosynthesisImageStorage:
        raise Refused(Reason.TOMOSYNTHESIS, f"{element('SOPClassUID')} is that of a breast tomosynthesis.")
    if modality != "MG":
        # Any other text may be a name that a broken length moved here.
        stated = modality if re.fullmatch("[A-Z0-9]{2,6}", modality) else "missing"
        advice = "" if modality else "; if these files are mammograms, add --assume modality=MG"
        raise Refused(Reason.MODALITY, f"{element('Modality')} is {stated}; that of a mammogram is MG{advice}.")
    if "PixelData" not in dataset:
        raise Refused(Reason.NO_PIXELS, f"{element('PixelData')} is missing.")
    if sop_class and sop_class not in SOP_CLASSES:
        name = uid.UID(sop_class).name
        stated = "not one of mammograms" if name == sop_class else f"{name}, not one of mammograms"
        raise Refused(Reason.SOP_CLASS, f"{element('SOPClassUID')} is {stated}.")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTI_FRAME, f"{element('NumberOfFrames')} is above 1; a full-field mammogram has one.")
    if text(dataset, "PhotometricInterpretation").upper() not in ("MONOCHROME1", "MONOCHROME2"):
        raise Refused(Reason.COLOR, f"{element('PhotometricInterpretation')} is not MONOCHROME1 or MONOCHROME2.")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise Refused(Reason.COLOR, f"{element('SamplesPerPixel')} is not 1, as that of a gray image is.")
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        if not number(dataset.get(keyword)):
            raise Refused(Reason.MALFORMED, f"{element(keyword)} is missing or 0.")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"{element('Rows')} times {element('Columns')} is above {MAX_PIXELS} pixels.")
    processing = text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"
    if (processing or sop_class in FOR_PROCESSING) and not allow_processing:
        name = element("PresentationIntentType" if processing else "SOPClassUID")
        raise Refused(Reason.FOR_PROCESSING, f"{name} is FOR PROCESSING; add --for-processing to accept such images.")


def _check_terms(dataset: Dataset) -> None:
    """Refuse by elements with defined terms and by numbers."""
    for keyword, reason in YES.items():
        if text(dataset, keyword).upper() == "YES":
            raise Refused(reason, f"{element(keyword)} is YES.")
    for keyword, reason in PRESENT.items():
        contradicted = reason is Reason.PARTIAL and text(dataset, "PartialView").upper() == "NO"
        if (sequence_items(dataset, keyword) or text(dataset, keyword)) and not contradicted:
            raise Refused(reason, f"{element(keyword)} is present; {reason.meaning[0].lower()}{reason.meaning[1:]}")
    if (number(dataset.get(MAGNIFICATION)) or 0) > 1.25:
        raise Refused(Reason.MAGNIFIED, f"{element(MAGNIFICATION)} is above 1.25.")
    if text(dataset, "VolumetricProperties").upper() in VOLUMES:
        raise Refused(Reason.TOMOSYNTHESIS, f"{element('VolumetricProperties')} is that of an image made of a volume.")
    if text(dataset, "VolumeBasedCalculationTechnique").upper() not in ("", "NONE"):
        name = element("VolumeBasedCalculationTechnique")
        raise Refused(Reason.TOMOSYNTHESIS, f"{name} is that of an image made of a volume.")
    for part in (text(dataset, "BodyPartExamined"), *_meanings(dataset, "AnatomicRegionSequence")):
        if OTHER_PARTS.fullmatch(_normal(part).upper()):
            name = element(
                "BodyPartExamined" if part == text(dataset, "BodyPartExamined") else "AnatomicRegionSequence"
            )
            raise Refused(Reason.NOT_A_BREAST, f"{name} is not a breast.")
    for keyword in ("Manufacturer", "ManufacturerModelName"):
        for reason, pattern in DEVICES.items():
            if pattern.search(_normal(text(dataset, keyword))):
                raise Refused(reason, f"{element(keyword)} is that of a device that makes no other images.")


def _meanings(dataset: Dataset, keyword: str) -> list[str]:
    """Return the meanings of the codes of a sequence."""
    return [text(item, "CodeMeaning") for item in sequence_items(dataset, keyword)]


def _check_codes(dataset: Dataset) -> None:
    """Refuse by the codes of view and view modifiers, or by their meanings where the code is missing or private."""
    for item in sequence_items(dataset, "ViewCodeSequence"):
        if matching_code(item, [VIEW_CODES.TissueSpecimenFromBreast]):
            raise Refused(Reason.SPECIMEN, f"{element('ViewCodeSequence')} names a tissue specimen.")
        if not matching_code(item, KNOWN_VIEWS):
            _check_meaning(item, "ViewCodeSequence")
    for holder in (dataset, *sequence_items(dataset, "ViewCodeSequence")):
        for modifier in sequence_items(holder, "ViewModifierCodeSequence"):
            if code := matching_code(modifier, REFUSED_CODES):
                raise Refused(REFUSED_CODES[code], f"{element('ViewModifierCodeSequence')} is {code.meaning}.")
            if not matching_code(modifier, KNOWN_MODIFIERS):
                _check_meaning(modifier, "ViewModifierCodeSequence")


def _check_meaning(item: Dataset, keyword: str) -> None:
    meaning = _normal(text(item, "CodeMeaning"))
    for word in WORDS:
        if word.pattern.search(meaning):
            raise Refused(word.reason, f"{element(keyword)} names {word.meaning}.")


def _check_contrast(dataset: Dataset) -> list[str]:
    """Refuse images with a contrast agent but those of low energy, which look as mammograms do and are flagged."""
    if _is_low_energy(dataset):
        return ["contrast"]
    agent = _normal(text(dataset, "ContrastBolusAgent"))
    stated = not NO_AGENT.fullmatch(agent) and not DOUBT.search(f"{agent} ")
    if sequence_items(dataset, "ContrastBolusAgentSequence") or stated:
        raise Refused(Reason.CONTRAST, f"{element('ContrastBolusAgent')} is given, and the image is not of low energy.")
    filters = _normal(" ".join(texts(dataset, "FilterMaterial")))
    if max(numbers(dataset, "KVP"), default=0) > HIGHEST_KV and re.search(r"\b(copper|cu|titanium|ti)\b", filters):
        names = f"{element('KVP')} and {element('FilterMaterial')}"
        raise Refused(Reason.CONTRAST, f"{names} are those of an exposure of high energy, with a contrast agent.")
    return []


def _is_low_energy(dataset: Dataset) -> bool:
    """Return True for the image of a contrast-enhanced pair that is exposed as other mammograms are."""
    stated = _normal(" ".join((*texts(dataset, "ImageType"), text(dataset, "SeriesDescription"))))
    return bool(LOW_ENERGY.search(stated)) and not re.search("recomb|subtract|high ?energy", stated)


def _check_words(dataset: Dataset) -> list[str]:
    """Refuse by words that are plain; return ["described"] where some are in doubt."""
    contradicted = {
        "an implant": text(dataset, "BreastImplantPresent").upper() == "NO",
        "a part of the breast": text(dataset, "PartialView").upper() == "NO",
    }
    low_energy = _is_low_energy(dataset)
    words = [word for word in WORDS if word.reason is not Reason.CONTRAST or not low_energy]
    parts = [text(dataset, "BodyPartExamined"), *_meanings(dataset, "AnatomicRegionSequence")]
    doubtful = any(DOUBTFUL_PARTS.fullmatch(_normal(part).upper()) for part in parts)
    for keyword in (*OF_IMAGE, *OF_STUDY, *REMARKS):
        of_study = keyword not in OF_IMAGE
        if text(dataset, keyword).startswith(OWN):
            continue
        # A negation holds for its own clause.
        clauses = [part for value in texts(dataset, keyword) for part in re.findall(r"[^,;:.()]+\??", value)]
        for word in words:
            if of_study and word.of_study == "ignore":
                continue
            # A protocol of both kinds of images is that of each of them.
            general = (
                (word.of_study if of_study else word.of_image) == "flag"
                or keyword in REMARKS
                or (keyword == "ProtocolName" and word.reason is Reason.TOMOSYNTHESIS)
            )
            for is_plain in _mentions(word.pattern, clauses):
                if is_plain and not general and not contradicted.get(word.meaning):
                    raise Refused(word.reason, f"{element(keyword)} names {word.meaning}.")
                doubtful = True
    return ["described"] * doubtful


def _mentions(pattern: re.Pattern[str], clauses: list[str]) -> Iterator[bool]:
    """Yield True for each match that is plain, and False for one that is negated or in question."""
    for clause in clauses:
        words = _normal(clause)
        for match in pattern.finditer(words):
            doubt = DOUBT.search(words[: match.start()]) or DOUBT_AFTER.search(words[match.end() :])
            both = match[0] == "3d" and "2d" in words.split()
            yield not (doubt or both or "?" in clause)


def _normal(value: str) -> str:
    """Return a text in small letters without accents, with one space in place of all but letters and digits."""
    return re.sub(r"[\W_]+", " ", without_accents(value)).strip().casefold()
