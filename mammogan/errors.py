"""Errors that a user can cause, and every reason for which the ingest refuses a file.

A command that fails with a `MammoganError` prints its message, one sentence. Any other exception is a fault of this
package and ends in a traceback.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec


class MammoganError(Exception):
    """Base class: the message is one sentence that names the thing and says what to do."""


class InputError(MammoganError):
    """A file, folder or set of images that the user named is missing or cannot be used."""


class TableError(InputError):
    """A table (CSV) of labels, responses or observations is missing, incomplete or contradictory."""


class OutputError(MammoganError):
    """A file or folder cannot be written, or holds something that must not be overwritten."""


class ParameterError(MammoganError, ValueError):
    """An argument or option is out of range, or contradicts another one."""


class StoreError(MammoganError):
    """A store cannot be opened, written or continued."""


class RunError(MammoganError):
    """A training run cannot be started, continued, sampled or published."""


class InspectionError(MammoganError):
    """An inspection cannot be written or read."""


class StudyError(MammoganError):
    """A reader study cannot be built, opened or served."""


class PipelineError(MammoganError):
    """A stage of the book failed, or the book cannot be built."""


class DependencyError(MammoganError):
    """A package that only some commands need is not installed."""


def require(extra: str, *modules: str) -> None:
    """Check that optional packages are installed.

    Args:
        extra: extra of this package that installs them, as "study".
        modules: their modules, as "starlette".

    Raises:
        DependencyError: one of them is missing.
    """
    for module in modules:
        if find_spec(module) is None:
            raise DependencyError(f'{module} is not installed; install it with: pip install "mammogan[{extra}]"')


class Reason(StrEnum):
    """Reasons for which the ingest refuses a file. The values are written to the manifest of the store."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    NOT_DICOM = "not_dicom"
    NOT_AN_IMAGE = "not_an_image"
    NO_LABEL = "no_label"
    MALFORMED = "malformed"
    NO_PIXELS = "no_pixels"
    UNDECODABLE = "undecodable"
    MODALITY = "modality"
    TOMOSYNTHESIS = "tomosynthesis"
    MULTI_FRAME = "multi_frame"
    COLOR = "color"
    FOR_PROCESSING = "for_processing"
    VIEW = "view"
    MAGNIFIED = "magnified"
    SPOT = "spot"
    IMPLANT = "implant"
    ROLLED = "rolled"
    PARTIAL = "partial"
    STEREOTACTIC = "stereotactic"
    SPECIMEN = "specimen"
    WINDOW = "window"
    DISPLAY = "display"
    TOO_SMALL = "too_small"
    BLANK = "blank"
    NOT_A_BREAST = "not_a_breast"
    GEOMETRY = "geometry"
    DEPTH = "depth"
    DUPLICATE = "duplicate"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"
    UNEXPECTED = "unexpected"


# Meaning of each reason, as the book prints it. The manifest adds a sentence on the file itself.
REASONS: dict[Reason, str] = {
    Reason.UNREADABLE: "The file cannot be read from the disk.",
    Reason.TOO_LARGE: "The file or its image is larger than any mammogram.",
    Reason.NOT_DICOM: "The file is neither a DICOM file nor a picture.",
    Reason.NOT_AN_IMAGE: "The file has the name of a picture and cannot be decoded as one.",
    Reason.NO_LABEL: "The picture has no row in a table of labels.",
    Reason.MALFORMED: "The DICOM header cannot be parsed or contradicts itself.",
    Reason.NO_PIXELS: "The DICOM file has no integer pixel data.",
    Reason.UNDECODABLE: "The pixel data cannot be decoded.",
    Reason.MODALITY: "The DICOM modality (0008,0060) is not MG.",
    Reason.TOMOSYNTHESIS: "The image is a breast tomosynthesis or was made from one.",
    Reason.MULTI_FRAME: "The file has several frames.",
    Reason.COLOR: "The image is in color.",
    Reason.FOR_PROCESSING: "The image is FOR PROCESSING, not for presentation.",
    Reason.VIEW: "The view is missing, or is neither craniocaudal (CC) nor mediolateral oblique (MLO).",
    Reason.MAGNIFIED: "The image is magnified.",
    Reason.SPOT: "The image is a spot compression.",
    Reason.IMPLANT: "The breast has an implant.",
    Reason.ROLLED: "The image is a rolled view.",
    Reason.PARTIAL: "The image shows a part of the breast only.",
    Reason.STEREOTACTIC: "The image was made for a stereotactic biopsy.",
    Reason.SPECIMEN: "The image shows a tissue specimen.",
    Reason.WINDOW: "The requested VOI window or LUT is not in the file.",
    Reason.DISPLAY: "The display transform cannot be applied.",
    Reason.TOO_SMALL: "The image has a side shorter than 64 pixels.",
    Reason.BLANK: "The image is blank.",
    Reason.NOT_A_BREAST: "The image does not show a breast on a dark background.",
    Reason.GEOMETRY: "The prepared picture is not of the size of the store.",
    Reason.DEPTH: "The prepared picture has fewer bits than the store.",
    Reason.DUPLICATE: "The image was read before from another file.",
    Reason.TIMEOUT: "Reading the file took too long.",
    Reason.MEMORY: "Reading the file took too much memory.",
    Reason.CRASHED: "The decoder crashed on the file.",
    Reason.UNEXPECTED: "The image cannot be brought to the grid of the store.",
}


class Refused(MammoganError):
    """A file that the ingest does not accept. Neither reason nor message holds an identifier of a patient.

    Attributes:
        reason: a `Reason`, or the flag that --refuse-flag named.
    """

    def __init__(self, reason: Reason | str, sentence: str) -> None:
        super().__init__(reason, sentence)
        self.reason = str(reason)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence
