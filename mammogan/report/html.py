"""A report as one page of HTML: headings, paragraphs, tables and figures, readable on light and dark, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from mammogan.report.numbers import grouped, raised, words
from mammogan.report.provenance import sha256
from mammogan.report.results import Drawn, Value
from mammogan.report.signs import page_with_minus
from mammogan.report.style import on_light_box
from mammogan.report.summary import Line

if TYPE_CHECKING:
    from IPython.display import Markdown
    from pandas.io.formats.style import Styler


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        caption: caption.
        frame: cells and names of columns, in which underscores are printed as blanks; its index is not shown.
        name: name of its file, data/NAME.csv next to the page; "" where it has none.
        values: numbers of results.json that it holds, by key.
        folded: whether only the caption is shown until it is opened.

    Rows with a text in the column "outside" are marked.
    """

    caption: str
    frame: pd.DataFrame
    name: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    folded: bool = False

    @property
    def marked(self) -> list[bool]:
        """Whether each row is marked."""
        return [bool(text) for text in self.frame["outside"]] if "outside" in self.frame else [False] * len(self.frame)


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        name: name of its file, figures/NAME.png next to the page.
        figure: the figure.
        caption: caption.
        data: numbers that it shows.
        alt: what it shows, in words; the caption by default.
    """

    name: str
    figure: Figure
    caption: str
    data: pd.DataFrame
    alt: str = ""

    @property
    def is_chart(self) -> bool:
        """Return False for radiographs, which a dark page must not turn."""
        return not on_light_box(self.figure)


@dataclass
class Part:
    """A section of a page; without a title it continues the one before.

    `name` is its anchor, and `drawn` are its figures on disk.
    """

    title: str = ""
    text: Sequence[str] = ()
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    name: str = ""
    drawn: list[Drawn] = field(default_factory=list)

    @property
    def figure(self) -> Drawn | Markdown:
        """The first figure on disk; without one, the sentence that takes the place of real images."""
        return self.drawn[0] if self.drawn else sentence("not_shown")


def digits(cell: object) -> object:
    """Return a cell as it is printed: fractions with three decimals, or with three digits where they are below .01."""
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    if isinstance(cell, list | tuple):
        return " or ".join(map(str, cell))
    if isinstance(cell, int | np.integer) or (isinstance(cell, float) and cell.is_integer()):
        return grouped(int(cell))
    if not isinstance(cell, float):
        return cell
    return raised(f"{cell:.3f}" if abs(cell) >= 0.01 else f"{cell:.3g}")


def render(template: str, **facts: object) -> str:
    """Return a template of this folder, filled in."""
    loader = PackageLoader("mammogan.report", "")
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True, loader=loader)
    environment.filters["digits"] = digits
    return environment.get_template(template).render(facts)


def write_page(
    path: Path,
    title: str,
    lead: Iterable[str],
    parts: Iterable[Part],
    files: Iterable[str] = (),
    summary: Sequence[Line] = (),
) -> Path:
    """Write a page and return its path.

    Args:
        path: file to write.
        title: title.
        lead: paragraphs below the title.
        parts: sections.
        files: paths of files to link to at the end, relative to the page.
        summary: lines above the lead, which link to the sections of their names.
    """
    page = render("page.html", title=title, summary=summary, lead=lead, parts=parts, files=files)
    path.write_text(page_with_minus(page), encoding="utf-8")
    return path


def sentence(name: str) -> Markdown:
    """Return a sentence of words.toml that a notebook shows in place of a figure."""
    from IPython.display import Markdown

    return Markdown(" ".join(words("sentences")[name].split()))


def shown(frame: pd.DataFrame, caption: str = "", formats: Mapping[str, str] | None = None) -> Styler:
    """Return a table as notebooks show it: caption above, numbers to the right, no index without a name.

    Args:
        frame: table; underscores in the names of its columns are printed as blanks.
        caption: caption.
        formats: {column: format of its numbers}; others are printed by `digits`.
    """
    table = frame if frame.index.name is None and isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    table = table.rename(columns=lambda name: "" if name == "index" else str(name).replace("_", " "))
    given = {name.replace("_", " "): "{:" + text + "}" for name, text in (formats or {}).items()}
    numeric = [name for name in table if pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool]
    right = {name: [{"selector": "", "props": "text-align: right"}] for name in numeric}
    identity = sha256(table.to_csv())[:8]  # the same table has the same page
    styler = table.style.hide(axis="index").format(dict.fromkeys(table, digits) | given, na_rep="\N{EN DASH}")
    styler = styler.set_uuid(identity).set_table_styles(right).set_table_attributes('class="dataframe"')
    return styler.set_caption(caption) if caption else styler


def show(part: Part) -> None:
    """Show the text and the tables of a section in a notebook; its figures are shown where they are drawn."""
    from IPython.display import Markdown, display

    for line in part.text:
        display(Markdown(line))
    for table in part.tables:
        if len(table.frame):
            display(shown(table.frame, table.caption))
