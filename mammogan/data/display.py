"""Turn stored values of a DICOM image into gray values as a workstation shows them (PS3.3 C.11, PS3.4 N.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from mammogan.data.attributes import element, number, text, texts
from mammogan.data.averaging import VALUES, LookUp
from mammogan.data.geometry import overview
from mammogan.data.manifest import Facts
from mammogan.data.plausibility import covers_tissue, depth_of, is_negative, is_smooth, shows_tissue
from mammogan.errors import Reason, Refused

TABLE = 2**20  # at most so many stored values are looked up in a table; a wider range is computed pixel by pixel
SAMPLE = 100_000  # pixels, about, in rows from which padding and the bits of the values are judged


@dataclass(frozen=True)
class Reading:
    """A way to display an image: that of its header, corrected where the pixels contradict it."""

    window: int | str
    negative: bool = False  # the polarity is the opposite of the stated one
    padded: bool = True  # the padding value is applied


class Stored(NamedTuple):
    """Stored values of an image, (rows, columns), integers, and the lowest and the highest of them."""

    values: np.ndarray
    low: int
    high: int
    flags: tuple[str, ...] = ()  # "bits" where the header's bits are not those of the values


def stored_values(dataset: Dataset, array: np.ndarray) -> Stored:
    """Cut off the bits of decoded pixels (rows, columns) outside BitsStored and extend the sign (PS3.5 8.1.1).

    Until 2004 overlays were kept in the unused high bits (PS3.3 C.9.2); without this they would shine through. Where
    these bits belong to the values, as the pixels show, they are kept. Pixels whose bits allocated, bits stored and
    high bit contradict each other are refused.
    """
    allocated, used = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = int(dataset.get("HighBit", used - 1))
    if array.dtype.kind not in "iu" or not 1 <= used <= allocated or not used - 1 <= high < allocated:
        names = ", ".join(map(element, ("BitsAllocated", "BitsStored", "HighBit")))
        raise Refused(Reason.MALFORMED, f"{names} contradict each other.")
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    # What a codec returns is right aligned already, whatever the header says.
    shift = high + 1 - used if not dataset.file_meta.TransferSyntaxUID.is_encapsulated else 0
    low, top = (-(2 ** (used - 1)), 2 ** (used - 1) - 1) if signed else (0, 2**used - 1)
    lowest, highest = int(array.min()), int(array.max())
    # Where a sign takes the last bit, any value has the bits that it should have.
    if not shift and low <= lowest and highest <= top and (lowest >= 0 or used < allocated):
        return Stored(array, lowest, highest)
    unsigned = array.view(f"u{array.itemsize}")
    bits = (unsigned >> shift) & (2**used - 1)
    if signed:
        bits = np.where(bits > top, bits.astype(np.int64) - 2**used, bits).astype(np.int32)
    if shift:
        # Values that end at bit 0 have a wrong high bit.
        is_wrong = int(unsigned.max()) < 2**used and bool((unsigned & (2**shift - 1)).any())
    else:
        rows = slice(None, None, max(array.size // SAMPLE, 1))
        is_wrong = is_smooth(unsigned[rows], bits[rows])
    values = unsigned if is_wrong else bits
    return Stored(values, int(values.min()), int(values.max()), ("bits",) if is_wrong else ())


def display(
    dataset: Dataset, stored: Stored, window: int | str = 0, *, trusted: bool = False
) -> tuple[np.ndarray | LookUp, Facts]:
    """Apply the modality LUT, the VOI window or LUT, and the polarity; pixel padding is background and becomes black.

    Polarity, padding and the default window are corrected where the result cannot be a mammogram. A window is preferred
    to a VOI LUT where the file has both: the paper applied "the default windowing level for the hardware". The
    transform is computed once for every stored value that occurs and then looked up.

    Args:
        dataset: header.
        stored: stored values.
        window: which of several to show: the position of a window, "lut:N" for VOI LUT N, or an explanation
            ("HARDER"), looked up among the windows first and the LUTs second.
        trusted: correct nothing, whatever the image shows.

    Returns:
        Gray values in [0, 1], (rows, columns), float32 or to be looked up, and the manifest's columns that say which
        window was used, with flags of the corrections.

    Raises:
        Refused: the file has no such window, or one that shows nothing.
    """
    readings = _readings(dataset, window)
    reading, flags = (readings[0], []) if trusted else plausible_reading(dataset, stored.values, readings)
    wide = stored.high - stored.low >= TABLE
    values = stored.values if wide else np.arange(stored.low, stored.high + 1)
    gray, facts = _transform(dataset, values, reading)
    facts["flags"] = [*stored.flags, *flags, *facts.get("flags", [])]
    if wide:
        return gray, facts
    if len(values) > VALUES:
        return gray[stored.values.astype(np.int64) - stored.low], facts
    # The low 16 bits tell so few values apart, signed ones too.
    table = np.zeros(VALUES, np.float32)
    table[values.astype(np.uint16)] = gray
    return LookUp(np.ascontiguousarray(stored.values, np.uint16), table), facts


def _readings(dataset: Dataset, window: int | str) -> list[Reading]:
    """Return the requested window, or by default all that a file has, in their order, windows before LUTs."""
    if window != 0:
        return [Reading(window)]
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    pairs = zip(positions(dataset, "WindowCenter"), positions(dataset, "WindowWidth"), strict=False)
    usable = [position for position, pair in enumerate(pairs) if is_usable(*pair, function)]
    luts = range(0 if usable else 1, len(dataset.get("VOILUTSequence") or []))
    return [*map(Reading, usable or [0]), *(Reading(f"lut:{position}") for position in luts)]


def plausible_reading(dataset: Dataset, stored: np.ndarray, readings: list[Reading]) -> tuple[Reading, list[str]]:
    """Return the first reading that shows more than black and white, with flags of what was corrected.

    Padding that covers tissue is not applied, and the polarity is turned where the breast would be darker than its
    background.

    Raises:
        Refused: no reading shows gray levels.
    """
    rows = stored[:: max(stored.size // SAMPLE, 1)]
    padding = padding_of(dataset, rows)
    padded = True
    if padding.any():
        padded = not covers_tissue(padding, _transform(dataset, rows, replace(readings[0], padded=False))[0])
    small = overview(stored)
    for stated in readings:
        reading = replace(stated, padded=padded)
        gray, _ = _transform(dataset, small, reading)
        if is_negative(gray):
            reading = replace(reading, negative=True)
            gray, _ = _transform(dataset, small, reading)
        # A blank image is refused later, as such.
        if shows_tissue(gray) or small.min() == small.max():
            changes = {"other_window": stated != readings[0], "inverted": reading.negative, "padding": not padded}
            return reading, [flag for flag, changed in changes.items() if changed]
    raise Refused(Reason.DISPLAY, f"{element('WindowCenter')} or the LUT shows hardly more than black and white.")


def _transform(dataset: Dataset, stored: np.ndarray, reading: Reading) -> tuple[np.ndarray, Facts]:
    values = np.asarray(apply_modality_lut(stored, dataset), np.float64)
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    # Center and width belong together by their positions, which empty values keep.
    centers, widths = positions(dataset, "WindowCenter"), positions(dataset, "WindowWidth")
    explanations = texts(dataset, "WindowCenterWidthExplanation")
    luts: Sequence[Dataset] = dataset.get("VOILUTSequence") or []
    count = min(len(centers), len(widths)) if any(texts(dataset, "WindowCenter")) else 0
    kind, index = choose(reading.window, explanations, count, luts)
    padding = padding_of(dataset, stored) & reading.padded
    if kind == "window":
        center, width = centers[index], widths[index]
        if center is None or width is None:
            raise Refused(Reason.WINDOW, f"{element('WindowCenter')} or its width is not a number at position {index}.")
        facts: Facts = {"window_center": center, "window_width": width, "window_function": function}
        facts["window_explanation"] = explanations[index] if index < len(explanations) else None
        gray = apply_window(values, center, width, function)
    elif kind == "lut":
        entries, first, bits = (int(value) for value in luts[index].LUTDescriptor)
        # LUTs of 12 bits that state 16 would be displayed almost black.
        depth = depth_of(float(apply_voi(np.arange(first, first + (entries or 2**16)), dataset, index).max()), bits)
        gray = np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset, index), np.float64) / (2.0**depth - 1)
        facts = {"window_function": "LUT", "window_explanation": text(luts[index], "LUTExplanation") or None}
        facts["flags"] = ["bits"] * (depth != bits)
    else:
        # PS3.3 C.11.2.1.2: without a window the range of the values is shown as it is.
        image = values[~padding] if not padding.all() else values
        low, high = float(image.min()), float(image.max())
        gray = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        facts = {"window_center": (low + high) / 2, "window_width": high - low, "window_function": "RANGE"}
    # PS3.3 C.11.6: the presentation LUT shape decides where it is present, and INVERSE belongs to MONOCHROME1.
    shape = text(dataset, "PresentationLUTShape").upper()
    inverse = shape == "INVERSE" or (not shape and dataset.PhotometricInterpretation == "MONOCHROME1")
    if inverse != reading.negative:
        gray = 1 - gray
    gray[padding] = 0
    return gray.astype(np.float32), facts


def positions(dataset: Dataset, keyword: str) -> list[float | None]:
    """Return the numbers of an element by position; None where a value is empty or not a number."""
    value = dataset.get(keyword)
    return [number(item) for item in (value if isinstance(value, MultiValue) else [] if value is None else [value])]


def is_usable(center: float | None, width: float | None, function: str) -> bool:
    """Return True for a window that `apply_window` does not refuse."""
    return center is not None and width is not None and (width >= 1 or (width > 0 and function != "LINEAR"))


def apply_window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Apply a VOI window: LINEAR, LINEAR_EXACT (PS3.3 C.11.2.1.2.1, C.11.2.1.3.2) or SIGMOID (C.11.2.1.3.1).

    Gray values are in [0, 1]. A width that the function does not allow and an unknown function are refused.
    """
    if function == "LINEAR":
        if width < 1:
            raise Refused(Reason.DISPLAY, f"{element('WindowWidth')} is below 1.")
        # A width of 1 is a threshold: everything above center - 0.5 is white.
        return np.clip((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5, 0, 1)
    if width <= 0:
        raise Refused(Reason.DISPLAY, f"{element('WindowWidth')} is not positive.")
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
    raise Refused(Reason.DISPLAY, f"{element('VOILUTFunction')} is none of LINEAR, LINEAR_EXACT and SIGMOID.")


def padding_of(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """Return True where a stored value is padding, by (0028,0120) and (0028,0121); PS3.3 C.7.5.1.1.2."""
    value = number(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = number(dataset.get("PixelPaddingRangeLimit"))
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def choose(window: int | str, explanations: list[str], windows: int, luts: Sequence[Dataset]) -> tuple[str, int]:
    """Return ("window", position), ("lut", position), or ("range", 0) of a file that states nothing, or refuse it."""
    names = [text(item, "LUTExplanation") for item in luts]
    if isinstance(window, str):
        if window.startswith("lut:") and window[4:].isdigit() and int(window[4:]) < len(names):
            return "lut", int(window[4:])
        if window in explanations[:windows]:
            return "window", explanations.index(window)
        if window in names:
            return "lut", names.index(window)
        name = element("WindowCenterWidthExplanation")
        raise Refused(Reason.WINDOW, f"The file has no window called {window} in {name}; choose another --window.")
    if window < windows:
        return "window", window
    if not windows and window < len(names):
        return "lut", window
    if not windows and not names and window == 0:
        return "range", 0
    name = element("WindowCenter" if windows else "VOILUTSequence")
    raise Refused(Reason.WINDOW, f"{name} has nothing at position {window} of {windows or len(names)} (--window).")
