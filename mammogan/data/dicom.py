"""Read one DICOM mammogram: displayed gray values and facts, or a reason to refuse it."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from mammogan.data.attributes import (
    SECONDARY_CAPTURE,
    VIEWS,
    age_of,
    laterality_of,
    plain,
    spacing_of,
    text,
    view_of,
)
from mammogan.data.decoders import decoded
from mammogan.data.display import display, stored_values
from mammogan.data.exclusions import check_exclusions
from mammogan.errors import Reason, Refused


@dataclass
class Mammogram:
    """One image as displayed.

    Attributes:
        pixels: (rows, columns), float32 in [0, 1]; 0 is black, also where the file says MONOCHROME1.
        facts: columns of the store's manifest (view, laterality, window, spacing, ...).
        patient: the patient's identifier as the file has it; to be hashed, never to be written.
        instance: SOP instance UID or another key under which a duplicate is found; never to be written either.
        film: True where the image was digitized from film, and so may show labels and the film's border.
        depth: bits of the gray values of a picture.
    """

    pixels: np.ndarray = field(repr=False)
    facts: dict[str, Any]
    patient: str = field(repr=False)
    instance: str = field(repr=False)
    film: bool = False
    depth: int = 16


def read_mammogram(
    content: bytes,
    *,
    window: int | str = 0,
    allow_processing: bool = False,
    label: Mapping[str, Any] | None = None,
) -> Mammogram:
    """Read a full-field digital mammogram from the bytes of a DICOM file.

    Args:
        content: the file.
        window: which of several VOI windows or LUTs to show, see `display`. The first one is the default of the
            hardware that made the image (PS3.3 C.11.2.1.2.1).
        allow_processing: take FOR PROCESSING images too.
        label: facts from a table (view, laterality, age, density, patient) for what the header does not state.

    Raises:
        Refused: the file is no DICOM, or no mammogram of the kind that the paper trained on, or cannot be decoded.
    """
    label = label or {}
    with warnings.catch_warnings():
        # pydicom warns about every value that breaks its VR; archives are full of them and none matters here.
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(content))
            if not dataset:
                raise InvalidDicomError
        except InvalidDicomError:
            raise Refused(Reason.NOT_DICOM, "The file is not a DICOM file.") from None
        except Exception as error:
            raise Refused(Reason.MALFORMED, f"The DICOM file cannot be parsed ({type(error).__name__}).") from None
        try:
            check_exclusions(dataset, allow_processing=allow_processing)
            view = view_of(dataset) or label.get("view")
            if not view:
                raise Refused(Reason.VIEW, "The file states no view; give one in a table of labels.")
            if view not in VIEWS.values():
                raise Refused(Reason.VIEW, "The view is neither craniocaudal (CC) nor mediolateral oblique (MLO).")
            laterality = laterality_of(dataset) or label.get("laterality")
        except Refused:
            raise
        except Exception as error:
            raise Refused(Reason.MALFORMED, f"The DICOM header cannot be read ({type(error).__name__}).") from None
        try:
            stored = stored_values(dataset, decoded(dataset))
        except Refused:
            raise
        except Exception as error:
            raise Refused(Reason.UNDECODABLE, f"The pixel data cannot be decoded ({type(error).__name__}).") from None
        try:
            pixels, shown = display(dataset, stored, window)
        except Refused:
            raise
        except Exception as error:
            raise Refused(
                Reason.DISPLAY, f"The display transform cannot be applied ({type(error).__name__})."
            ) from None
        age = age_of(dataset)
        burned_in = text(dataset, "BurnedInAnnotation").upper() == "YES"
        facts = {
            "view": view,
            "laterality": laterality,
            "age": label.get("age") if age is None else age,
            "density": label.get("density"),
            "spacing_mm": spacing_of(dataset),
            "manufacturer": plain(text(dataset, "Manufacturer")),
            "model": plain(text(dataset, "ManufacturerModelName")),
            "source_rows": int(pixels.shape[0]),
            "source_columns": int(pixels.shape[1]),
            "photometric": str(dataset.PhotometricInterpretation),
            "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
            "flags": ["text"] if burned_in else [],
            **shown,
        }
        facts["window_explanation"] = plain(facts.get("window_explanation") or "") or None
        # Without an identifier a file is its own patient: better split too finely than a patient across splits.
        instance = text(dataset, "SOPInstanceUID") or hashlib.sha256(content).hexdigest()
        patient = label.get("patient") or text(dataset, "PatientID") or text(dataset, "StudyInstanceUID") or instance
        film = text(dataset, "SOPClassUID") == SECONDARY_CAPTURE or text(dataset, "ConversionType").upper() == "DF"
        return Mammogram(pixels, facts, patient, instance, film)
