"""Results of a notebook: numbers with their uncertainty and the paper's value, figures, and the data of each figure.

The book reads every number in its prose from the ``results.json`` written here (the ``{val}`` role and the
``{compare}`` directive of ``book/_ext``), so that no number is typed twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from mammogan.atomic import make_folder, write_json
from mammogan.report.signs import figure_with_minus
from mammogan.report.style import on_light_box

# Verdicts on a number by what it rests on: within the tolerance, beyond it, and where there is no tolerance.
VERDICTS = {
    "images": ("reproduced", "not reproduced", "cannot be compared"),  # measured again
    "print": ("follows from print", "slip in print", "not checkable"),  # computed from other printed numbers
    "text": ("agree", "contradict", "not checkable"),  # two statements of the paper
}


def verdict(value: float | str, paper: float | None, tolerance: float | None, basis: str = "images") -> str | None:
    """Return how a number relates to that of the paper, a word of `VERDICTS`; None where the paper has no such number.

    The tolerance is the largest absolute difference that rounding or chance explains, stated before the run. None says
    that the two are not measurements of the same thing (other images, another resolution).
    """
    if paper is None:
        return None
    within, beyond, incomparable = VERDICTS[basis]
    if tolerance is None:
        return incomparable
    # A difference of exactly the tolerance is within it, whatever binary rounding makes of it.
    close = abs(float(value) - paper) <= tolerance * (1 + 1e-9) + 1e-12
    return within if close else beyond


@dataclass(frozen=True)
class Value:
    """A number, or a short text, of a chapter.

    Attributes:
        value: number or text.
        interval: 95 % interval of the number.
        paper: number that the paper prints, where there is one.
        tolerance: see `verdict`.
        basis: what the number rests on, a key of `VERDICTS`.
        unit: unit to print after the number, as "%", "s", "bits".
        fmt: format specification of the number, as ".3f"; by default integers are printed whole and other numbers to
            three significant digits.
        label: name of the number in a few words, for its row of a comparison table.
        how: method of computation, or the reason why it cannot be compared, in a sentence.
    """

    value: float | int | str
    interval: Sequence[float] | None = None
    paper: float | None = None
    tolerance: float | None = None
    basis: str = "images"
    unit: str = ""
    fmt: str = ""
    label: str = ""
    how: str = ""

    @property
    def plain(self) -> float | int | str:
        """The value as an object of Python."""
        return self.value.item() if isinstance(self.value, np.generic) else self.value

    @property
    def finite(self) -> bool:
        """Whether the value is a finite number or a text: the ratio to a ceiling of 0 is neither."""
        return isinstance(self.value, str) or math.isfinite(self.value)

    @property
    def stated(self) -> dict[str, object]:
        """The attributes that are given, from which `Value` makes the same value."""
        return {name: given for name, given in vars(self).items() if given not in (None, "")}

    def entry(self, key: str) -> dict[str, object]:
        """Return the entry of results.json; `key` is the label where there is none."""
        entry: dict[str, object] = {"value": self.plain, "label": self.label or key}
        entry |= {"unit": self.unit, "format": self.fmt, "how": self.how}
        if self.interval is not None:
            entry["interval"] = [float(bound) for bound in self.interval]
        if self.paper is not None:
            met = verdict(self.plain, self.paper, self.tolerance, self.basis)
            entry |= {"paper": self.paper, "tolerance": self.tolerance, "basis": self.basis, "verdict": met}
        return entry


@dataclass(frozen=True)
class Drawn:
    """A figure that was written: a notebook shows the file, and does not draw it again."""

    path: Path

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


class Results:
    """Collector of the results of one notebook in a folder: results.json, figures/NAME.png and data/NAME.csv.

    Args:
        out: folder to write to; made where it is missing.
        chapter: first part of every key, as "alignment": the value "n" becomes ``alignment.n`` in the book.
    """

    def __init__(self, out: str | Path, chapter: str) -> None:
        self.out = Path(out)
        self.chapter = chapter
        self.entries: dict[str, dict[str, object]] = {}
        self.prefix = ""
        for folder in (self.out, self.out / "figures", self.out / "data"):
            make_folder(folder)

    def part(self, name: str) -> Results:
        """Return results of a part of the chapter, saved with it: keys begin with "NAME.", file names with "NAME_"."""
        part = Results(self.out, self.chapter)
        part.entries, part.prefix = self.entries, f"{self.prefix}{name}."
        return part

    def value(self, key: str, value: float | int | str, **about: Any) -> float | int | str:
        """Keep and return one number (or a short text); `about` are the other attributes of `Value`. See `keep`."""
        result = Value(value, **about)
        self.keep({key: result})
        return result.plain

    def keep(self, values: Mapping[str, Value]) -> None:
        """Keep values by key: a dotted name without the chapter, as "table2.M1.information".

        Raises:
            ValueError: a key is taken already, or a number is not finite.
        """
        for name, value in values.items():
            key = self.prefix + name
            if key in self.entries:
                raise ValueError(f"The result {key!r} was stored already; give the second one a name of its own.")
            if not (value.finite and all(math.isfinite(bound) for bound in value.interval or ())):
                raise ValueError(
                    f"The result {key!r} is {value.value} with interval {value.interval}; store finite numbers only."
                )
            self.entries[key] = value.entry(key)

    def values(self) -> dict[str, Value]:
        """Return the values that were kept so far, by key, without what the paper prints."""
        given = {
            key.removeprefix(self.prefix): entry for key, entry in self.entries.items() if key.startswith(self.prefix)
        }
        return {
            key: Value(entry["value"], entry.get("interval"), label=str(entry["label"]))  # type: ignore[arg-type]
            for key, entry in given.items()
        }

    def figure(self, name: str, figure: Figure, data: pd.DataFrame) -> Drawn:
        """Write figures/NAME.png, a chart as NAME.svg too, and its numbers as data/NAME.csv; return it to show."""
        path = self.out / "figures" / f"{self._file(name)}.png"
        figure_with_minus(figure)
        if not on_light_box(figure):
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
            figure.set_layout_engine("none")  # both files have one layout, which is half of the time
        figure.savefig(path)
        plt.close(figure)
        self.table(name, data)
        return Drawn(path)

    def table(self, name: str, data: pd.DataFrame) -> pd.DataFrame:
        """Write a table as data/NAME.csv and return it to show."""
        unnamed = isinstance(data.index, pd.RangeIndex)
        data.to_csv(self.out / "data" / f"{self._file(name)}.csv", index=not unnamed)
        return data

    def frames(self, name: str, frames: Sequence[tuple[str, np.ndarray]], bits: int, height: int = 320) -> None:
        """Write pictures that belong in a row, of which a figure shows one at a time, and a film of them.

        figures/NAME/ holds the pictures with frames.json, figures/NAME.gif the film, half as large.

        Args:
            name: name of the figure.
            frames: (label, gray values (h, w) in 0 ... 2^bits - 1) of each. They are written in 8 bits, pixel by pixel,
                whole numbers of times larger or smaller so that they are about `height` high.
            bits: bits per pixel.
            height: height of the pictures, pixels.
        """
        folder = self.out / "figures" / self._file(name)
        make_folder(folder)
        pictures: list[Image.Image] = []
        for _, gray in frames:
            picture = Image.fromarray(np.round(np.asarray(gray, float) * (255 / (2**bits - 1))).astype(np.uint8))
            times = max(height // picture.height, 1)
            picture = picture.reduce(max(-(-picture.height // height), 1))
            picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
            picture.save(folder / f"{len(pictures):02d}.png")
            pictures.append(picture)
        records = [{"label": label, "file": f"{number:02d}.png"} for number, (label, _) in enumerate(frames)]
        write_json(folder / "frames.json", records)
        half = (pictures[-1].width // 2, pictures[-1].height // 2)
        film = [picture.resize(half, Image.Resampling.BOX) for picture in pictures]
        film[0].save(folder.with_suffix(".gif"), save_all=True, append_images=film[1:], duration=250, loop=0)

    def _file(self, name: str) -> str:
        return self.prefix.replace(".", "_") + name

    def save(self) -> Path:
        """Write results.json, with every key under the chapter's name."""
        path = self.out / "results.json"
        write_json(path, {f"{self.chapter}.{key}": entry for key, entry in self.entries.items()})
        return path
