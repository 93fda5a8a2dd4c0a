"""Two sets of images of one gray grid, window and geometry, so that they can be compared; or what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mammogan.data.ingest import Settings, ingest, walk
from mammogan.data.raster import SUFFIXES
from mammogan.data.store import Store, pyramid_sizes
from mammogan.errors import InputError
from mammogan.types import Progress, Size, no_progress

# Settings of the ingest that change how an image looks, and the option that makes them alike.
LOOKS = {"window": "--window", "laterality": "--laterality"}


@dataclass(frozen=True)
class Source:
    """A store, or a folder of DICOM files or pictures, as far as a look at it tells.

    Attributes:
        kind: "store", "DICOM" or "pictures".
        size, bits: of a store's finest level, or of the first picture; None and 16 of DICOM.
    """

    path: Path
    kind: str
    size: tuple[int, int] | None = None
    bits: int = 16

    @classmethod
    def at(cls, path: str | Path) -> Source:
        """Look at what lies at a path.

        Raises:
            InputError: nothing, or nothing that could be an image.
        """
        path = Path(path)
        if (path / "zarr.json").is_file():
            store = Store.open(path)
            return cls(path, "store", store.sizes[-1], store.bits)
        if not path.is_dir():
            raise InputError(f"There is no folder {path}; give a store, or a folder of DICOM files or pictures.")
        for file in walk([path]):
            if file.suffix.lower() in SUFFIXES:
                try:
                    with Image.open(file) as picture:
                        return cls(path, "pictures", picture.size[::-1], 16 if picture.mode.startswith("I") else 8)
                except OSError:
                    continue  # the ingest will say what is wrong with it
            elif file.suffix.lower() in ("", ".dcm", ".dicom", ".ima"):
                return cls(path, "DICOM")
        raise InputError(f"The folder {path} holds no image; give a store, or a folder of DICOM files or pictures.")


def open_pair(
    real: str | Path,
    synthetic: str | Path,
    beside: Path,
    *,
    size: Size | None = None,
    bits: int = 0,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> tuple[Store, Store]:
    """Two sets as stores. Folders are ingested into stores beside a path; one that was cut off is continued.

    Pictures are taken as they are. DICOM files are displayed and brought to the other set's size.

    Args:
        real, synthetic: a store, or a folder of DICOM files or pictures.
        beside: stores of folders are named after it, NAME.real.store and NAME.synthetic.store.
        size: size of DICOM files where the other set has no size either; None means 1280 x 1024.
        bits: gray levels run from 0 to 2^bits - 1; 0 takes those of a store, or of the pictures, at most 12.
        workers, scheduler: see `ingest.reader`.
        progress: counts "real files" and "synthetic files".

    Raises:
        InputError: the two cannot be brought to one grid.
        IngestError: a folder cannot be read.
    """
    sources = {"real": Source.at(real), "synthetic": Source.at(synthetic)}
    stores = [source for source in sources.values() if source.kind == "store"]
    depth = bits or (stores[0].bits if stores else min(12, *(source.bits for source in sources.values())))
    for name, source in sources.items():
        if (source.kind == "store" and source.bits != depth) or source.bits < depth:
            raise InputError(
                f"The {name} images have {source.bits} bits and are to be compared at {depth}, and moments of "
                "different depths cannot be compared; give sets of one depth, or folders with --bits."
            )
    sizes = [source.size for source in sources.values() if source.size]
    if len(sizes) == 2 and not set(pyramid_sizes(*sizes[0])) & set(pyramid_sizes(*sizes[1])):
        raise InputError(
            f"The real images have {sizes[0][0]} x {sizes[0][1]} pixels and the synthetic ones {sizes[1][0]} x "
            f"{sizes[1][1]}, and halving leads to no common size; ingest one with the other's --height and --width."
        )
    default = sizes[0] if sizes else size or (1280, 1024)
    opened = []
    for name, source in sources.items():
        if source.kind == "store":
            opened.append(Store.open(source.path))
            continue
        height, width = source.size or default
        settings = Settings(height=height, width=width, bits=depth, prepared=source.kind == "pictures")
        opened.append(
            ingest(
                [source.path],
                beside.with_name(f"{beside.name}.{name}.store"),
                settings,
                workers=workers,
                scheduler=scheduler,
                progress=progress,
                task=f"{name} files",
            )
        )
    return opened[0], opened[1]


def compare_stores(real: Store, synthetic: Store, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """Size at which two stores are compared: the one asked for, or the finest that both have.

    Raises:
        InputError: different bit depth, window or laterality, or no such size in both.
    """
    if real.bits != synthetic.bits:
        raise InputError(
            f"The real images have {real.bits} bits and the synthetic ones {synthetic.bits}, and moments of different "
            "depths cannot be compared; make both stores with the same --bits."
        )
    for name, option in LOOKS.items():
        looks = [store.attributes["made_by"].get(name) for store in (real, synthetic)]
        # Generated images have no settings of their own: they look like the images that the generator was trained on.
        if None not in looks and looks[0] != looks[1]:
            raise InputError(
                f"The real images were made with the {name} {looks[0]!r} and the synthetic ones with {looks[1]!r}; "
                f"ingest both with the same {option}."
            )
    common = [pair for pair in real.sizes if pair in synthetic.sizes]
    if size in common:
        return size
    if size or not common:
        have = "; ".join(
            f"the {name} images have {', '.join(f'{h} x {w}' for h, w in store.sizes)}"
            for name, store in (("real", real), ("synthetic", synthetic))
        )
        wanted = f"the size {size[0]} x {size[1]}" if size else "a common size"
        raise InputError(f"The two sets do not both have {wanted} ({have}); ingest one with the other's size.")
    return common[-1]


def patients(store: Store) -> np.ndarray:
    """(n,) what tells the patients of a store's images apart; an image without a patient stands for itself."""
    known = store.manifest["patient"]
    return np.asarray(known.where(known.notna(), [f"image {number}" for number in range(len(store))]), str)
