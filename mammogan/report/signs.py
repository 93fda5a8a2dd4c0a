"""Minus signs of what is read: of pages and figures, not of files that are parsed."""

from __future__ import annotations

import re

from matplotlib.figure import Figure
from matplotlib.text import Text

MINUS = re.compile(r"(?<![\w.-])-(?=\.?\d)")  # the hyphen of a negative number; not of a range, a date or an option
ZERO = re.compile(r"(?<![\w.-])-(?=0(?:\.0+)?(?!\.?\w))")  # its hyphen where the number is 0
# What a reader may copy and run: code, signatures, scripts, sources of formulas; and the inside of tags.
VERBATIM = re.compile(r"(<(pre|code|script|style|textarea|svg|dt)\b.*?</\2>|<[^>]*>)", re.S)


def with_minus(text: str) -> str:
    """Return a text whose negative numbers have a minus sign in place of a hyphen; what was rounded to 0 has none."""
    return MINUS.sub("\N{MINUS SIGN}", ZERO.sub("", text))


def page_with_minus(page: str) -> str:
    """Return a page of HTML whose negative numbers have minus signs; code, formulas and tags stay as they are."""
    parts = VERBATIM.split(page)  # text, what is verbatim, its tag, text, ...
    parts[::3] = map(with_minus, parts[::3])
    return "".join(part for number, part in enumerate(parts) if number % 3 != 2)


def figure_with_minus(figure: Figure) -> None:
    """Give the negative numbers of the labels of a figure minus signs, as Matplotlib gives those of its axes."""
    for text in figure.findobj(Text):
        if "$" not in text.get_text():
            text.set_text(with_minus(text.get_text()))
