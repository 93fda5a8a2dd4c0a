"""What a notebook found: numbers with their uncertainty and the paper's value, figures, and the data behind them.

The book takes every number in its prose from the ``results.json`` written here (the ``{val}`` role and the
``{compare}`` directive of ``book/_ext``), so that no number is typed twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
from mammogan.atomic import write_json

REPRODUCED, NOT_REPRODUCED, INCOMPARABLE = "reproduced", "not reproduced", "cannot be compared"


def verdict(value: float | str, paper: float | None, tolerance: float | None) -> str | None:
    """Say whether a number of the paper was met.

    Args:
        value: the number found here.
        paper: the paper's number; None where the paper has none, and then there is no verdict.
        tolerance: largest absolute difference that counts as reproduced, stated before the run. None says that the
            two are not measurements of the same thing (other images, another resolution).
    """
    if paper is None:
        return None
    if tolerance is None:
        return INCOMPARABLE
    # A difference of exactly the tolerance is within it, whatever binary rounding makes of it.
    close = abs(float(value) - paper) <= tolerance * (1 + 1e-9) + 1e-12
    return REPRODUCED if close else NOT_REPRODUCED


class Results:
    """Collects the results of one notebook in a folder: results.json, figures/NAME.png and data/NAME.csv.

    Args:
        out: folder to write to; made where it is missing.
        chapter: first part of every key, e.g. "alignment": the value "n" becomes ``alignment.n`` in the book.
    """

    def __init__(self, out: str | Path, chapter: str) -> None:
        self.out = Path(out)
        self.chapter = chapter
        self.entries: dict[str, dict[str, Any]] = {}
        self.prefix = ""
        for folder in (self.out, self.out / "figures", self.out / "data"):
            folder.mkdir(parents=True, exist_ok=True)

    def part(self, name: str) -> Results:
        """Results of a part of the chapter, saved with it: keys begin with "NAME.", names of files with "NAME_"."""
        made = Results(self.out, self.chapter)
        made.entries, made.prefix = self.entries, f"{self.prefix}{name}."
        return made

    def value(
        self,
        key: str,
        value: float | int | str,
        *,
        interval: tuple[float, float] | None = None,
        paper: float | None = None,
        tolerance: float | None = None,
        unit: str = "",
        fmt: str = "",
        label: str = "",
        how: str = "",
    ) -> float | int | str:
        """Keep one number (or a short text) under `key` and hand it back.

        Args:
            key: dotted name without the chapter, e.g. "table2.M1.information".
            value: the number found.
            interval: 95 % interval of the number.
            paper: the number that the paper prints, where there is one.
            tolerance: see `verdict`.
            unit: unit to print behind the number, e.g. "%", "s", "bits".
            fmt: format specification of the number, e.g. ".3f"; the default prints integers whole and other
                numbers to three significant digits.
            label: what the number is, in a few words: its row name in a comparison table.
            how: how it was computed, or why it cannot be compared, in a sentence.

        Raises:
            ValueError: the key is taken already, or the number is not finite.
        """
        key = self.prefix + key
        if key in self.entries:
            raise ValueError(f"The result {key!r} was stored already; give the second one a name of its own.")
        value = value.item() if isinstance(value, np.generic) else value
        numbers = [value, *(interval or ())] if not isinstance(value, str) else []
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"The result {key!r} is {value} with interval {interval}; store finite numbers only.")
        entry: dict[str, Any] = {"value": value, "label": label or key, "unit": unit, "format": fmt, "how": how}
        if interval is not None:
            entry["interval"] = [float(bound) for bound in interval]
        if paper is not None:
            entry |= {"paper": paper, "tolerance": tolerance, "verdict": verdict(value, paper, tolerance)}
        self.entries[key] = entry
        return value

    def figure(self, name: str, figure: Figure, data: pd.DataFrame) -> Figure:
        """Write figures/NAME.png (150 dpi) and the numbers behind it as data/NAME.csv; hand the figure back to show."""
        figure.savefig(self.out / "figures" / f"{self._file(name)}.png", dpi=150, bbox_inches="tight")
        self.table(name, data)
        return figure

    def table(self, name: str, data: pd.DataFrame) -> pd.DataFrame:
        """Write a table as data/NAME.csv and hand it back to show."""
        data.to_csv(self.out / "data" / f"{self._file(name)}.csv", index=not isinstance(data.index, _range_index()))
        return data

    def frames(self, name: str, frames: Sequence[tuple[str, np.ndarray]], bits: int, height: int = 320) -> None:
        """Write pictures that belong in a row, for a figure that shows one at a time: figures/NAME/ with frames.json.

        Args:
            name: of the figure.
            frames: (label, gray values (h, w) in 0 ... 2^bits - 1) of each. They are written in 8 bits, pixel by pixel,
                whole numbers of times larger or smaller so that they are about `height` high.
            bits: of the gray grid.
        """
        from PIL import Image

        folder = self.out / "figures" / self._file(name)
        folder.mkdir(parents=True, exist_ok=True)
        records = []
        for number, (label, gray) in enumerate(frames):
            pixels = np.round(np.asarray(gray, float) * (255 / (2**bits - 1))).astype(np.uint8)
            picture = Image.fromarray(pixels)
            if len(pixels) > height:
                picture = picture.reduce(-(-len(pixels) // height))
            else:
                times = max(height // len(pixels), 1)
                picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
            file = f"{number:02d}.png"
            picture.save(folder / file)
            records.append({"label": label, "file": file})
        write_json(folder / "frames.json", records)

    def _file(self, name: str) -> str:
        return self.prefix.replace(".", "_") + name

    def save(self) -> Path:
        """Write results.json, with every key under the chapter's name."""
        path = self.out / "results.json"
        write_json(path, {f"{self.chapter}.{key}": entry for key, entry in self.entries.items()})
        return path


def _range_index() -> type:
    import pandas as pd

    return pd.RangeIndex
