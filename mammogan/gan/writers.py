"""Drawn images on disk: a folder of PNG or DICOM files that a cut-off command continues, and a film made of them."""

from __future__ import annotations

import csv
import fcntl
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mammogan.data import dicom_writer
from mammogan.data.store import quantize
from mammogan.errors import RunError

FOLDER = 1000  # files a sub-folder
RECORD, TABLE, FILM = "sample.json", "images.csv", "film.webp"
COLUMNS = ("file", "view", "laterality", "density", "seed", "index")


@dataclass(frozen=True)
class Drawn:
    """One drawn image.

    Attributes:
        pixels: (h, w), uint16.
        bits: of its gray grid.
        index: its place in the sequence of its seed.
        facts: view, laterality and density; None where not known.
        spacing_mm: of one pixel.
        made_by: what drew it, see `Files`.
    """

    pixels: np.ndarray
    bits: int
    index: int
    facts: dict[str, str | None]
    spacing_mm: float
    made_by: dict[str, Any]

    @property
    def comment(self) -> str:
        """A sentence that no one can take the image for a patient's after."""
        return (
            "Synthetic: drawn by a generative network, shows no patient. "
            f"Generator {self.made_by['generator']}, seed {self.made_by['seed']}, image {self.index}."
        )


def write_png(path: Path, image: Drawn) -> None:
    """16 bits, gray levels spread over the full range."""
    info = PngInfo()
    info.add_text("Description", image.comment)
    spread = (image.pixels.astype(np.uint32) * 65535 // (2**image.bits - 1)).astype(np.uint16)
    # Level 1 takes a small part of the usual level's time, for a few hundredths more space.
    Image.fromarray(spread).save(path, "PNG", compress_level=1, pnginfo=info)


def write_dicom(path: Path, image: Drawn) -> None:
    """A mammogram marked as synthetic; the same generator, seed and index give the same UIDs, others give others."""
    made_by, facts = image.made_by, image.facts
    parts = [made_by[name] for name in ("generator", "seed", "steps", "view", "density")]
    key = " ".join(map(str, ["synthetic", *parts, image.index]))
    header = dicom_writer.Header(
        view=facts["view"] or "",
        laterality=facts["laterality"] or "",
        key=key,
        study=key,
        patient=f"SYNTHETIC^{made_by['seed']}-{image.index}",
        spacing_mm=image.spacing_mm,
        model="generative network",
        synthetic=True,
        comment=image.comment,
    )
    dicom_writer.write(path, image.pixels, header, image.bits)


WRITERS: dict[str, Callable[[Path, Drawn], None]] = {".png": write_png, ".dcm": write_dicom}


class Files:
    """A folder of image files: sample.json says how they are made, images.csv lists those that are done.

    Files are in sub-folders of `FOLDER`, named by index. A row of the table is written after its file is in place; a
    kill between the two leaves a file that is written again.

    Args:
        out: the folder.
        made_by: what makes the images; only the same may continue.

    Attributes:
        done: images that are done.

    Raises:
        RunError: the folder holds something else, or another process writes to it.
    """

    def __init__(self, out: Path, made_by: dict[str, Any]) -> None:
        self.out, self.made_by = out, made_by
        record = out / RECORD
        if record.is_file():
            if json.loads(record.read_text()) != made_by:
                raise RunError(f"{out} holds images that were drawn otherwise; give another folder or add --force.")
        elif out.is_dir() and any(entry.name != f".{RECORD}.aside" for entry in out.iterdir()):
            raise RunError(f"{out} is not empty; give another folder or add --force.")
        else:
            out.mkdir(parents=True, exist_ok=True)
            aside = out / f".{RECORD}.aside"
            aside.write_text(json.dumps(made_by, indent=1) + "\n")
            aside.replace(record)
        self._table = (out / TABLE).open("a+b")
        try:
            fcntl.flock(self._table, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"Another process writes to {out}; wait for it or stop it.") from None
        self.done = self._resume() - 1
        if self.done < 0:
            self._row(COLUMNS)
            self.done = 0

    def _resume(self) -> int:
        """Cut off a line that is not whole; returns the number of lines."""
        self._table.seek(0)
        lines = end = 0
        for line in self._table:
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
        self._table.truncate(end)
        return lines

    def _row(self, row: Sequence[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        self._table.write(text.getvalue().encode())
        self._table.flush()

    def name(self, index: int) -> str:
        """Path of an image below the folder."""
        suffix = ".dcm" if self.made_by["format"] == "dicom" else ".png"
        return f"{index // FOLDER:05d}/{self.made_by['seed']}-{index:08d}{suffix}"

    def add(self, image: Drawn) -> None:
        """Put one file in place, whole, and note it."""
        target = self.out / self.name(image.index)
        target.parent.mkdir(exist_ok=True)
        aside = target.with_name(f".aside{target.suffix}")
        WRITERS[target.suffix](aside, image)
        aside.replace(target)
        known = {**image.facts, "file": self.name(image.index), "seed": self.made_by["seed"], "index": image.index}
        self._row([known[column] for column in COLUMNS])
        self.done += 1

    def film(self, seconds: float = 0.08, quality: int = 90) -> Path:
        """Join all images to one animated WebP of 8 bits, `seconds` each, running for ever."""

        def pictures() -> Iterator[Image.Image]:
            for index in range(self.made_by["first"], self.made_by["first"] + self.done):
                with Image.open(self.out / self.name(index)) as picture:
                    yield Image.fromarray(quantize(np.asarray(picture) / 65535, 8).astype(np.uint8))

        target = self.out / FILM
        aside = self.out / f".{FILM}"
        rest = pictures()
        next(rest).save(
            aside, "WEBP", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, quality=quality
        )
        aside.replace(target)
        return target

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()
