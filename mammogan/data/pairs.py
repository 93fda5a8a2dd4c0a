"""Open two sets of images on one gray grid, window and geometry, or say what to do; pair the views of one breast."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from PIL import Image

from mammogan.atomic import sibling
from mammogan.data.dicom import is_dicom
from mammogan.data.ingest import HEAD, Settings, ingest
from mammogan.data.raster import SUFFIXES
from mammogan.data.store import Store, pyramid_sizes
from mammogan.data.walk import walk
from mammogan.errors import InputError
from mammogan.types import Progress, Size, no_progress

# Settings of the ingest that change how an image looks, and the option that makes them alike.
LOOKS = {"window": "--window", "laterality": "--laterality"}


@dataclass(frozen=True)
class Source:
    """A store, or a folder of DICOM files or pictures."""

    path: Path
    kind: str  # "store", "DICOM" or "pictures"
    size: Size | None = None  # of a store's finest level, or of the first picture; unknown of DICOM
    bits: int = 16

    @classmethod
    def at(cls, path: str | Path) -> Self:
        """Examine a path; an InputError says that nothing there could be an image."""
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
                        size = Size(picture.height, picture.width)
                        return cls(path, "pictures", size, 16 if picture.mode.startswith("I") else 8)
                except OSError:
                    continue  # the ingest will say what is wrong with it
            elif _is_dicom(file):
                return cls(path, "DICOM")
        raise InputError(f"The folder {path} holds no image; give a store, or a folder of DICOM files or pictures.")


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(HEAD))
    except OSError:
        return False


def open_pair(real: str | Path, synthetic: str | Path, out: Path, **options: Any) -> tuple[Store, Store]:
    """Open two sets as stores, see `open_sets`; their folders become OUT.real.store and OUT.synthetic.store."""
    opened = open_sets({"real": real, "synthetic": synthetic}, out, **options)
    return opened["real"], opened["synthetic"]


def open_sets(
    sets: Mapping[str, str | Path],
    out: Path,
    *,
    size: Size | None = None,
    bits: int = 0,
    fewer_bits: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> dict[str, Store]:
    """Open sets as stores; folders are ingested into stores next to `out`, and those that were cut off continued.

    Pictures are stored unchanged. DICOM files are displayed and brought to the other sets' size.

    Args:
        sets: a store, or a folder of DICOM files or pictures, by name; only "synthetic" may be drawn by a program.
        out: the stores of folders are named after it, OUT.NAME.store.
        size: size of DICOM files where no other set has a size either; None means 1280 x 1024.
        bits: gray levels run from 0 to 2^bits - 1; 0 means those of a store, or of the pictures, at most 12.
        fewer_bits: accept pictures of fewer bits than another set has. Their gray grid is coarser, which the caller
            must take into account.
        workers, scheduler: see `parallel.guarded_map`.
        progress: counts "NAME files".

    Raises:
        InputError: a set cannot be read, or they cannot be brought to one grid.
    """
    sources = {name: Source.at(path) for name, path in sets.items()}
    stores = [source for source in sources.values() if source.kind == "store"]
    depth = bits or (stores[0].bits if stores else min(12, *(source.bits for source in sources.values())))
    for name, source in sources.items():
        shallow = source.bits < depth and not (fewer_bits and source.kind == "pictures")
        if (source.kind == "store" and source.bits != depth) or shallow:
            raise InputError(
                f"The {name} images of {source.bits} bits cannot be compared at {depth} bits; give sets of one depth, "
                "or folders with --bits."
            )
    sizes = [source.size for source in sources.values() if source.size]
    if len(sizes) == 2 and not set(pyramid_sizes(*sizes[0])) & set(pyramid_sizes(*sizes[1])):
        raise InputError(
            f"The real images have {sizes[0]} pixels and the synthetic ones {sizes[1]}, and halving leads to no common "
            "size; ingest one with the other's --height and --width."
        )
    default = sizes[0] if sizes else size or Size(1280, 1024)
    opened = {}
    for name, source in sources.items():
        if source.kind == "store":
            opened[name] = Store.open(source.path)
            continue
        path, task = sibling(out, f".{name}.store"), f"{name} files"
        settings = Settings(
            *(source.size or default),
            depth,
            prepared=source.kind == "pictures",
            allow_synthetic=name == "synthetic",
            fewer_bits=fewer_bits,
        )
        opened[name] = ingest(
            [source.path], path, settings, workers=workers, scheduler=scheduler, progress=progress, task=task
        )
    return opened


def compare_stores(real: Store, synthetic: Store, size: tuple[int, int] | None = None) -> Size:
    """Return the size at which two stores are compared: `size`, or by default the finest that both have.

    Raises:
        InputError: different bit depth, window or laterality, or no such size in both.
    """
    if real.bits != synthetic.bits:
        raise InputError(
            f"The real images have {real.bits} bits and the synthetic ones {synthetic.bits}, and their moments are not "
            "comparable; make both stores with the same --bits."
        )
    for name, option in LOOKS.items():
        looks = [store.attributes["made_by"].get(name) for store in (real, synthetic)]
        # Generated images have no settings of their own: they look like the images that the generator was trained on.
        if None not in looks and looks[0] != looks[1]:
            raise InputError(
                f"The real images were made with the {name} {looks[0]!r} and the synthetic ones with {looks[1]!r}; "
                f"ingest both with the same {option}."
            )
    common = [each for each in real.sizes if each in synthetic.sizes]
    if common and (size is None or size in common):
        return Size(*size) if size else common[-1]
    first, second = (", ".join(map(str, store.sizes)) for store in (real, synthetic))
    wanted = f"the size {Size(*size)}" if size else "a common size"
    raise InputError(
        f"The two sets do not both have {wanted} (the real images have {first}; the synthetic ones {second}); ingest "
        "one with the other's size."
    )


def small_size(first: Store, second: Store, shortest: int, tallest: int) -> Size:
    """Return the finest size of two stores of at most `tallest` rows, for measures that need few pixels.

    Raises:
        InputError: they cannot be compared, or a side of that size is below `shortest`.
    """
    finest = compare_stores(first, second)
    sizes = [size for size in first.sizes if size in second.sizes and size.height <= tallest]
    if not sizes or min(sizes[-1]) < shortest:
        raise InputError(
            f"A size of {shortest} pixels or more per side and at most {tallest} in height is needed, and the images "
            f"have up to {finest}; ingest or draw them at another size."
        )
    return sizes[-1]


def patients(store: Store) -> np.ndarray:
    """Return (n,) keys that tell the patients of images apart; an image of no known patient is its own patient."""
    hashes = store.manifest["patient"]
    return np.asarray(hashes.where(hashes.notna(), [f"image {number}" for number in range(len(store))]), str)


def are_patients_known(store: Store) -> bool:
    """Return whether every image has a patient; a file that states none became its own, with the hash of its instance.

    Then "other patients" may be the same ones.
    """
    patient, instance = store.manifest["patient"], store.manifest["instance"]
    return bool((patient.notna() & (patient != instance)).all())


def view_pairs(store: Store) -> pd.DataFrame:
    """Return the two views of each breast that a store has both of, in the order of the CC views.

    Images of no known patient, side or view belong to no pair. Where a breast has several images of one view, the
    first counts. A pair is left out if only one of its views has the flag side: they show different breasts, or one of
    them was turned.

    Returns:
        Table with the columns cc and mlo (rows of the store, 0-based), patient and laterality; empty without pairs.
    """
    keys = ["patient", "laterality", "view"]
    images = store.manifest[keys].reset_index(names="row").dropna().drop_duplicates(keys)
    cc, mlo = (images[images["view"] == view].drop(columns="view") for view in ("CC", "MLO"))
    table = cc.merge(mlo, on=["patient", "laterality"], suffixes=("_cc", "_mlo"))
    table = table.rename(columns={"row_cc": "cc", "row_mlo": "mlo"})[["cc", "mlo", "patient", "laterality"]]
    other = np.array(["side" in (flags if flags is not None else ()) for flags in store.manifest["flags"]], bool)
    return table[other[table["cc"]] == other[table["mlo"]]].reset_index(drop=True)


def require_pairs(store: Store) -> pd.DataFrame:
    """Return `view_pairs` of a store; an InputError says why it has none."""
    pairs = view_pairs(store)
    if len(pairs):
        return pairs
    known = store.manifest[["patient", "laterality", "view"]]
    unknown = [fact for fact in known if known[fact].isna().all()]
    views = sorted(set(known["view"].dropna()))
    advice = "ingest both views of each breast, with a table of labels where the files do not state them."
    if unknown:
        problem = f"the {' and the '.join(unknown)} of no image is known"
    elif len(views) == 1:
        problem = f"all views are {views[0]}"
    else:
        problem = "no CC and MLO are of one patient and one side"
    raise InputError(f"The store {store.path} has no pair of views, since {problem}; {advice}")
