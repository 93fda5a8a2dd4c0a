"""A report as one page of HTML: headings, paragraphs, tables and figures, readable on light and dark, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; margin: 0 0 2rem; }
  caption { text-align: left; font-weight: 600; padding: .5rem 0; }
  th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
  .n { text-align: right; font-variant-numeric: tabular-nums; }
  .warning { border-left: .3rem solid #d55e00; padding-left: .7rem; font-weight: 600; }
  figure { margin: 1rem 0 2rem; }
  figure img { max-width: 100%; background: #fff; }
  figcaption { font-size: .9em; max-width: 50rem; }
</style>
<h1>{{ title }}</h1>
{% for line in lead %}<p>{{ line }}</p>
{% endfor %}
{% for part in parts %}
{% if part.title %}<h2>{{ part.title }}</h2>{% endif %}
{% for line in part.text %}<p{% if line.startswith("WARNING") %} class="warning"{% endif %}>{{ line }}</p>
{% endfor %}
{% for table in part.tables if table.rows %}
<div class="wide"><table>
  <caption>{{ table.caption }}</caption>
  <tr>{% for name in table.header %}
<th scope="col"{% if table.rows[0][loop.index0] is number %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr>
  {% for row in table.rows %}
  <tr>{% for cell in row %}
<td{% if cell is number %} class="n"{% endif %}>{{ cell | digits }}</td>{% endfor %}</tr>
  {% endfor %}
</table></div>
{% endfor %}
{% for picture in part.pictures %}
<figure><img src="{{ picture.source }}" alt="{{ picture.alt }}"><figcaption>{{ picture.caption }}</figcaption></figure>
{% endfor %}
{% endfor %}
{% for name in files %}{% if loop.first %}<h2>Files</h2>
<ul>{% endif %}<li><a href="{{ name }}">{{ name }}</a></li>
{% if loop.last %}</ul>{% endif %}{% endfor %}
</html>
"""


@dataclass
class Table:
    """A table of a page; numbers are set flush right."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass
class Picture:
    """A figure of a page: a file beside it, what it shows in words, and its caption."""

    source: str
    alt: str
    caption: str


@dataclass
class Part:
    """A section of a page; without a title it follows what is above."""

    title: str = ""
    text: Sequence[str] = ()
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def digits(cell: Any) -> Any:
    """A cell as it is printed: fractions with three decimals, or three digits where they are below .01."""
    if isinstance(cell, bool) or not isinstance(cell, float):
        return cell
    if cell.is_integer():
        return int(cell)
    return f"{cell:.3f}" if abs(cell) >= 0.01 else f"{cell:.3g}"


def write_page(path: Path, title: str, lead: Iterable[str], parts: Iterable[Part], files: Iterable[str] = ()) -> Path:
    """Write a page and hand its path back.

    Args:
        path: of the page.
        title: of the page.
        lead: paragraphs below the title.
        parts: sections.
        files: paths of files to link to at the end, relative to the page.
    """
    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters["digits"] = digits
    text = environment.from_string(PAGE).render(title=title, lead=list(lead), parts=list(parts), files=list(files))
    path.write_text(text, encoding="utf-8")
    return path


def show(part: Part) -> None:
    """Show the text and the tables of a section in a notebook; its figures are shown where they are drawn."""
    import pandas as pd
    from IPython.display import Markdown, display

    for line in part.text:
        display(Markdown(line))
    for table in part.tables:
        if table.rows:
            frame = pd.DataFrame(table.rows, columns=list(table.header))
            display(frame.style.hide(axis="index").format(digits).set_caption(table.caption))
