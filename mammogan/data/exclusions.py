"""Exclusion criteria: DICOM files that the paper left out or that are not mammograms."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mammogan.data.attributes import (
    FOR_PROCESSING,
    TOMOSYNTHESIS,
    VIEW_CODES,
    matching_code,
    number,
    sequence_items,
    text,
    texts,
)
from mammogan.errors import Reason, Refused

MODIFIER_CODES = codes.cid4015
MAX_PIXELS = 2**27  # four times the largest film scan in use; a header that promises more is wrong or an attack
# PS3.16 CID 4015 "View Modifier for Mammography": those that show less, more or something other than the whole breast.
REFUSED_MODIFIERS = {
    MODIFIER_CODES.Magnification: (Reason.MAGNIFIED, "a magnified view"),
    MODIFIER_CODES.SpotCompression: (Reason.SPOT, "a spot compression"),
    MODIFIER_CODES.ImplantDisplaced: (Reason.IMPLANT, "an implant-displaced view"),
    MODIFIER_CODES.RolledInferior: (Reason.ROLLED, "a rolled view"),
    MODIFIER_CODES.RolledLateral: (Reason.ROLLED, "a rolled view"),
    MODIFIER_CODES.RolledMedial: (Reason.ROLLED, "a rolled view"),
    MODIFIER_CODES.RolledSuperior: (Reason.ROLLED, "a rolled view"),
    MODIFIER_CODES.AnteriorCompression: (Reason.PARTIAL, "an anterior compression"),
    MODIFIER_CODES.AxillaryTail: (Reason.PARTIAL, "a view of the axillary tail"),
    MODIFIER_CODES.AxillaryTissue: (Reason.PARTIAL, "a view of axillary tissue"),
    MODIFIER_CODES.Cleavage: (Reason.PARTIAL, "a cleavage view"),
    MODIFIER_CODES.InfraMammaryFold: (Reason.PARTIAL, "a view of the inframammary fold"),
    MODIFIER_CODES.Tangential: (Reason.PARTIAL, "a tangential view"),
}
# Words by which units mark what the coded attributes do not always tell, in image type, paddle and view descriptions.
WORDS = (
    (r"stereo\w*|biopsy", Reason.STEREOTACTIC, "The image was made for a stereotactic biopsy."),
    (r"specimen\w*", Reason.SPECIMEN, "The image shows a tissue specimen."),
    (r"tomo\w*|generated_2d|c-view", Reason.TOMOSYNTHESIS, "The image was made from a breast tomosynthesis."),
    (r"spot\w*", Reason.SPOT, "The image is a spot compression."),
    (r"mag|magn\w*", Reason.MAGNIFIED, "The image is magnified."),
)


def check_exclusions(dataset: Dataset, *, allow_processing: bool = False) -> None:
    """Refuse what the paper excluded or a mammogram cannot be.

    The paper trained on full-field digital mammograms without implants and postoperative artifacts ("Data and Clinical
    Setting"); the attributes are those of the Mammography Image module (PS3.3 C.8.11.7).

    Raises:
        Refused: with the first reason found.
    """
    sop_class = text(dataset, "SOPClassUID")
    modality = text(dataset, "Modality").upper()
    if sop_class == TOMOSYNTHESIS:
        raise Refused(Reason.TOMOSYNTHESIS, "The file holds a breast tomosynthesis, not a full-field mammogram.")
    if modality != "MG":
        what = f"modality {modality}" if re.fullmatch("[A-Z0-9]{2,6}", modality) else "no modality"
        raise Refused(Reason.MODALITY, f"The file has {what}; a mammogram has modality MG.")
    if "PixelData" not in dataset:
        raise Refused(Reason.NO_PIXELS, "The file has no integer pixel data.")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTI_FRAME, "The file has several frames; a full-field mammogram has one.")
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise Refused(Reason.COLOR, "The file is a color image; a mammogram is MONOCHROME1 or MONOCHROME2.")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"The image has more than {MAX_PIXELS} pixels.")
    intent = text(dataset, "PresentationIntentType").upper()
    if (sop_class == FOR_PROCESSING or intent == "FOR PROCESSING") and not allow_processing:
        raise Refused(
            Reason.FOR_PROCESSING, "The image is FOR PROCESSING; the paper used images made for presentation."
        )
    if text(dataset, "QualityControlImage").upper() == "YES":
        raise Refused(Reason.NOT_A_BREAST, "The image was made for quality control (0028,0300).")
    if text(dataset, "BreastImplantPresent").upper() == "YES":
        raise Refused(Reason.IMPLANT, "The breast has an implant (0028,1300).")
    if text(dataset, "PartialView").upper() == "YES":
        raise Refused(Reason.PARTIAL, "The image is a partial view (0028,1350).")
    magnification = number(dataset.get("EstimatedRadiographicMagnificationFactor"))
    if magnification is not None and magnification > 1.25:
        raise Refused(Reason.MAGNIFIED, "The image is magnified (0018,1114).")
    if sequence_items(dataset, "SpecimenDescriptionSequence"):
        raise Refused(Reason.SPECIMEN, "The image shows a tissue specimen.")
    for item in sequence_items(dataset, "ViewCodeSequence"):
        if matching_code(item, [VIEW_CODES.TissueSpecimenFromBreast]):
            raise Refused(Reason.SPECIMEN, "The image shows a tissue specimen.")
        for modifier in sequence_items(item, "ViewModifierCodeSequence"):
            if found := matching_code(modifier, REFUSED_MODIFIERS):
                reason, what = REFUSED_MODIFIERS[found]
                raise Refused(reason, f"The image is {what} (view modifier).")
    stated = texts(dataset.get("ImageType")) + [text(dataset, key) for key in ("PaddleDescription", "ViewPosition")]
    for pattern, reason, sentence in WORDS:
        if re.search(rf"\b({pattern})\b", " ".join(stated), re.IGNORECASE):
            raise Refused(reason, sentence)
