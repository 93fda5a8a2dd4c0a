"""Read one DICOM mammogram: displayed gray values and facts, or a reason to refuse it."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from mammogan.data import attributes
from mammogan.data.attributes import element, number, plain, text
from mammogan.data.averaging import LookUp
from mammogan.data.decoders import decoded
from mammogan.data.display import display, stored_values
from mammogan.data.exclusions import check_exclusions
from mammogan.data.geometry import squared
from mammogan.data.manifest import Facts, Label
from mammogan.errors import Reason, Refused

LONG = 2**20  # bytes; no other element than pixels has so long a value
# What elements mean that are missing or empty: nearly all mammograms are unsigned.
DEFAULTS = {"PixelRepresentation": 0, "SamplesPerPixel": 1, "RescaleSlope": 1, "RescaleIntercept": 0}


@dataclass
class Mammogram:
    """One image as displayed."""

    image: np.ndarray | LookUp = field(repr=False)  # (rows, columns), float32 in [0, 1]; 0 is black, whatever the file
    facts: Facts  # columns of the store's manifest
    patient: str = field(repr=False)  # the patient's identifier in the file; to be hashed, never to be written
    instance: str = field(repr=False)  # SOP instance UID or another key of a duplicate; never to be written either
    film: bool = False  # digitized from film, and so possibly with labels and the film's border
    depth: int = 16  # bits of the gray values of a picture

    @property
    def pixels(self) -> np.ndarray:
        """All gray values, looked up where they are not yet; see `image`."""
        return np.asarray(self.image)


@contextmanager
def refusing(reason: Reason, sentence: str, errors: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Turn `errors` of the block into a refusal: nobody can foresee what broken files make libraries raise.

    The sentence comes without its full stop; the type of the error is added, its own text may name a patient.
    """
    try:
        yield
    except Refused:
        raise
    except errors as error:
        raise Refused(reason, f"{sentence} ({type(error).__name__}).") from None


def is_dicom(content: bytes) -> bool:
    """Return True for a file with the prefix of DICOM, and for one without that begins with a group of its header."""
    return content[128:132] == b"DICM" or content[:4] == b"DICM" or content[:2] in (b"\2\0", b"\x08\0", b"\0\x08")


