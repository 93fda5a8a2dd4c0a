"""Exclusion criteria: DICOM files that the paper left out or that are not mammograms."""

import re

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import BreastTomosynthesisImageStorage, DigitalMammographyXRayImageStorageForProcessing

from mammogan.data import attributes
from mammogan.data.attributes import VIEW_CODES, element, matching_code, number, sequence_items, text
from mammogan.errors import Reason, Refused

MAX_PIXELS = 2**27  # four times the largest film scan in use; a header that promises more is wrong or an attack
ACCEPT_SYNTHETIC = "add --synthetic to accept such images"
MAGNIFICATION = "EstimatedRadiographicMagnificationFactor"
# Elements that exclude an image when they are YES.
YES = {
    "QualityControlImage": Reason.NOT_A_BREAST,
    "BreastImplantPresent": Reason.IMPLANT,
    "PartialView": Reason.PARTIAL,
}
# PS3.16 CID 4015 "View Modifier for Mammography": those that show less, more or something other than the whole breast.
MODIFIERS = {
    "Magnification": Reason.MAGNIFIED,
    "SpotCompression": Reason.SPOT,
    "ImplantDisplaced": Reason.IMPLANT,
    **dict.fromkeys(("RolledInferior", "RolledLateral", "RolledMedial", "RolledSuperior"), Reason.ROLLED),
    **dict.fromkeys(("AnteriorCompression", "AxillaryTail", "AxillaryTissue"), Reason.PARTIAL),
    **dict.fromkeys(("Cleavage", "InfraMammaryFold", "Tangential"), Reason.PARTIAL),
}
REFUSED_CODES = {getattr(codes.cid4015, name): reason for name, reason in MODIFIERS.items()}
# Words by which units mark what the coded attributes do not always state.
WORDS = (
    (r"stereo\w*|biopsy", Reason.STEREOTACTIC, "a stereotactic biopsy"),
    (r"specimen\w*", Reason.SPECIMEN, "a tissue specimen"),
    (r"tomo\w*|generated_2d|c-view", Reason.TOMOSYNTHESIS, "a breast tomosynthesis"),
    (r"spot\w*", Reason.SPOT, "a spot compression"),
    (r"mag|magn\w*", Reason.MAGNIFIED, "a magnified view"),
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
    for keyword, reason in YES.items():
        if text(dataset, keyword).upper() == "YES":
            raise Refused(reason, f"{element(keyword)} is YES.")
    if (number(dataset.get(MAGNIFICATION)) or 0) > 1.25:
        raise Refused(Reason.MAGNIFIED, f"{element(MAGNIFICATION)} is above 1.25.")
    if sequence_items(dataset, "SpecimenDescriptionSequence"):
        raise Refused(Reason.SPECIMEN, f"{element('SpecimenDescriptionSequence')} describes a tissue specimen.")
    for item in sequence_items(dataset, "ViewCodeSequence"):
        if matching_code(item, [VIEW_CODES.TissueSpecimenFromBreast]):
            raise Refused(Reason.SPECIMEN, f"{element('ViewCodeSequence')} names a tissue specimen.")
        for modifier in sequence_items(item, "ViewModifierCodeSequence"):
            if code := matching_code(modifier, REFUSED_CODES):
                raise Refused(REFUSED_CODES[code], f"{element('ViewModifierCodeSequence')} is {code.meaning}.")
    descriptions = {keyword: text(dataset, keyword) for keyword in ("PaddleDescription", "ViewPosition")}
    descriptions["ImageType"] = " ".join(attributes.texts(dataset, "ImageType"))
    for pattern, reason, meaning in WORDS:
        for keyword, description in descriptions.items():
            if re.search(rf"\b({pattern})\b", description, re.IGNORECASE):
                raise Refused(reason, f"{element(keyword)} names {meaning}.")
    return flags


def is_drawn(comment: str) -> bool:
    """Return True for the comment that `mammogan sample` writes into every DICOM file and PNG."""
    return comment.startswith("Synthetic: drawn by")


def _check_kind(dataset: Dataset, allow_processing: bool) -> None:
    """Refuse a file that does not hold one gray full-field mammogram for presentation."""
    sop_class, modality = text(dataset, "SOPClassUID"), text(dataset, "Modality").upper()
    if sop_class == BreastTomosynthesisImageStorage:
        raise Refused(Reason.TOMOSYNTHESIS, f"{element('SOPClassUID')} is that of a breast tomosynthesis.")
    if modality != "MG":
        # Any other text may be a name that a broken length moved here.
        stated = modality if re.fullmatch("[A-Z0-9]{2,6}", modality) else "missing"
        raise Refused(Reason.MODALITY, f"{element('Modality')} is {stated}; that of a mammogram is MG.")
    if "PixelData" not in dataset:
        raise Refused(Reason.NO_PIXELS, f"{element('PixelData')} is missing.")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTI_FRAME, f"{element('NumberOfFrames')} is above 1; a full-field mammogram has one.")
    if dataset.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise Refused(Reason.COLOR, f"{element('PhotometricInterpretation')} is not MONOCHROME1 or MONOCHROME2.")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise Refused(Reason.COLOR, f"{element('SamplesPerPixel')} is not 1, as that of a gray image is.")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"{element('Rows')} times {element('Columns')} is above {MAX_PIXELS} pixels.")
    processing = text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"
    if (processing or sop_class == DigitalMammographyXRayImageStorageForProcessing) and not allow_processing:
        name = element("PresentationIntentType" if processing else "SOPClassUID")
        raise Refused(Reason.FOR_PROCESSING, f"{name} is FOR PROCESSING; add --for-processing to accept such images.")
