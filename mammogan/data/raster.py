"""Read gray values of images without a DICOM header: PNG, JPEG, TIFF, PGM."""

import hashlib
import io

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mammogan.data.attributes import OTHER_VIEW
from mammogan.data.dicom import Mammogram, refusing
from mammogan.data.exclusions import ACCEPT_SYNTHETIC, MAX_PIXELS, is_drawn
from mammogan.data.geometry import overview, squared
from mammogan.data.manifest import Facts, Label
from mammogan.data.plausibility import depth_of, is_negative, shows_tissue
from mammogan.errors import Reason, Refused

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm"}
DRAWN = b"trainedAlgorithmicMedia"  # IPTC's digital source type of images of a generator, in XMP
# What Pillow raises at broken files.
ERRORS = (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError)


def read_picture(
    content: bytes, label: Label | None, bits: int = 0, *, unlabeled: bool = False, allow_synthetic: bool = False
) -> Mammogram:
    """Read the bytes of a PNG (8 or 16 bits), JPEG, TIFF or PGM; refuse anything else, and pictures in color.

    Args:
        content: the file.
        label: facts from a table, see `Labels.get`.
        bits: gray values of a picture run from 0 to 2^bits - 1; 0 means the depth of its format, or of its values where
            a format of 16 bits holds those of fewer.
        unlabeled: accept pictures without a label, and of any view, as they are: neither depth nor polarity is
            corrected, as in pictures that a program drew.
        allow_synthetic: accept pictures that state that a program drew them.
    """
    refuse_broken = refusing(Reason.NOT_AN_IMAGE, "The file cannot be read as a picture", ERRORS)
    with refuse_broken, Image.open(io.BytesIO(content)) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise Refused(Reason.TOO_LARGE, f"The picture has more than {MAX_PIXELS} pixels.")
        if getattr(picture, "n_frames", 1) > 1:
            raise Refused(Reason.MULTI_FRAME, "The picture has several frames; a mammogram has one.")
        synthetic = is_drawn(str(picture.info.get("Description", ""))) or DRAWN in content
        mode, values = picture.mode, np.asarray(picture)
        across, down = map(float, picture.info.get("dpi", (1, 1)))
        # Photometric interpretation (tag 262) 0 means that white is zero; Pillow inverts 8-bit pictures itself.
        inverted = isinstance(picture, TiffImageFile) and mode.startswith("I") and picture.tag_v2.get(262) == 0
    if mode in ("RGB", "RGBA", "LA", "P"):
        # Gray pictures are often saved as color ones; then all channels are alike.
        channels = values[..., : {"LA": 1, "P": 0}.get(mode, 3)] if values.ndim == 3 else None
        if channels is not None and channels.size and (channels == channels[..., :1]).all():
            values, mode = channels[..., 0], "L"
    if mode not in ("L", "I", "I;16", "I;16B", "I;16L"):
        raise Refused(Reason.COLOR, f"The picture has mode {mode}; a mammogram is a gray picture of 8 or 16 bits.")
    if synthetic and not allow_synthetic:
        raise Refused(Reason.SYNTHETIC, f"The picture says that a program drew it; {ACCEPT_SYNTHETIC}.")
    label = label or {}
    if not unlabeled and not label.get("view"):
        missing = "The picture has no row in a table of labels with the columns file and view"
        raise Refused(Reason.NO_LABEL, f"{missing}, or rows that contradict each other.")
    if not unlabeled and label["view"] not in ("CC", "MLO"):
        raise Refused(Reason.VIEW, f"The view in the table of labels {OTHER_VIEW}")
    trusted = unlabeled or synthetic
    depth = stated = bits or (8 if mode == "L" else 16)
    if not bits and not trusted:
        depth = depth_of(float(values.max()), stated)
    gray = values.astype(np.float32) / (2**depth - 1)
    if gray.min() < 0 or gray.max() > 1:
        raise Refused(Reason.DISPLAY, "The picture has gray values beyond its depth; state it with --picture-bits.")
    if inverted:
        gray = 1 - gray
    gray, corrected = (gray, []) if trusted else _corrected(gray, across, down)
    key = hashlib.sha256(content).hexdigest()
    facts: Facts = {
        "view": label.get("view"),
        "laterality": label.get("laterality"),
        "age": label.get("age"),
        "density": label.get("density"),
        "finding": label.get("finding"),
        "source_rows": int(values.shape[0]),
        "source_columns": int(values.shape[1]),
        "window_function": "PICTURE",
        "photometric": "MONOCHROME2",
        "flags": ["synthetic"] * synthetic + ["bits"] * (depth != stated) + corrected,
    }
    return Mammogram(gray, facts, label.get("patient") or key, key, film=True, depth=depth)


def _corrected(gray: np.ndarray, across: float, down: float) -> tuple[np.ndarray, list[str]]:
    """Return a picture with the polarity of a mammogram and square pixels, by its resolution, and flags of changes."""
    flags = []
    if is_negative(overview(gray)):
        gray = 1 - gray
        flags.append("inverted")
    is_stated = min(across, down) > 0 and 0.2 <= down / across <= 5
    gray, changed = squared(gray, down / across if is_stated else 1.0)
    # A blank picture is refused later, as such.
    if gray.std() > 0 and not shows_tissue(overview(gray)):
        raise Refused(Reason.DISPLAY, "The picture shows hardly more than black and white.")
    return gray, flags + changed
