"""Write a population of phantoms as DICOM files.

Each image is a map of fibroglandular tissue over a compressed thickness, turned into gray as "for presentation"
processing does: fat dark, glandular tissue bright, thickness evened out up to the skin. Texture is power-law noise with
the exponent that mammograms have (Burgess, Jacobson & Judy 2001, Med Phys 28:419: beta near 3). Sizes are in
millimeters, so that the same breast can be drawn on any grid. Shares and ranges are project choices, tuned by
`benchmarks/phantom_realism.py` until the moments of real mammograms and of phantoms overlap.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from mammogan.data.dicom_writer import write
from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.render import render
from mammogan.types import Progress, no_progress


def write_population(
    out: str | Path,
    count: int,
    seed: int,
    *,
    height: int = 1280,
    width: int = 1024,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Path:
    """Write `count` images as DICOM files, four a patient, and phantoms.csv, which says what is in them.

    Args:
        out: folder, made where it is missing; files in it are replaced.
        count: number of images.
        seed: of the population; image i depends on (seed, i) alone.
        height, width: pixels, 5 : 4.
        workers: processes.
        progress: counts "phantoms".

    Returns:
        the path of phantoms.csv.

    Raises:
        ValueError: a count below 1 or a size that `render` refuses.
    """
    if count < 1:
        raise ValueError(f"{count} phantoms cannot be drawn; choose a count of 1 or more.")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    draw = partial(_write_one, out, seed, height, width)
    table = out / "phantoms.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "patient", "view", "laterality", "age", "density", "lesions"])
        if workers == 1:
            drawn: Iterator[list[str | int]] = map(draw, range(count))
        else:
            pool = ProcessPoolExecutor(workers)
            drawn = pool.map(draw, range(count), chunksize=4)
        for done, row in enumerate(drawn, 1):
            rows.writerow(row)
            progress("phantoms", done, count)
        if workers != 1:
            pool.shutdown()
    return table


def _write_one(out: Path, seed: int, height: int, width: int, index: int) -> list[str | int]:
    number, which = divmod(index, 4)
    laterality, view = VIEWS[which]
    made = render(seed, number, view, laterality, height=height, width=width)
    name = f"{index:07d}.dcm"
    aside = out / f".{name}.aside"
    write(aside, made.pixels, made.header)
    os.replace(aside, out / name)
    lesions = "; ".join(f"{lesion['kind']} {lesion['mm']:.1f} mm" for lesion in made.lesions)
    return [name, number, view, laterality, made.header.age or "", made.density, lesions]
