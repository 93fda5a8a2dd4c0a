"""Errors that a user can cause, and every reason for which the ingest refuses a file.

A command that fails with a `MammoganError` prints its message, one sentence. Any other exception is a fault of this
package and ends in a traceback.
"""

from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from typing import Self


class MammoganError(Exception):
    """Base class: the message is one sentence that names the thing and says what to do.

    Attributes:
        code: exit code of the command.
    """

    code = 1


class InputError(MammoganError):
    """A file, folder or set of images that the user named is missing or cannot be used."""


class NothingAcceptedError(InputError):
    """An ingest accepted none of its files; its manifest says why."""


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


class Stopped(MammoganError):
    """A signal ended the work, which was saved before; the exit code is 128 + the number of the signal."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


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
    """Reasons for which the ingest refuses a file, with their meaning; the book prints this table.

    The manifest of a store has the reason and a sentence on the file itself.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        reason = str.__new__(cls, value)
        reason._value_, reason.meaning = value, meaning
        return reason

    UNREADABLE = "unreadable", "The file or folder cannot be read from the disk."
    HIDDEN = "hidden", "The name begins with a dot."
    LINK = "link", "The link leads nowhere, or to a folder that is read anyway."
    SPECIAL = "special", "The entry is a pipe, a socket or a device."
    ARCHIVE = "archive", "The file is a compressed archive; unpack it."
    TOO_LARGE = "too_large", "The file or its image is larger than any mammogram."
    NOT_DICOM = "not_dicom", "The file is neither a DICOM file nor a picture."
    NOT_AN_IMAGE = "not_an_image", "The file has the name of a picture and cannot be decoded as one."
    TABLE = "table", "The table was not used: it lacks columns that name files and views, or --labels names another."
    NO_LABEL = "no_label", "The picture has no row in a table of labels, or rows that contradict each other."
    MALFORMED = "malformed", "The DICOM header cannot be parsed or contradicts itself."
    NO_PIXELS = "no_pixels", "Pixel Data (7FE0,0010) is missing."
    UNDECODABLE = "undecodable", "Pixel Data (7FE0,0010) cannot be decoded."
    MODALITY = "modality", "Modality (0008,0060) is not MG."
    SOP_CLASS = "sop_class", "The SOP class is not one of mammograms."
    TOMOSYNTHESIS = "tomosynthesis", "The image is a breast tomosynthesis or was made from one."
    MULTI_FRAME = "multi_frame", "The file has several frames."
    COLOR = "color", "The image is in color."
    SYNTHETIC = "synthetic", "The image was drawn by a program, not taken of a patient."
    FOR_PROCESSING = "for_processing", "The image is FOR PROCESSING, not for presentation."
    VIEW = "view", "The view is missing, or is neither craniocaudal (CC) nor mediolateral oblique (MLO)."
    MAGNIFIED = "magnified", "The image is magnified."
    SPOT = "spot", "The image is a spot compression."
    IMPLANT = "implant", "The breast has an implant."
    ROLLED = "rolled", "The image is a rolled view."
    PARTIAL = "partial", "The image shows a part of the breast only."
    STEREOTACTIC = "stereotactic", "The image was made for a stereotactic biopsy."
    SPECIMEN = "specimen", "The image shows a tissue specimen."
    CONTRAST = "contrast", "The image was made with a contrast agent: recombined, subtracted or of high energy."
    SCREEN_SAVE = "screen_save", "The image is a screen save, a mask or a result of CAD."
    WINDOW = "window", "The requested VOI window or LUT is not in the file."
    DISPLAY = "display", "The gray values cannot be displayed: a window, LUT or depth in the file is not valid."
    TOO_SMALL = "too_small", "The image has a side shorter than 64 pixels."
    BLANK = "blank", "The image is blank."
    NOT_A_BREAST = "not_a_breast", "The image does not show a breast on a dark background, or is for quality control."
    TURNED = "turned", "The chest wall is at the top or bottom of the image; turn it."
    GEOMETRY = "geometry", "The prepared picture is not of the size of the store."
    DEPTH = "depth", "The prepared picture has fewer bits than the store."
    DUPLICATE = "duplicate", "The image was read before from another file."
    TIMEOUT = "timeout", "Reading the file took too long."
    MEMORY = "memory", "Reading the file took too much memory."
    CRASHED = "crashed", "The decoder crashed on the file."
    UNEXPECTED = "unexpected", "The image cannot be brought to the grid of the store."


REASONS = {reason: reason.meaning for reason in Reason}


class Refused(MammoganError):
    """A file that the ingest does not accept. Neither reason nor message holds an identifier of a patient.

    Attributes:
        reason: a `Reason`, or the flag that --refuse-flag named.
        sentence: the message.
        facts: what is known about the file nevertheless, columns of the manifest.
    """

    def __init__(self, reason: Reason | str, sentence: str, facts: Mapping[str, object] | None = None) -> None:
        super().__init__(reason, sentence, facts)
        self.reason = str(reason)
        self.sentence = sentence
        self.facts = facts or {}

    def __str__(self) -> str:
        return self.sentence
