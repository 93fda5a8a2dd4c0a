"""Sphinx extension of the book: numbers from results.json, the paper beside them, and where each page comes from.

Roles and directives (also inside notebooks and figure captions)::

    {val}`alignment.n.real`             the number with its format and unit
    {val}`alignment.n.real:interval`    its 95 % interval
    {val}`alignment.n.real:paper`       the paper's number
    {csv}`alignment/moments`           link to the CSV behind a figure
    ```{compare} readers.table4.*       table of paper and reproduction for the keys that match
    ```

An unknown key is a warning, and the book is built with -W.
"""

from __future__ import annotations

import fnmatch
import html
import json
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)

STAGES = {
    "preprocessing": "01_preprocessing",
    "training": "02_progressive_training",
    "artifacts": "03_artifact_inspection",
    "alignment": "04_moment_alignment",
    "readers": "05_reader_statistics",
}
EXECUTED = "book/executed"
MATHJAX = "node_modules/mathjax/es5/tex-mml-svg.js"


def format_value(value: float | str, entry: dict[str, Any], unit: bool = True) -> str:
    """A number as the book prints it: by its own format, or whole, or to three significant digits."""
    if isinstance(value, str):
        text = value
    elif entry.get("format"):
        text = format(value, entry["format"])
    elif float(value).is_integer():
        text = f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if abs(value) >= 10_000 else f"{int(value)}"
    else:
        text = f"{value:.3g}"
    text = text.replace("-", "\N{MINUS SIGN}") if not isinstance(value, str) else text
    return f"{text}\N{NO-BREAK SPACE}{entry['unit']}" if unit and entry.get("unit") else text


def format_interval(entry: dict[str, Any]) -> str:
    """The 95 % interval in words."""
    low, high = (format_value(bound, entry, unit=False) for bound in entry["interval"])
    return f"{low} to {format_value(entry['interval'][1], entry)}" if low != high else low


def load(app: Sphinx) -> None:
    """Read all results and provenance records, and say what is missing or wrong."""
    results: dict[str, dict[str, Any]] = {}
    provenance: dict[str, dict[str, Any]] = {}
    folder = Path(app.srcdir) / EXECUTED
    for stage in STAGES.values():
        notebook = folder / f"{stage}.ipynb"
        if not notebook.is_file():
            logger.warning("%s/%s.ipynb is missing: run the notebooks first (make book)", EXECUTED, stage)
            continue
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    logger.warning("%s holds a failed cell (%s): run it again", stage, output["ename"])
        for name, target in (("results", results), ("provenance", provenance)):
            path = folder / stage / f"{name}.json"
            if not path.is_file():
                logger.warning("%s/%s/%s.json is missing: run the notebook again", EXECUTED, stage, name)
                continue
            content = json.loads(path.read_text(encoding="utf-8"))
            target.update(content if name == "results" else {stage: content})
    app.env.mammogan_results = results  # type: ignore[attr-defined]
    app.env.mammogan_provenance = provenance  # type: ignore[attr-defined]


def _note_dependency(env: Any, key: str) -> None:
    """Rebuild the page when the results that it quotes change."""
    stage = STAGES.get(key.split(".")[0].split("/")[0])
    if stage:
        env.note_dependency(str(Path(env.srcdir) / EXECUTED / stage / "results.json"))


class ValueRole(SphinxRole):
    """{val}`chapter.key`, {val}`chapter.key:interval`, {val}`chapter.key:paper`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        key, _, part = self.text.partition(":")
        _note_dependency(self.env, key)
        entry = self.env.mammogan_results.get(key)
        if entry is None or (part and part not in entry):
            what = f"result {self.text!r}" if part in ("", "interval", "paper") else f"part {part!r}"
            logger.warning("there is no %s", what, location=(self.env.docname, self.lineno))
            return [nodes.strong(self.text, f"[unknown: {self.text}]")], []
        if part == "interval":
            text = format_interval(entry)
        else:
            text = format_value(entry["paper"] if part == "paper" else entry["value"], entry)
        return [nodes.inline(self.text, text, classes=["val"])], []


class CsvRole(SphinxRole):
    """{csv}`chapter/name`: link to the CSV behind a figure."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        chapter, _, name = self.text.partition("/")
        stage = STAGES.get(chapter, "")
        path = Path(self.env.srcdir) / EXECUTED / stage / "data" / f"{name}.csv"
        if not stage or not path.is_file():
            logger.warning("there is no data %r", self.text, location=(self.env.docname, self.lineno))
            return [nodes.strong(self.text, f"[unknown: {self.text}]")], []
        depth = self.env.docname.count("/")
        target = f"{'../' * depth}data/{stage}/{name}.csv"
        return [nodes.reference(self.text, "data (CSV)", refuri=target, classes=["data-link"])], []


