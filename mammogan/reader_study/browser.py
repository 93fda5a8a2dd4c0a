"""The reader study as a page of the book: the application without a server, with images of no patient."""

from __future__ import annotations

import shutil
from pathlib import Path

from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.reader_study.design import PUBLIC, STATIC, build

POOL = 48  # pictures of each class at most: a page that is sent by mail must stay small
SEED = 0
NOTE = (
    'This copy runs in your browser alone and sends nothing. Its "real" images are phantoms, drawn by a program, not '
    "taken of patients; the others come from the generator of this book, trained on {trained}. Your answers stay here "
    "until you download them."
)


def write_demo(phantoms: Path | None, synthetic: Path, target: Path, trained: str) -> None:
    """Write the application and its pictures to the folder `target`; open its index.html.

    Args:
        phantoms: store of phantoms to show as real ones. None draws some, on the grid of the synthetic images: where
            the book was made from patients' images, none of those may lie in it.
        synthetic: store of synthetic images.
        target: folder to write; what is there is replaced.
        trained: what the generator was trained on, for the reader.
    """
    aside = target.with_name(f".{target.name}.study")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    drawn = Store.open(synthetic)
    if phantoms is None:
        height, width = drawn.sizes[-1]
        scale = max(1, -(-320 // height))  # a phantom is drawn larger than a very small grid, and averaged
        write_population(aside / "dicom", min(POOL, len(drawn)), SEED, height=scale * height, width=scale * width)
        phantoms = ingest([aside / "dicom"], aside / "store", Settings(height, width, drawn.bits)).path
    pool = min(POOL, len(drawn), len(Store.open(phantoms)))
    build(phantoms, synthetic, aside / "study", pool=pool, seed=SEED, note=NOTE.format(trained=trained), browser=True)
    shutil.rmtree(target, ignore_errors=True)
    (aside / "study" / PUBLIC).rename(target)
    shutil.rmtree(aside)


def sources() -> list[bytes]:
    """All of the application's own files: a change in them makes the page new."""
    return [path.read_bytes() for path in sorted(STATIC.iterdir())]
