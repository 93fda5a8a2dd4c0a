"""Images to inspect from a store or a plain folder, without the gate of the ingest, which would refuse the failures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammogan.data.dicom import read_mammogram
from mammogan.data.geometry import fit
from mammogan.data.metadata import Labels, is_labels
from mammogan.data.raster import SUFFIXES, read_picture
from mammogan.data.store import Store, quantize
from mammogan.errors import InputError, Refused
from mammogan.types import ImageStack

BITS = 12  # of the gray grid that pictures are brought to


class Subset:
    """Some images of a stack, read when they are indexed; an `ImageStack` (n, h, w).

    Args:
        images: (N, h, w).
        rows: (n,) indices of the images.
    """

    def __init__(self, images: ImageStack, rows: np.ndarray) -> None:
        self.images, self.rows = images, np.asarray(rows)
        self.shape, self.dtype = (len(self.rows), *images.shape[1:]), images.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, rows: np.ndarray) -> Subset:
        """Return a subset of this subset."""
        return Subset(self.images, self.rows[rows])

    def __getitem__(self, key: int | slice | np.ndarray, /) -> np.ndarray:
        rows = self.rows[key]
        if np.ndim(rows) == 0:
            return np.asarray(self.images[int(rows)])
        return np.stack([np.asarray(self.images[int(row)]) for row in rows])


@dataclass
class Images:
    """A set of images of one size.

    Attributes:
        pixels: (n, h, w), unsigned integers in 0 ... 2^bits - 1; a NumPy or Zarr array.
        bits: of the gray grid.
        ids: (n,) a name of each, without identity.
        views: (n,) "CC", "MLO" or "" where not known.
        patients: (n,) salted hash, or the id where not known.
        spacing_mm: (n,) of one pixel of these images, NaN where not known.
    """

    pixels: ImageStack
    bits: int
    ids: np.ndarray
    views: np.ndarray
    patients: np.ndarray
    spacing_mm: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def take(self, rows: np.ndarray) -> Images:
        """Some of the images, read into memory."""
        return Images(
            np.stack([np.asarray(self.pixels[int(row)]) for row in rows]),
            self.bits,
            self.ids[rows],
            self.views[rows],
            self.patients[rows],
            self.spacing_mm[rows],
        )

    @classmethod
    def of_store(cls, store: Store, size: tuple[int, int] | None = None) -> Images:
        """Images of a store at one of its sizes, its finest by default."""
        size = size or store.sizes[-1]
        m = store.manifest
        ids = m["id"].to_numpy(str)
        patients = m["patient"].where(m["patient"].notna(), m["id"]).to_numpy(str)
        spacing = m["spacing_mm"].to_numpy(float) * store.sizes[-1][0] / size[0]
        return cls(store.images(size), store.bits, ids, m["view"].fillna("").to_numpy(str), patients, spacing)


def open_images(path: str | Path, size: tuple[int, int] | None = None) -> Images:
    """Open a store, or read a folder of DICOM files or gray pictures.

    A folder's images are taken in the order of their names, whatever they show. Their views come from DICOM headers or
    from a CSV with the columns file and view; without one they are not known. Files that are no images are passed over.

    Args:
        path: of the store or folder.
        size: (height, width) wanted; a store must have it, other images are fitted into it. None takes the store's
            finest or the size of the first image.

    Raises:
        InputError: no such folder, or no image in it.
    """
    path = Path(path)
    if (path / "zarr.json").is_file():
        return Images.of_store(Store.open(path), size)
    if not path.is_dir():
        raise InputError(f"There is no folder {path}; give a store, or a folder of DICOM files or pictures.")
    files = sorted(p for p in path.rglob("*") if p.is_file())
    labels = Labels([p for p in files if p.suffix.lower() == ".csv" and is_labels(p)])
    pixels, views, patients = [], [], []
    ids: list[str] = []
    for file in files:
        label = labels.get(file) or {}
        content = file.read_bytes()
        try:
            if file.suffix.lower() in SUFFIXES:
                # A picture of a generator has no view: any will do to pass the reader.
                made = read_picture(content, {**label, "view": label.get("view", "CC")})
                view = str(label.get("view", ""))
            else:
                made = read_mammogram(content, label=label)
                view = str(made.facts["view"])
        except Refused:
            continue
        size = size or (made.pixels.shape[0], made.pixels.shape[1])
        gray = made.pixels if made.pixels.shape == size else fit(made.pixels, *size)
        pixels.append(quantize(gray, BITS))
        views.append(view)
        ids.append(f"{len(ids):07d}")
        patients.append(str(label.get("patient") or made.patient))
    if not pixels:
        raise InputError(f"There is no image in {path}; give a store, or a folder of DICOM files or gray pictures.")
    # Patients are told apart, and their identifiers forgotten.
    codes = np.unique(patients, return_inverse=True)[1].astype(str)
    spacing = np.full(len(ids), np.nan)
    return Images(np.stack(pixels), BITS, np.array(ids), np.array(views), codes, spacing)