class _Uncopied(io.BytesIO):
    """Bytes as a file; long values are read as views of them, so that pixels are not copied."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < LONG:
            return super().read(size)
        start = self.seek(0, io.SEEK_CUR)
        view = memoryview(self.getvalue())[start : start + size]
        self.seek(start + len(view))
        return view  # type: ignore[return-value]  # pydicom decodes any buffer


def _parsed(content: bytes) -> FileDataset:
    """Return the data set of a file, also of one without preamble, prefix (PS3.10 7.1) or transfer syntax."""
    if content[128:132] == b"DICM":
        return pydicom.dcmread(_Uncopied(content))
    dataset = pydicom.dcmread(_Uncopied(content.removeprefix(b"DICM")), force=True)
    if "SOPClassUID" not in dataset and "Modality" not in dataset:
        raise Refused(Reason.NOT_DICOM, "The file is not a DICOM file.")
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def read_mammogram(
    content: bytes,
    *,
    window: int | str = 0,
    allow_processing: bool = False,
    allow_synthetic: bool = False,
    label: Label | None = None,
) -> Mammogram:
    """Read a full-field digital mammogram.

    Args:
        content: bytes of the file.
        window: which of several VOI windows or LUTs to show, see `display`. The first one is the default of the
            hardware that made the image (PS3.3 C.11.2.1.2.1).
        allow_processing: accept FOR PROCESSING images too.
        allow_synthetic: accept images whose header states that a program drew them.
        label: facts from a table (view, laterality, age, density, finding, patient, modality) that the header does not
            state.

    Raises:
        Refused: the file is not DICOM, not a mammogram of the kind that the paper trained on, or not decodable.
    """
    label = label or {}
    with warnings.catch_warnings():
        # pydicom warns about every value that breaks its VR; archives are full of them and none matters here.
        warnings.simplefilter("ignore")
        with refusing(Reason.MALFORMED, "The DICOM file cannot be parsed"):
            if not is_dicom(content) or not (dataset := _parsed(content)):
                raise Refused(Reason.NOT_DICOM, "The file is not a DICOM file.")
        with refusing(Reason.MALFORMED, "The DICOM header cannot be read"):
            if not text(dataset, "Modality") and "modality" in label:
                dataset.Modality = label["modality"]
            flags = check_exclusions(dataset, allow_processing=allow_processing, allow_synthetic=allow_synthetic)
            stated = _facts(dataset, label)
        image, shown = _displayed(dataset, window, trusted="synthetic" in flags)
        flags += shown["flags"] + ["text"] * (text(dataset, "BurnedInAnnotation").upper() == "YES")
        facts: Facts = {**stated, **shown, "flags": flags}
        # Without an identifier a file is its own patient: splitting too finely is better than a patient across splits.
        instance = text(dataset, "SOPInstanceUID") or hashlib.sha256(content).hexdigest()
        patient = label.get("patient") or text(dataset, "PatientID") or text(dataset, "StudyInstanceUID") or instance
        # Digitized film is kept as a secondary capture (PS3.3 C.8.6.1), of conversion type DF.
        capture = text(dataset, "SOPClassUID") == SecondaryCaptureImageStorage
        film = capture or text(dataset, "ConversionType").upper() == "DF"
        return Mammogram(image, facts, patient, instance, film)


def _facts(dataset: FileDataset, label: Label) -> Facts:
    """Return what the header states, and the label where it states nothing; refuse other views than CC and MLO."""
    view = attributes.view_of(dataset) or label.get("view")
    if not view:
        missing = f"{element('ViewCodeSequence')} and {element('ViewPosition')} state no known view"
        raise Refused(Reason.VIEW, f"{missing}; give the view in a table of labels.")
    if view not in attributes.VIEWS.values():
        raise Refused(Reason.VIEW, f"The view in the table of labels {attributes.OTHER_VIEW}")
    age = attributes.age_of(dataset)
    return {
        "view": view,
        "laterality": attributes.laterality_of(dataset) or label.get("laterality"),
        "age": label.get("age") if age is None else age,
        "density": label.get("density"),
        "finding": label.get("finding"),
        "spacing_mm": attributes.spacing_of(dataset),
        "manufacturer": plain(text(dataset, "Manufacturer")),
        "model": plain(text(dataset, "ManufacturerModelName")),
        "photometric": text(dataset, "PhotometricInterpretation").upper(),
        "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
    }


def _complete(dataset: FileDataset) -> None:
    """Set numbers that a header lacks to what they mean then; those with a decimal comma to numbers.

    Raises:
        Refused: an element is not a number.
    """
    last = number(dataset.get("HighBit"))
    bits = dataset.BitsAllocated if last is None else last + 1
    for keyword, default in {**DEFAULTS, "BitsStored": bits}.items():
        stated = text(dataset, keyword)
        value = number(stated) if stated else float(default)
        if value is None:
            raise Refused(Reason.MALFORMED, f"{element(keyword)} is not a number.")
        is_whole = not keyword.startswith("Rescale")
        if is_whole or keyword in dataset:
            setattr(dataset, keyword, int(value) if is_whole else value)
    dataset.PhotometricInterpretation = text(dataset, "PhotometricInterpretation").upper()


def _displayed(dataset: FileDataset, window: int | str, trusted: bool) -> tuple[np.ndarray | LookUp, Facts]:
    """Return displayed gray values with square pixels, and how they were made, with flags of all corrections.

    What a program drew is `trusted`: bad images of a generator must not be mended.
    """
    _complete(dataset)
    with refusing(Reason.UNDECODABLE, f"{element('PixelData')} cannot be decoded"):
        stored = stored_values(dataset, decoded(dataset))
    with refusing(Reason.DISPLAY, "The display transform cannot be applied"):
        image, facts = display(dataset, stored, window, trusted=trusted)
        facts["window_explanation"] = plain(facts.get("window_explanation") or "") or None
        facts["source_rows"], facts["source_columns"] = stored.values.shape
        image, corrected = squared(image, attributes.aspect_of(dataset))
        facts["flags"] += corrected
    return image, facts
