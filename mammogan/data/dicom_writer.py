"""Write gray levels as DICOM Digital Mammography X-Ray Images - For Presentation (PS3.3 A.26)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless

from mammogan.errors import ParameterError

# PS3.16 CID 4014, and the anatomic region of PS3.3 C.8.11.7.
VIEWS = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
BREAST = ("76752008", "Breast")
# Direction of increasing columns and rows: the chest wall is at the left edge of a left breast, so columns lead to the
# front; rows lead to the outer side of a CC (medial at the bottom is the other convention) and to the foot of an MLO.
ORIENTATION = {("L", "CC"): ["A", "R"], ("R", "CC"): ["P", "L"], ("L", "MLO"): ["A", "FR"], ("R", "MLO"): ["P", "FL"]}


@dataclass(frozen=True)
class Window:
    """One VOI window that the file offers."""

    center: float
    width: float
    explanation: str = "NORMAL"


@dataclass(frozen=True)
class Identity:
    """The image, study and patient of a file, none of them real."""

    key: str  # text from which the UIDs of the image are derived: another key, another instance
    study: str  # text that the images of one study share
    patient: str
    age: int | None = None  # years
    number: int = 1  # of the image in its study


@dataclass(frozen=True)
class Device:
    """The device that a file names."""

    manufacturer: str = "mammogan"
    model: str = "procedural"


@dataclass(frozen=True)
class Header:
    """Facts that a file states about its image."""

    view: str  # "CC" or "MLO"
    laterality: str  # "L" or "R"
    identity: Identity
    device: Device = Device()
    spacing_mm: float = 0.1  # of pixels at the detector
    windows: tuple[Window, ...] = ()  # the first is the default
    function: str = "LINEAR"  # or SIGMOID, of all windows
    synthetic: bool = False  # Synthetic Data (0008,001C) is YES
    comment: str = ""


@dataclass(frozen=True)
class Encoding:
    """The form in which a file stores gray levels."""

    bits: int = 12
    inverted: bool = False  # MONOCHROME1: stored values fall where the image brightens
    compressed: bool = False  # JPEG 2000, lossless


PLAIN = Encoding()


def uid(*parts: object) -> UID:
    """Return a UID that depends on the parts alone: 2.25 and 128 bits of a hash (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    """Return one item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def build(pixels: np.ndarray, header: Header, encoding: Encoding = PLAIN) -> FileDataset:
    """Return a data set of pixels: (rows, columns), uint16 in 0 ... 2^bits - 1, 0 is black.

    Raises:
        ParameterError: pixels are of another type or range, or the view or laterality is unknown.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint16 or int(pixels.max(initial=0)) >= 2**encoding.bits:
        raise ParameterError(f"DICOM export requires a 2-D array of uint16 below {2**encoding.bits}.")
    if (header.laterality, header.view) not in ORIENTATION:
        raise ParameterError(f"{header.laterality} {header.view} is not a view; choose L or R, and CC or MLO.")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid("instance", header.identity.key)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("mammogan")
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    _state_facts(ds, header)
    _store_pixels(ds, pixels, header, encoding)
    if encoding.compressed:
        # Its own instance UID stays: nothing is lost, and the file never existed uncompressed.
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    return ds


def _state_facts(ds: FileDataset, header: Header) -> None:
    """Set the modules of patient, study, series, equipment and acquisition."""
    identity = header.identity
    ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 192", ["DERIVED", "PRIMARY"]
    # A date is demanded, and none would be true: the first day that the format can hold for a modern file.
    ds.StudyDate = ds.ContentDate = "20000101"
    ds.StudyTime = ds.ContentTime = "000000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    if header.synthetic:
        # PS3.3 C.7.6.1 since 2023; dciodvfy of dicom3tools 1.00 (2022) is older and calls the attribute unknown.
        ds.SyntheticData = "YES"
    if header.comment:
        ds.ImageComments = header.comment
    ds.Modality, ds.PresentationIntentType = "MG", "FOR PRESENTATION"
    ds.Manufacturer, ds.ManufacturerModelName = header.device.manufacturer, header.device.model
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    ds.AnatomicRegionSequence = [code(*BREAST)]
    ds.PatientName = ds.PatientID = identity.patient
    ds.PatientBirthDate, ds.PatientSex = "", "F"
    if identity.age is not None:
        ds.PatientAge = f"{identity.age:03d}Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study", identity.study), uid("series", identity.study)
    ds.SeriesNumber, ds.InstanceNumber = 1, identity.number
    ds.PatientOrientation = ORIENTATION[header.laterality, header.view]
    ds.ImageLaterality, ds.ViewPosition = header.laterality, header.view
    view = code(*VIEWS[header.view])
    view.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [view]
    ds.OrganExposed = ds.BodyPartExamined = "BREAST"
    ds.BreastImplantPresent, ds.PositionerType = "NO", "MAMMOGRAPHIC"
    ds.AcquisitionContextSequence = []
    ds.DetectorType, ds.DetectorConfiguration = "DIRECT", "AREA"
    ds.ImagerPixelSpacing = [f"{header.spacing_mm:.6g}"] * 2
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"


def _store_pixels(ds: FileDataset, pixels: np.ndarray, header: Header, encoding: Encoding) -> None:
    """Set the modules of pixels, modality LUT and VOI LUT."""
    inverted, top = encoding.inverted, 2**encoding.bits - 1
    ds.SamplesPerPixel, ds.BitsAllocated = 1, 16
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = encoding.bits, encoding.bits - 1, 0
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1 if inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    windows = header.windows or (Window((top + 1) / 2, top + 1),)
    # MONOCHROME1 stores the complement, whose windows have the complement as their centers.
    centers = [top - window.center if inverted else window.center for window in windows]
    ds.WindowCenter = [f"{center:.6g}" for center in centers]
    ds.WindowWidth = [f"{window.width:.6g}" for window in windows]
    ds.WindowCenterWidthExplanation = [window.explanation for window in windows]
    ds.VOILUTFunction = header.function
    ds.PixelData = (top - pixels if inverted else pixels).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"


def write(path: Path, pixels: np.ndarray, header: Header, encoding: Encoding = PLAIN) -> None:
    """Write one file; arguments as for `build`. The same arguments give the same bytes."""
    build(pixels, header, encoding).save_as(path, enforce_file_format=True)
