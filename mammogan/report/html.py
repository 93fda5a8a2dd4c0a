"""A report as one page of HTML: headings, paragraphs, tables and figures, readable on light and dark, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table of a page; numbers are set flush right.

    Attributes:
        caption: caption.
        header: names of the columns.
        rows: cells, row by row.
        unbroken: whether a cell keeps to one line, so that a number stays next to its interval; the table then scrolls.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    unbroken: bool = False

    @classmethod
    def of(cls, caption: str, frame: pd.DataFrame) -> Table:
        """Return the table of a data frame without its index, its cells unbroken."""
        return cls(caption, list(frame.columns), frame.astype(object).to_numpy().tolist(), unbroken=True)

    @property
    def frame(self) -> pd.DataFrame:
        """The table as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self.header))


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


@dataclass
class Part:
    """A section of a page; without a title it continues the one before."""

    title: str = ""
    text: Sequence[str] = ()
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def digits(cell: object) -> object:
    """Return a cell as it is printed: fractions with three decimals, or with three digits where they are below .01."""
    if isinstance(cell, bool) or not isinstance(cell, float):
        return cell
    if cell.is_integer():
        return int(cell)
    return f"{cell:.3f}" if abs(cell) >= 0.01 else f"{cell:.3g}"


def write_page(path: Path, title: str, lead: Iterable[str], parts: Iterable[Part], files: Iterable[str] = ()) -> Path:
    """Write a page and return its path.

    Args:
        path: file to write.
        title: title.
        lead: paragraphs below the title.
        parts: sections.
        files: paths of files to link to at the end, relative to the page.
    """
    loader = PackageLoader("mammogan.report", "")
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True, loader=loader)
    environment.filters["digits"] = digits
    page = environment.get_template("page.html")
    text = page.render(title=title, lead=list(lead), parts=list(parts), files=list(files))
    path.write_text(text, encoding="utf-8")
    return path


def show(part: Part) -> None:
    """Show the text and the tables of a section in a notebook; its figures are shown where they are drawn."""
    from IPython.display import Markdown, display

    for line in part.text:
        display(Markdown(line))
    for table in part.tables:
        if table.rows:
            display(table.frame.style.hide(axis="index").format(digits).set_caption(table.caption))
