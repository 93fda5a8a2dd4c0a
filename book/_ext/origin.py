"""Show the origin of the numbers of a page: the banner above every page, the badge and the record of its chapter.

The badge reports whether the code that made the numbers has changed since, module by module: each provenance.json lists
the modules and the notebook with their hashes (`mammogan.report.provenance`), and the build compares these with the
checkout.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from mammogan.report import provenance

logger = logging.getLogger(__name__)

EXECUTED = "book/executed"
SMOKE = "smoke"
QUOTED = "mammogan_stages"  # key of a page's metadata: the stages whose results it quotes
SEPARATOR = " \N{MIDDLE DOT} "
SMOKE_RUN = (
    "<strong>SMOKE RUN.</strong> These numbers come from a run of a few minutes, which only shows that the machinery "
    "works. Do not quote them as results: the generator is tiny and hardly trained."
)
SHOWS_PEOPLE = (
    "<strong>CONFIDENTIAL: THIS BOOK SHOWS REAL MAMMOGRAMS OF PEOPLE.</strong> It is for those alone who may see them. "
    "Do not publish it, send it or print it for others."
)
LONG = ("modules", "files", "notebook")  # fields of a record that the badge shows, or that only machines read


def facts(records: dict[str, dict[str, Any]]) -> list[str]:
    """Return what the numbers of the book come from: data, time, date and commit."""
    newest = max(records.values(), key=lambda record: record["date"])
    minutes = sum(record["seconds"] for record in records.values()) / 60
    devices = " and ".join(dict.fromkeys(html.escape(record["device"]) for record in records.values()))
    commits = dict.fromkeys(record["commit"][:10] for record in records.values())
    local = " with local changes" if any(record["dirty"] for record in records.values()) else ""
    spent = f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
    told = [f"Data: {html.escape(newest['data'])}", f"{spent} to compute on {devices}", newest["date"][:10]]
    told.append(f"commit {', '.join(commits)}{local}")
    # The last chapter that rests on images: the first one may show other images than those of the published run.
    if hashes := [records[stage]["data_hash"] for stage in sorted(records) if records[stage]["data_hash"]]:
        told.append(f"data {hashes[-1][:10]}")
    return told


def banner(records: dict[str, dict[str, Any]]) -> str:
    """Return the warning above every page of a smoke run, and of a book that shows images of people."""
    warnings = ""
    if any(record["parameters"].get("show_real") for record in records.values()):
        warnings += f'<div class="run-banner run-banner-real" role="note">{SHOWS_PEOPLE}</div>'
    if any(record["profile"] == SMOKE for record in records.values()):
        made = f"<span>{'; '.join(facts(records))}.</span>"
        warnings += f'<div class="run-banner run-banner-smoke" role="note">{SMOKE_RUN} {made}</div>'
    return warnings


def chain(stages: Iterable[str], records: dict[str, dict[str, Any]]) -> list[str]:
    """Return the stages and all that they need, directly or through others, sorted by name."""
    needed: set[str] = set()
    queue = list(stages)
    while queue:
        name = queue.pop()
        if name not in needed and name in records:
            needed.add(name)
            queue += records[name].get("needs", [])
    return sorted(needed)


def stale(stages: Iterable[str], records: dict[str, dict[str, Any]], root: Path) -> dict[str, list[str]] | None:
    """Return the changed files of stages and of those that they need: {stage: files}; None where these are unknown."""
    files = {}
    for name in chain(stages, records):
        changed = provenance.changes(records[name], root)
        if changed is None:
            return None
        if changed:
            files[name] = changed
    return files


def badge(stages: Iterable[str], records: dict[str, dict[str, Any]], root: Path) -> str:
    """Return the line of a page on its numbers: where they come from, and whether their code has changed since.

    The code of the stages that the page quotes is current, stale (with the files that changed), or unknown.
    """
    stages = [stage for stage in stages if stage in records]
    line = [] if not records or any(record["profile"] == SMOKE for record in records.values()) else facts(records)
    if not stages:
        return f'<p class="run-line">{SEPARATOR.join(line)}</p>' if line else ""
    changed = stale(stages, records, root)
    if changed is None:
        text = SEPARATOR.join([*line, "the code that made these numbers is not recorded"])
        return f'<p class="run-line code-badge code-badge-unknown" data-stale="unknown">{text}</p>'
    names = chain(stages, records)
    files = {path: name for name in names for path in [*records[name]["modules"], f"notebooks/{name}.ipynb"]}
    old = {path: name for name, paths in changed.items() for path in paths}
    kind = "stale" if old else "current"
    count = f"{len(old)} of the {len(files)}" if old else f"the {len(files)}"
    line.append(f"{count} files of code that made these numbers {'have changed since' if old else 'are unchanged'}")
    items = [
        f"<li><code>{html.escape(path)}</code> <strong>changed</strong> since {html.escape(old[path])} ran "
        f"(commit {records[old[path]]['commit'][:10]})</li>"
        for path in sorted(old)
    ]
    items += [f"<li><code>{html.escape(path)}</code> unchanged</li>" for path in sorted(files) if path not in old]
    return (
        f'<details class="run-line code-badge code-badge-{kind}" data-stale="{kind}">'
        f"<summary>{SEPARATOR.join(line)}</summary><ul>{''.join(items)}</ul></details>"
    )


def block(record: dict[str, Any]) -> str:
    """Return the record of the run of a chapter as a table."""
    rows = []
    for key, value in record.items():
        if key in LONG:
            continue
        if isinstance(value, dict):
            text = "; ".join(f"{name} = {item}" for name, item in value.items())
        elif isinstance(value, list):
            text = ", ".join(map(str, value)) or "none"
        elif isinstance(value, bool | None):
            text = {True: "yes", False: "no", None: "none"}[value]
        else:
            text = str(value)
        rows.append(f'<tr><th scope="row">{html.escape(key)}</th><td>{html.escape(text)}</td></tr>')
    return (
        '<details class="provenance"><summary>Origin of the results on this page</summary>'
        f"<table>{''.join(rows)}</table></details>"
    )


def check(app: Sphinx) -> None:
    """Warn, and so fail the build, where numbers are stale.

    Numbers that the notebook did not write always fail. Numbers of code that has changed since fail in the smoke
    profile, which runs again in minutes; results of a long run or of another device are shown with their badge.
    """
    folder = Path(app.srcdir) / EXECUTED
    root = Path(app.config.mammogan_root)
    records = app.env.mammogan_provenance  # type: ignore[attr-defined]
    for stage, record in records.items():
        for name, before in record.get("files", {}).items():
            path = folder / stage / name
            if not path.is_file() or provenance.file_hash(path) != before:
                logger.warning("%s/%s is not what its notebook wrote: run it again (mammogan run)", stage, name)
        if record["profile"] == SMOKE and (changed := stale([stage], records, root)):
            files = ", ".join(dict.fromkeys(path for paths in changed.values() for path in paths))
            logger.warning("the numbers of %s are stale, %s changed: run it again (mammogan run)", stage, files)


def add(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Add the banner above every page, the line on its numbers below its title, and the record below each chapter."""
    if "body" not in context:
        return
    records = app.env.mammogan_provenance  # type: ignore[attr-defined]
    stage = Path(page).name
    quoted = set(app.env.metadata.get(page, {}).get(QUOTED, "").split()) | ({stage} & records.keys())
    if app.builder.name == "singlehtml":
        quoted = set(records)
    line = badge(sorted(quoted), records, Path(app.config.mammogan_root))
    below = block(records[stage]) if stage in records else ""
    title, end, rest = context["body"].partition("</h1>")
    body = f"{title}{end}{line}{rest}" if end else line + title
    context["body"] = banner(records) + body + below
    if SHOWS_PEOPLE in context["body"]:
        context["title"] = f"CONFIDENTIAL: {context['title']}"
        context["metatags"] = context.get("metatags", "") + '<meta name="robots" content="noindex, noarchive">'


def note(env: BuildEnvironment, stage: str) -> None:
    """Record that the page being read quotes results of a stage, for its badge."""
    quoted = set(env.metadata[env.docname].get(QUOTED, "").split()) | {stage}
    env.metadata[env.docname][QUOTED] = " ".join(sorted(quoted))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register banner, badge and check with Sphinx."""
    app.add_config_value("mammogan_root", str(provenance.ROOT), "env")
    app.connect("builder-inited", check, priority=600)
    app.connect("html-page-context", add)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
