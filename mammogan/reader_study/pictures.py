"""Pictures of a reader study: 8-bit PNG at full resolution in the display window.

Nothing outside the breast may tell the classes apart. All pictures pass through `equalized`, are compressed and padded
to one length, and carry no metadata and one time stamp.

Eight bits suffice for readers who window the picture: next to the noise of one gray level, the rounding error of 0.29
gray levels makes the noise 4 % larger (the square root of 1 + 1/12).
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from mammogan.data.segmentation import breast_mask

FLOOR = 1.0  # standard deviation of the noise floor, in gray levels of 255: below what a display shows
SQUARES = 24  # squares per height of a picture for attention checks
FRAME = 320  # one pixel of black frame per so many rows
PLAIN = 2048  # pixels; pictures with a longer side are cut into tiles
TILE = 512  # pixels
STAMP = 946684800  # one time for all files: 2000-01-01
# Chunks of PNG that no program shows (W3C PNG, 5.4: small letters are ancillary and private).
SALT, PAD = b"saLt", b"fiLl"
HEAD = 33  # bytes of signature and IHDR, after which the salt of a file follows


def equalized(image: np.ndarray, bits: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return a picture for the screen that can be told from others by the breast alone.

    - Gray grid: all are rounded to the coarsest grid among the two sets, and then shown in 8 bits with noise of one
      gray level (`FLOOR`), which fills the gaps that a coarse grid or a stretched contrast leaves in the histogram.
    - Noise floor: the same noise; nothing in a picture is quieter. What exceeds it is texture, for the reader to judge.
    - Background: black outside the breast, without burnt-in letters, scatter and the uneven black of a generator.
    - Border: a black frame covers what resizing or padded convolutions leave at the edge.

    Args:
        image: gray levels 0 ... 2^bits - 1, (h, w).
        bits: bits per pixel of the store.
        steps: gray levels of the coarsest grid less one, see `grid_steps`.
        rng: source of the noise.

    Returns:
        uint8 (h, w).
    """
    h, w = image.shape
    gray = np.rint(image.astype(np.float32) * np.float32(steps / (2**bits - 1))) * np.float32(255 / steps)
    gray += FLOOR * rng.standard_normal(gray.shape, np.float32)
    inside = ndimage.binary_fill_holes(breast_mask(image))
    # The outline of the smoothed image is a little outside the breast; what it encloses fades in, without an edge.
    soft = max(h // FRAME, 1)
    inside = ndimage.binary_erosion(inside, iterations=min(h, w) // 200 + soft, border_value=1)
    weight = ndimage.uniform_filter(inside.astype(np.float32), 2 * soft + 1)
    weight[:soft] = weight[-soft:] = weight[:, :soft] = weight[:, -soft:] = 0
    return np.rint(np.clip(gray, 0, 255) * weight).astype(np.uint8)


def in_squares(image: np.ndarray) -> np.ndarray:
    """Return an image in coarse squares of one gray each, of which its height has `SQUARES`: (h, w), of its type."""
    side = -(-image.shape[0] // SQUARES)
    padded = np.pad(image, [(0, -length % side) for length in image.shape], mode="edge")
    rows, columns = (length // side for length in padded.shape)
    means = padded.reshape(rows, side, columns, side).mean(axis=(1, 3)).astype(image.dtype)
    return means.repeat(side, 0).repeat(side, 1)[: image.shape[0], : image.shape[1]]


def sharpness(image: np.ndarray) -> float:
    """Return how sharp a picture is: fine detail (Laplacian) against edges (gradient) within the breast, (h, w).

    Enlarging or compressing an image takes fine detail away and leaves its edges.
    """
    gray = image.astype(np.float32)
    inside = breast_mask(image)
    if not inside.any():
        return 0.0
    edges = np.hypot(*np.gradient(gray))[inside].mean()
    return float(np.abs(ndimage.laplace(gray))[inside].mean() / max(edges, 1e-6))


def grid_steps(images: Iterable[np.ndarray], bits: int) -> int:
    """Return the steps of the gray grid of a store's images: 2^bits - 1, or less if they came from fewer bits.

    Images of 8 bits in a store of 12 use every sixteenth level, and that alone tells them from others. The levels that
    occur in any of the images are pooled; a grid is coarse if nearly all gaps between them are alike.

    Args:
        images: gray levels 0 ... 2^bits - 1.
        bits: bits per pixel of the store.
    """
    top = 2**bits - 1
    occurs = np.zeros(top + 1, bool)
    for image in images:
        occurs[np.unique(image)] = True
    # The darkest tenth is background, whose noise may have been added on another grid.
    gaps = np.diff(np.flatnonzero(occurs[top // 10 :]))
    if len(gaps) < 8:
        return top
    middle = float(np.median(gaps))
    regular = np.abs(gaps - middle) <= 1
    # Few pixels leave gaps of all lengths in a fine grid.
    return top if middle <= 1 or regular.mean() < 0.8 else round(top / float(gaps[regular].mean()))


def tile_size(height: int, width: int) -> int:
    """Return the side of the tiles that a picture is cut into, pixels; 0 if it stays whole."""
    return TILE if max(height, width) > PLAIN else 0


def write_picture(picture: np.ndarray, folder: Path, name: str) -> None:
    """Write NAME.png, or NAME/LEVEL/COLUMN_ROW.png for a large picture: tiles of a pyramid, cut as by Deep Zoom.

    Level 0 is one pixel; each level is twice as large as the one before, and tiles do not overlap.
    """
    level = Image.fromarray(picture)
    if not (tile := tile_size(*picture.shape)):
        _save(level, folder / f"{name}.png")
        return
    for number in range((max(level.size) - 1).bit_length(), -1, -1):
        tiles = folder / name / str(number)
        tiles.mkdir(parents=True)
        width, height = level.size
        for left in range(0, width, tile):
            for top in range(0, height, tile):
                box = (left, top, min(left + tile, width), min(top + tile, height))
                _save(level.crop(box), tiles / f"{left // tile}_{top // tile}.png")
        level = level.resize((max((width + 1) // 2, 1), max((height + 1) // 2, 1)), Image.Resampling.BOX)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def salted(content: bytes, name: str) -> bytes:
    """Return a file with bytes that depend on the name under which it is sent; its length and its picture stay."""
    if content[HEAD + 4 : HEAD + 8] != SALT:  # written by an earlier version
        return content
    salt = _chunk(SALT, hashlib.sha256(name.encode()).digest())
    return content[:HEAD] + salt + content[HEAD + len(salt) :]


def _save(image: Image.Image, path: Path) -> None:
    """Write a PNG with a salt and all of its pixels in one chunk: their number would tell how well they compress."""
    file = BytesIO()
    image.save(file, format="PNG", compress_level=6)
    content, pixels, start = file.getvalue(), b"", HEAD
    while start < len(content):
        (length,) = struct.unpack(">I", content[start : start + 4])
        if content[start + 4 : start + 8] == b"IDAT":
            pixels += content[start + 8 : start + 8 + length]
        start += length + 12
    salt = _chunk(SALT, bytes(hashlib.sha256().digest_size))
    path.write_bytes(content[:HEAD] + salt + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b""))


def pad_pictures(folder: Path, rng: np.random.Generator) -> None:
    """Bring all files in the folder of pictures that show the same part of a picture to one length and time."""
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in folder.rglob("*.png"):
        groups[Path(*path.relative_to(folder).parts[1:])].append(path)
    for paths in groups.values():
        length = max(path.stat().st_size for path in paths)
        for path in sorted(paths):
            content = path.read_bytes()
            end = len(content) - len(_chunk(b"IEND", b""))
            pad = _chunk(PAD, rng.bytes(length - len(content)))
            path.write_bytes(content[:end] + pad + content[end:])
            os.utime(path, (STAMP, STAMP))
