"""Write a population of phantoms as DICOM files.

Each image is a map of fibroglandular tissue over a compressed thickness, turned into gray as "for presentation"
processing does: fat dark, glandular tissue bright, thickness evened out up to the skin. Texture is power-law noise with
the exponent that mammograms have (Burgess, Jacobson & Judy 2001, Med Phys 28:419: beta near 3). Sizes are in
millimeters, so that the same breast can be drawn on any grid. Shares and ranges are project choices, tuned by
`benchmarks/phantom_realism.py` until the moments of real mammograms and of phantoms overlap.
"""

import csv
from functools import partial
from pathlib import Path

from mammogan.atomic import replacing, writing
from mammogan.data.dicom_writer import write
from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.render import render
from mammogan.errors import ParameterError
from mammogan.parallel import in_processes
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
    """Write images as DICOM files, four per patient; return the path of phantoms.csv, which lists their contents.

    Args:
        out: folder, created where it is missing; files in it are replaced.
        count: number of images.
        seed: random seed of the population; image i depends on (seed, i) alone.
        height, width: pixels, 5 : 4.
        workers: number of processes.
        progress: counts "phantoms".

    Raises:
        ParameterError: a count below 1 or a size that `render` refuses.
    """
    if count < 1:
        raise ParameterError(f"{count} phantoms are impossible; choose --count 1 or more.")
    out = Path(out)
    table = out / "phantoms.csv"
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "patient", "view", "laterality", "age", "density", "lesions"])
            draw = partial(_write_one, out, seed, height, width)
            for done, row in enumerate(in_processes(draw, range(count), workers), 1):
                rows.writerow(row)
                progress("phantoms", done, count)
    return table


def _write_one(out: Path, seed: int, height: int, width: int, index: int) -> list[str | int]:
    """Write one image and return its row of the table."""
    number, which = divmod(index, 4)
    laterality, view = VIEWS[which]
    phantom = render(seed, number, view, laterality, height=height, width=width)
    name = f"{index:07d}.dcm"
    with replacing(out / name) as aside:
        write(aside, phantom.pixels, phantom.header, phantom.encoding)
    lesions = "; ".join(f"{lesion.kind} {lesion.mm:.1f} mm" for lesion in phantom.lesions)
    return [name, number, view, laterality, phantom.header.identity.age or "", phantom.density, lesions]
