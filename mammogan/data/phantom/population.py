"""Write a population of phantoms as DICOM files.

Each image projects the glandular tissue of a breast in three dimensions, which both of its views share, over a
compressed thickness, and is turned into gray as "for presentation" processing does: fat dark, glandular tissue bright,
thickness evened out up to the skin. Texture is power-law noise with the exponent that mammograms have (Burgess,
Jacobson & Judy 2001, Med Phys 28:419: beta near 3). Sizes are in millimeters, so that the same breast can be drawn on
any grid. Shares and ranges are project choices, tuned by `benchmarks/phantom_realism.py` until the moments of real
mammograms and of phantoms overlap, and by `benchmarks/phantom_pairs.py` until two views agree as real ones do.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from mammogan.atomic import lock, replacing, writing
from mammogan.data.dicom_writer import write
from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.render import check_size, render
from mammogan.errors import OutputError, ParameterError
from mammogan.parallel import in_processes
from mammogan.types import Progress, no_progress

COLUMNS = ["file", "patient", "view", "laterality", "age", "density", "lesions", "finding", "seed", "height", "width"]


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

    A population that was cut off is continued after the last row of phantoms.csv, and one that is complete may grow.

    Args:
        out: folder, created where it is missing.
        count: number of images.
        seed: random seed of the population; image i depends on (seed, i) alone.
        height, width: pixels, 5 : 4.
        workers: number of processes.
        progress: counts "phantoms".

    Raises:
        ParameterError: a count below 1 or a size that `check_size` refuses.
        OutputError: the folder holds something else, another population or a larger one, or another process writes it.
    """
    if count < 1:
        raise ParameterError(f"{count} phantoms are impossible; choose --count 1 or more.")
    check_size(height, width)
    out = Path(out)
    with _table(out, [str(seed), str(height), str(width)], count) as (file, done), writing(out):
        rows = csv.writer(file)
        draw = partial(_write_one, out, seed, height, width)
        for number, row in enumerate(in_processes(draw, range(done, count), workers), done + 1):
            rows.writerow(row)
            file.flush()
            progress("phantoms", number, count)
    return out / "phantoms.csv"


@contextmanager
def _table(out: Path, population: list[str], count: int) -> Iterator[tuple[IO[str], int]]:
    """Yield phantoms.csv, locked and at its end, and the number of its rows, without one that a kill cut short."""
    another = "give another folder."
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if not (out / "phantoms.csv").exists() and any(out.iterdir()):
            raise OutputError(f"The folder {out} is not empty; {another}")
        file = (out / "phantoms.csv").open("a+", newline="", encoding="utf-8")
    with file:
        lock(file, OutputError(f"Another process draws phantoms in {out}; wait for it or stop it."))
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        rows = list(csv.reader(io.StringIO(whole, newline="")))
        if any(len(row) != len(COLUMNS) or row[-3:] not in (population, COLUMNS[-3:]) for row in rows):
            raise OutputError(f"{out} holds phantoms of another seed or size, or another table; {another}")
        if len(rows) - 1 > count:
            raise OutputError(f"{out} holds {len(rows) - 1} phantoms already; ask for as many or {another}")
        with writing(out):
            file.truncate(len(whole.encode()))
            if not rows:
                csv.writer(file).writerow(COLUMNS)
            file.flush()
        yield file, max(len(rows) - 1, 0)


def _write_one(out: Path, seed: int, height: int, width: int, index: int) -> list[str | int]:
    """Write one image and return its row of the table."""
    number, which = divmod(index, 4)
    laterality, view = VIEWS[which]
    phantom = render(seed, number, view, laterality, height=height, width=width)
    name = f"{index:07d}.dcm"
    with replacing(out / name) as aside:
        write(aside, phantom.pixels, phantom.header, phantom.encoding)
    lesions = "; ".join(f"{lesion.kind} {lesion.mm:.1f} mm" for lesion in phantom.lesions)
    age = phantom.header.identity.age or ""
    # What is seen first counts.
    found = [word for word in ("mass", "calcification") if word in lesions]
    finding = found[0] if found else "none"
    return [name, number, view, laterality, age, phantom.density, lesions, finding, seed, height, width]