class Compare(SphinxDirective):
    """Table of the paper's numbers and ours, for the keys that match a pattern."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        pattern = self.arguments[0]
        _note_dependency(self.env, pattern)
        rows = [
            entry
            for key, entry in self.env.mammogan_results.items()
            if "paper" in entry and fnmatch.fnmatchcase(key, pattern)
        ]
        if not rows:
            logger.warning("no result with a paper's value matches %r", pattern, location=self.get_location())
            return []
        header = ["", "Paper", "Here", "Tolerance", "Verdict", "How"]
        table = nodes.table(classes=["compare"])
        group = nodes.tgroup(cols=len(header))
        table += group
        for width in (24, 10, 26, 10, 18, 42):
            group += nodes.colspec(colwidth=width)
        head, body = nodes.thead(), nodes.tbody()
        group += [head, body]
        head += _row([nodes.Text(text or "Quantity") for text in header])
        for entry in rows:
            here = format_value(entry["value"], entry)
            if "interval" in entry:
                here += f" ({format_interval(entry)})"
            tolerance = entry["tolerance"]
            verdict = entry["verdict"]
            body += _row(
                [
                    nodes.Text(entry["label"]),
                    nodes.Text(format_value(entry["paper"], entry)),
                    nodes.Text(here),
                    nodes.Text("none" if tolerance is None else "exact" if tolerance == 0 else f"±{tolerance:g}"),
                    nodes.inline("", verdict, classes=["verdict", "verdict-" + verdict.replace(" ", "-")]),
                    nodes.Text(entry["how"]),
                ]
            )
        # A wide table scrolls by itself on a narrow screen, and the keyboard can reach it.
        before = '<div class="compare-scroll" role="group" aria-label="Paper and reproduction" tabindex="0">'
        return [nodes.raw("", before, format="html"), table, nodes.raw("", "</div>", format="html")]


def _row(cells: list[nodes.Node]) -> nodes.row:
    row = nodes.row()
    for content in cells:
        entry = nodes.entry()
        entry += nodes.paragraph("", "", content)
        row += entry
    return row


def banner(provenance: dict[str, dict[str, Any]]) -> str:
    """What every page says first: which run its numbers come from."""
    if not provenance:
        return ""
    records = list(provenance.values())
    newest = max(records, key=lambda record: record["date"])
    profile, data = newest["profile"], html.escape(newest["data"])
    commit = newest["commit"][:10] + (" with local changes" if newest["dirty"] else "")
    hours = sum(record["seconds"] for record in records) / 60
    facts = f"{data}; {html.escape(newest['device'])}; {hours:.1f} minutes; {newest['date'][:10]}; commit {commit}"
    if profile == "smoke":
        text = (
            "<strong>SMOKE RUN.</strong> These numbers come from a run of minutes that only proves the machinery. "
            "Do not quote them as results: the generator is tiny and hardly trained."
        )
    else:
        text = f"<strong>Profile {html.escape(profile)}.</strong>"
    kind = "smoke" if profile == "smoke" else "calm"
    return f'<div class="run-banner run-banner-{kind}" role="note">{text} <span>Made from {facts}.</span></div>'


def provenance_block(record: dict[str, Any]) -> str:
    """All that is known about the run behind a chapter."""
    rows = []
    for key, value in record.items():
        if isinstance(value, dict):
            text = "; ".join(f"{name} = {item}" for name, item in value.items())
        else:
            text = (
                {True: "yes", False: "no", None: "none"}.get(value, value) if isinstance(value, bool | None) else value
            )
        rows.append(f'<tr><th scope="row">{html.escape(key)}</th><td>{html.escape(str(text))}</td></tr>')
    return (
        '<details class="provenance"><summary>Where the results of this page come from</summary>'
        f"<table>{''.join(rows)}</table></details>"
    )


def add_provenance(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Put the banner above every page and the record below each chapter."""
    if "body" not in context:
        return
    records = app.env.mammogan_provenance
    below = ""
    stage = Path(page).name
    if stage in records:
        below = provenance_block(records[stage])
    # The live-code library is declared twice by the theme, which is a script error, and this book has no kernel.
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{getattr(script, 'filename', script)}{getattr(script, 'attributes', '')}".lower()
    ]
    context["body"] = banner(records) + context["body"] + below


def copy_files(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax and the data behind the figures into the HTML."""
    if error or app.builder.format != "html":
        return
    source, target = Path(app.srcdir), Path(app.outdir)
    script = target / "_static" / "mathjax" / "tex-mml-svg.js"
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / MATHJAX, script)
    for stage in STAGES.values():
        data = source / EXECUTED / stage / "data"
        if data.is_dir():
            shutil.copytree(data, target / "data" / stage, dirs_exist_ok=True)


def check_mathjax(app: Sphinx) -> None:
    if not (Path(app.srcdir) / MATHJAX).is_file():
        logger.warning("%s is missing: run make setup", MATHJAX)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("val", ValueRole())
    app.add_role("csv", CsvRole())
    app.add_directive("compare", Compare)
    app.connect("builder-inited", load)
    app.connect("builder-inited", check_mathjax)
    app.connect("html-page-context", add_provenance)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
