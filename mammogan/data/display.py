"""Turn stored values of a DICOM image into gray values as a workstation shows them (PS3.3 C.11, PS3.4 N.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from mammogan.data.attributes import element, number, text, texts
from mammogan.data.averaging import VALUES, LookUp
from mammogan.data.manifest import Facts
from mammogan.errors import Reason, Refused

TABLE = 2**20  # at most so many stored values are looked up in a table; a wider range is computed pixel by pixel


class Stored(NamedTuple):
    """Stored values of an image, (rows, columns), integers, and the lowest and the highest of them."""

    values: np.ndarray
    low: int
    high: int


def stored_values(dataset: Dataset, array: np.ndarray) -> Stored:
    """Cut off the bits of decoded pixels (rows, columns) outside BitsStored and extend the sign (PS3.5 8.1.1).

    Until 2004 overlays were kept in the unused high bits (PS3.3 C.9.2); without this they would shine through. Pixels
    whose bits allocated, bits stored and high bit contradict each other are refused.
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
    if not shift and low <= lowest and highest <= top:
        return Stored(array, lowest, highest)
    bits = (array.view(f"u{array.itemsize}") >> shift) & (2**used - 1)
    if signed:
        bits = np.where(bits > top, bits.astype(np.int64) - 2**used, bits).astype(np.int32)
    return Stored(bits, int(bits.min()), int(bits.max()))


def display(dataset: Dataset, stored: Stored, window: int | str = 0) -> tuple[np.ndarray | LookUp, Facts]:
    """Apply the modality LUT, the VOI window or LUT, and the polarity; pixel padding is background and becomes black.

    A window is preferred to a VOI LUT where the file has both: the paper applied "the default windowing level for the
    hardware". The transform is computed once for every stored value that occurs and then looked up.

    Args:
        dataset: header.
        stored: stored values.
        window: which of several to show: the position of a window, "lut:N" for VOI LUT N, or an explanation
            ("HARDER"), looked up among the windows first and the LUTs second.

    Returns:
        Gray values in [0, 1], (rows, columns), float32 or to be looked up, and the manifest's columns that say which
        window was used.

    Raises:
        Refused: the file has no such window, or one that shows nothing.
    """
    if stored.high - stored.low >= TABLE:
        return _transform(dataset, stored.values, window)
    values = np.arange(stored.low, stored.high + 1)
    gray, facts = _transform(dataset, values, window)
    if len(values) > VALUES:
        return gray[stored.values.astype(np.int64) - stored.low], facts
    # The low 16 bits tell so few values apart, signed ones too.
    table = np.zeros(VALUES, np.float32)
    table[values.astype(np.uint16)] = gray
    return LookUp(np.ascontiguousarray(stored.values, np.uint16), table), facts


def _transform(dataset: Dataset, stored: np.ndarray, window: int | str) -> tuple[np.ndarray, Facts]:
    values = np.asarray(apply_modality_lut(stored, dataset), np.float64)
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    # Center and width belong together by their positions, which empty values keep.
    centers, widths = positions(dataset, "WindowCenter"), positions(dataset, "WindowWidth")
    if window == 0:
        usable = (i for i, pair in enumerate(zip(centers, widths, strict=False)) if is_usable(*pair, function))
        window = next(usable, 0)
    explanations = texts(dataset, "WindowCenterWidthExplanation")
    luts: Sequence[Dataset] = dataset.get("VOILUTSequence") or []
    count = min(len(centers), len(widths)) if any(center is not None for center in centers) else 0
    kind, index = choose(window, explanations, count, luts)
    padding = padding_of(dataset, stored)
    if kind == "window":
        center, width = centers[index], widths[index]
        if center is None or width is None:
            raise Refused(Reason.WINDOW, f"{element('WindowCenter')} or its width is empty at position {index}.")
        facts: Facts = {"window_center": center, "window_width": width, "window_function": function}
        facts["window_explanation"] = explanations[index] if index < len(explanations) else None
        gray = apply_window(values, center, width, function)
    elif kind == "lut":
        top = 2.0 ** int(luts[index].LUTDescriptor[2]) - 1
        gray = np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset, index), np.float64) / top
        facts = {"window_function": "LUT", "window_explanation": text(luts[index], "LUTExplanation") or None}
    else:
        # PS3.3 C.11.2.1.2: without a window the range of the values is shown as it is.
        image = values[~padding] if not padding.all() else values
        low, high = float(image.min()), float(image.max())
        gray = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        facts = {"window_center": (low + high) / 2, "window_width": high - low, "window_function": "RANGE"}
    # PS3.3 C.11.6: the presentation LUT shape decides where it is present, and INVERSE belongs to MONOCHROME1.
    shape = text(dataset, "PresentationLUTShape").upper()
    if shape == "INVERSE" or (not shape and dataset.PhotometricInterpretation == "MONOCHROME1"):
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
