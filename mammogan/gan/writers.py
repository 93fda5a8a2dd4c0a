"""Drawn images on disk: a folder of PNG or DICOM files that a cut-off command continues, and a film made of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mammogan import atomic
from mammogan.data import dicom_writer
from mammogan.data.dicom_writer import Device, Encoding, Header, Identity
from mammogan.data.store import quantize
from mammogan.errors import OutputError, ParameterError

FOLDER = 1000  # files per sub-folder
MILLISECONDS = 80  # per image of a film
RECORD, TABLE, FILM = "sample.json", "images.csv", "film.webp"
COLUMNS = ("file", "view", "laterality", "density", "seed", "index", "patient")


@dataclass(frozen=True)
class Draw:
    """Images to draw.

    Attributes:
        count: number of images; two per breast where the generator draws pairs of views.
        seed: random seed of the latent vectors, and of views and densities.
        first: index of the first image, so that several machines can share a seed.
        steps: interpolation: images from one latent vector to the next; 0 draws each from its own vector.
        view, density: draw only these; empty draws them as frequently as in the training data.
        at: images seen, to draw from a generator that the run kept during training; None uses the newest checkpoint.

        only: (name, value) of other conditions, to draw only these.

    Raises:
        ParameterError: a number is out of its range.
    """

    count: int
    seed: int = 0
    first: int = 0
    steps: int = 0
    view: str = ""
    density: str = ""
    at: int | None = None
    only: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, lowest in {"count": 1, "seed": 0, "first": 0, "steps": 0}.items():
            if getattr(self, name) < lowest:
                raise ParameterError(f"The {name} of images to draw must be {lowest} or more.")

    def record(self, generator: str, images: int) -> dict[str, object]:
        """Return what identifies the images, but for their number: only the same may continue a folder of them.

        Args:
            generator: fingerprint of the generator.
            images: images that D had seen.
        """
        choice = {name: getattr(self, name) for name in ("seed", "first", "steps", "view", "density")}
        choice |= {"only": dict(self.only)} if self.only else {}
        return {"by": "sample", "generator": generator, "images": images, **choice}


class ImageFolder:
    """A folder of image files: sample.json says how they are drawn, images.csv lists those that are done.

    Files are in sub-folders of `FOLDER`, named by index. A row of the table is written after its file is complete; a
    kill between the two leaves a file that is written again. Use it as a context manager.

    Args:
        out: folder to write.
        draw: images to draw.
        made_by: their `Draw.record`, and "format": "png", "dicom" or "film".
        bits: bits of the gray levels.
        spacing_mm: size of a pixel.
        views: images per breast, 1 or 2; those of one breast follow each other.
        others: names of further facts of the images, which get columns of the table.

    Attributes:
        done: number of images that are done.

    Raises:
        OutputError: the folder holds something else, cannot be written, or another process writes to it.
    """

    def __init__(
        self,
        out: Path,
        draw: Draw,
        made_by: dict[str, object],
        bits: int,
        spacing_mm: float,
        views: int = 1,
        others: tuple[str, ...] = (),
    ) -> None:
        self.out, self.draw, self.made_by, self.bits, self.spacing_mm = out, draw, made_by, bits, spacing_mm
        self.views = views
        self.suffix = ".dcm" if made_by["format"] == "dicom" else ".png"
        record = out / RECORD
        if record.is_file():
            if json.loads(record.read_text()) != made_by:
                raise OutputError(f"{out} holds images that were drawn otherwise; give another folder.")
        elif out.is_dir() and any(entry.name != f".{RECORD}.aside" for entry in out.iterdir()):
            raise OutputError(f"{out} is not empty; give another folder.")
        atomic.make_folder(out)
        atomic.write_json(record, made_by)
        with atomic.writing(out / TABLE):
            self._table = (out / TABLE).open("a+b")
        atomic.lock(self._table, OutputError(f"Another process writes to {out}; wait for it or stop it."))
        # A line that is not whole was cut off by a kill.
        self._table.seek(0)
        lines = [line for line in self._table if line.endswith(b"\n")]
        self._table.truncate(sum(map(len, lines)))
        if not lines:
            self._add_row((*COLUMNS, *others))
        # An early version's table has fewer columns.
        self._columns = lines[0].decode().strip().split(",") if lines else (*COLUMNS, *others)
        self.done = max(len(lines) - 1, 0)

    def _add_row(self, row: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        with atomic.writing(self.out / TABLE):
            self._table.write(text.getvalue().encode())
            self._table.flush()

    def name(self, index: int) -> str:
        """Return the path of an image relative to the folder."""
        return f"{index // FOLDER:05d}/{self.draw.seed}-{index:08d}{self.suffix}"

    def add(self, index: int, pixels: np.ndarray, facts: dict[str, str | None]) -> None:
        """Write one image (h, w), uint16, and list it.

        Facts are view, laterality, density, patient and others, None if unknown.
        """
        name = self.name(index)
        comment = (
            "Synthetic: drawn by a generative network, shows no patient. "
            f"Generator {self.made_by['generator']}, seed {self.draw.seed}, image {index}."
        )
        atomic.make_folder((self.out / name).parent)
        with atomic.replacing(self.out / name) as aside:
            if self.suffix == ".dcm":
                dicom_writer.write(aside, pixels, self._header(index, facts, comment), Encoding(self.bits))
            else:
                write_png(aside, pixels, self.bits, comment)
        values = {**facts, "file": name, "seed": self.draw.seed, "index": index}
        self._add_row([values[column] for column in self._columns])
        self.done += 1

    def _header(self, index: int, facts: dict[str, str | None], comment: str) -> Header:
        """Return the facts of a DICOM file; its UIDs depend on the generator, the index and what was asked for.

        Both views of a breast have one patient and one study.
        """
        draw, (breast, which) = self.draw, divmod(index, self.views)
        asked = (draw.seed, draw.steps, draw.view, draw.density, *draw.only)
        study = " ".join(map(str, ("synthetic", self.made_by["generator"], *asked, breast)))
        key = f"{study} {facts['view']}" if self.views > 1 else study
        return Header(
            view=facts["view"] or "",
            laterality=facts["laterality"] or "",
            identity=Identity(key, study, f"SYNTHETIC^{draw.seed}-{breast}", number=which + 1),
            device=Device(model="generative network"),
            spacing_mm=self.spacing_mm,
            synthetic=True,
            comment=comment,
        )

    def film(self) -> Path:
        """Join all images to one animated WebP of 8 bits that repeats without end.

        Both views of a breast are next to each other.
        """

        def gray(index: int) -> np.ndarray:
            with Image.open(self.out / self.name(index)) as picture:
                return quantize(np.asarray(picture) / 65535, 8).astype(np.uint8)

        def frames() -> Iterator[Image.Image]:
            for first in range(self.draw.first, self.draw.first + self.done, self.views):
                yield Image.fromarray(np.hstack([gray(index) for index in range(first, first + self.views)]))

        rest = frames()
        options = {"append_images": rest, "duration": MILLISECONDS, "loop": 0, "quality": 90}
        with atomic.replacing(self.out / FILM) as aside:
            next(rest).save(aside, "WEBP", save_all=True, **options)
        return self.out / FILM

    def __enter__(self) -> ImageFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()


def write_png(path: Path, pixels: np.ndarray, bits: int, comment: str) -> None:
    """Write a PNG of 16 bits, gray levels spread over the full range."""
    info = PngInfo()
    info.add_text("Description", comment)
    spread = (pixels.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)
    # Level 1 needs a small part of the usual level's time, and a few hundredths more space.
    Image.fromarray(spread).save(path, "PNG", compress_level=1, pnginfo=info)
