"""Items of a section of the report on a reader study: paragraphs, numbers, tables, figures and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.atomic import write_text
from mammogan.report.html import Part, Picture, Table
from mammogan.report.numbers import Number, described, filled, words
from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.results import Results

WORDS = words("study")


@dataclass(frozen=True)
class TextFile:
    """A file for another program, data/NAME."""

    name: str
    text: str


Item = str | Table | Picture | TextFile  # a table without a caption is kept and not shown
Section = Callable[[StudyAnswers], Iterator[Item]]


def numbers(values: Mapping[str, Number], caption: str = "", **facts: object) -> Table:
    """Return numbers with the words of a reader study as a table without empty columns; see `numbers.described`."""
    kept = described("study", values, **facts)
    rows = [(value.label, value.plain, *(value.interval or ("", "")), value.how) for value in kept.values()]
    frame = pd.DataFrame(rows, columns=["quantity", "value", "low", "high", "how"], dtype=object)
    return Table(caption, frame.loc[:, (frame != "").any()], values=kept)


def drawn(name: str, figure: Figure, data: pd.DataFrame, **facts: object) -> Picture:
    """Return a figure and its numbers with the words of a reader study."""
    return Picture(name, figure, filled(WORDS["captions"][name], **facts), data, WORDS["alt"][name])


def marked(rates: pd.DataFrame) -> pd.DataFrame:
    """Return rates with the column "outside", where their interval excludes one half."""
    sides = np.select([rates["low"] > 0.5, rates["high"] < 0.5], ["above one half", "below one half"], "")
    return rates.assign(outside=sides)


def write_section(section: Section, study: StudyAnswers, results: Results, title: str = "") -> Part:
    """Write the numbers, tables and figures of a section, and return it as a part of a page."""
    part = Part(title, [], name=section.__name__)
    for item in section(study):
        if isinstance(item, str):
            part.text = [*part.text, item]
        elif isinstance(item, Picture):
            if study.note:
                item.figure.suptitle(study.note)
            part.drawn.append(results.figure(item.name, item.figure, item.data))
            part.pictures.append(replace(item, caption=f"{study.note} {item.caption}".strip()))
        elif isinstance(item, TextFile):
            write_text(results.out / "data" / item.name, item.text)
        else:
            results.keep(item.values)
            if item.name:
                results.table(item.name, item.frame)
            part.tables += [replace(item, folded=len(part.tables) > 0)] if item.caption else []
    return part


def spread(studies: Iterable[StudyAnswers], chosen: Sequence[Section]) -> pd.DataFrame:
    """Compute how far the numbers of sections differ between studies, e.g. between data sets of one reconstruction.

    Returns:
        One row per number: key, number (its label), lowest, median, highest.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for study in studies:
        blocks = [item.values for section in chosen for item in section(study) if isinstance(item, Table)]
        plt.close("all")
        for key, value in (pair for block in blocks for pair in block.items() if pair[0] != "verdict"):
            for end, number in zip(("", ", low", ", high"), (value.value, *(value.interval or ())), strict=False):
                found.setdefault((key + end, value.label), []).append(float(number))
    rows = [(*names, min(n), float(np.median(n)), max(n)) for names, n in found.items()]
    return pd.DataFrame(rows, columns=["key", "number", "lowest", "median", "highest"])
