"""Read images to inspect from a store or a folder, without the gate of the ingest, which would refuse the failures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mammogan.data.dicom import is_dicom, read_mammogram
from mammogan.data.geometry import fit
from mammogan.data.ingest import read_content
from mammogan.data.metadata import Labels, is_labels
from mammogan.data.raster import SUFFIXES, read_picture
from mammogan.data.store import Store, quantize
from mammogan.data.walk import walk
from mammogan.errors import InputError, Refused
from mammogan.types import ImageStack, Size

BITS = 12  # of the gray grid that pictures are brought to


class Subset:
    """The images of a stack (N, h, w) at some rows (n,), read when they are indexed; an `ImageStack` (n, h, w)."""

    def __init__(self, images: ImageStack, rows: np.ndarray) -> None:
        self.images, self.rows = images, np.asarray(rows)
        self.shape, self.dtype = (len(self.rows), *images.shape[1:]), images.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, rows: np.ndarray) -> Self:
        """Return a subset of this subset."""
        return type(self)(self.images, self.rows[rows])

    def __getitem__(self, key: int | slice | np.ndarray, /) -> np.ndarray:
        rows = self.rows[key]
        if np.ndim(rows) == 0:
            return np.asarray(self.images[int(rows)])
        return np.stack([np.asarray(self.images[int(row)]) for row in rows])


@dataclass
class Images:
    """A set of images of one size."""

    pixels: ImageStack  # (n, h, w), unsigned integers in 0 ... 2^bits - 1
    bits: int
    ids: np.ndarray  # (n,) names without identity
    views: np.ndarray  # (n,) "CC", "MLO" or "" where unknown
    patients: np.ndarray  # (n,) salted hashes, or the ids where unknown
    spacing_mm: np.ndarray  # (n,) size of one pixel of these images, NaN where unknown
    pairs: np.ndarray | None = None  # (breasts, 2) indices of the CC and the MLO of each breast, if seen together

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> Size:
        """Height and width, pixels."""
        return Size(self.pixels.shape[1], self.pixels.shape[2])

    def take(self, rows: np.ndarray) -> Self:
        """Return some of the images, read into memory."""
        columns = (column[rows] for column in (self.ids, self.views, self.patients, self.spacing_mm))
        return type(self)(Subset(self.pixels, rows)[:], self.bits, *columns)

    @classmethod
    def of_store(cls, store: Store, size: tuple[int, int] | None = None) -> Self:
        """Return the images of a store at one of its sizes, its finest by default."""
        size = size or store.sizes[-1]
        m = store.manifest
        patients = m["patient"].where(m["patient"].notna(), m["id"]).to_numpy(str)
        spacing = m["spacing_mm"].to_numpy(float) * store.sizes[-1].height / size[0]
        views = m["view"].fillna("").to_numpy(str)
        return cls(store.images(size), store.bits, m["id"].to_numpy(str), views, patients, spacing)


def open_images(path: str | Path, size: tuple[int, int] | None = None, *, allow_synthetic: bool = True) -> Images:
    """Open a store, or read a folder of DICOM files or gray pictures.

    A folder's images come in the order of their names, whatever they show. Their views come from DICOM headers or from
    a CSV with the columns file and view; without one they are unknown. Files that are not images are skipped. A store
    must have the `size`, height and width, and other images are fitted into it; None means the store's finest or that
    of the first image. Without `allow_synthetic`, files that say that a program drew them are skipped too.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    path = Path(path)
    if (path / "zarr.json").is_file():
        return Images.of_store(Store.open(path), size)
    if not path.is_dir():
        raise InputError(f"There is no folder {path}; give a store, or a folder of DICOM files or pictures.")
    files = list(walk([path]))
    labels = Labels([file for file in files if is_labels(file)])
    pixels, views, patients = [], [], []
    for file in files:
        label = labels.get(file) or {}
        try:
            content = read_content(file)
            if file.suffix.lower() in SUFFIXES and not is_dicom(content):
                mammogram = read_picture(content, label, unlabeled=True, allow_synthetic=allow_synthetic)
            else:
                mammogram = read_mammogram(content, label=label, allow_synthetic=allow_synthetic)
            view = mammogram.facts["view"] or ""
        except Refused:
            continue
        if view not in ("", "CC", "MLO"):
            continue
        gray = mammogram.pixels
        size = size or (gray.shape[0], gray.shape[1])
        pixels.append(quantize(gray if gray.shape == size else fit(gray, *size), BITS))
        views.append(view)
        patients.append(mammogram.patient)
    if not pixels:
        raise InputError(f"There is no image in {path}; give a store, or a folder of DICOM files or gray pictures.")
    # Patients are told apart, and their identifiers forgotten.
    codes = np.unique(patients, return_inverse=True)[1].astype(str)
    ids = np.array([f"{number:07d}" for number in range(len(pixels))])
    return Images(np.stack(pixels), BITS, ids, np.array(views), codes, np.full(len(ids), np.nan))
