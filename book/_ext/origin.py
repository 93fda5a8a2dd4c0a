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
LONG = ("modules", "files", "notebook")  # fields of a record that the badge shows, or that only machines read


def banner(records: dict[str, dict[str, Any]]) -> str:
    """Return the first line of every page: the run that its numbers come from."""
    if not records:
        return ""
    newest = max(records.values(), key=lambda record: record["date"])
    profile, data = newest["profile"], html.escape(newest["data"])
    minutes = sum(record["seconds"] for record in records.values()) / 60
    devices = " and ".join(dict.fromkeys(html.escape(record["device"]) for record in records.values()))
    commits = dict.fromkeys(record["commit"][:10] for record in records.values())
    local = " with local changes" if any(record["dirty"] for record in records.values()) else ""
    spent = f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
    facts = [data, devices, spent, newest["date"][:10], f"commit {', '.join(commits)}{local}"]
    # The last chapter that rests on images: the first one may show other images than those of the published run.
    if hashes := [records[stage]["data_hash"] for stage in sorted(records) if records[stage]["data_hash"]]:
        facts.append(f"data {hashes[-1][:10]}")
    if profile == SMOKE:
        text = (
            "<strong>SMOKE RUN.</strong> These numbers come from a run of a few minutes, which only shows that the "
            "machinery works. Do not quote them as results: the generator is tiny and hardly trained."
        )
    else:
        text = f"<strong>Profile {html.escape(profile)}.</strong>"
    kind = "smoke" if profile == SMOKE else "calm"
    return (
        f'<div class="run-banner run-banner-{kind}" role="note">{text} <span>Made from {"; ".join(facts)}.</span></div>'
    )


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
    """Return the badge of a page that quotes these stages: current, stale (with the files that changed), or unknown."""
    stages = [stage for stage in stages if stage in records]
    changed = stale(stages, records, root)
    if not stages:
        return ""
    if changed is None:
        text = "The code that made these numbers is not recorded."
        return f'<p class="code-badge code-badge-unknown" data-stale="unknown">{text}</p>'
    names = chain(stages, records)
    files = {path: name for name in names for path in [*records[name]["modules"], f"notebooks/{name}.ipynb"]}
    old = {path: name for name, paths in changed.items() for path in paths}
    if old:
        kind = "stale"
        summary = f"Stale: {len(old)} of the {len(files)} files of code that made these numbers have changed since."
    else:
        kind = "current"
        summary = f"Current: the {len(files)} files of code that made these numbers are unchanged."
    items = [
        f"<li><code>{html.escape(path)}</code> <strong>changed</strong> since {html.escape(old[path])} ran "
        f"(commit {records[old[path]]['commit'][:10]})</li>"
        for path in sorted(old)
    ]
    items += [f"<li><code>{html.escape(path)}</code> unchanged</li>" for path in sorted(files) if path not in old]
    return (
        f'<details class="code-badge code-badge-{kind}" data-stale="{kind}"><summary>{summary}</summary>'
        f"<ul>{''.join(items)}</ul></details>"
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
    """Add banner and badge above every page, and the record below each chapter."""
    if "body" not in context:
        return
    records = app.env.mammogan_provenance  # type: ignore[attr-defined]
    stage = Path(page).name
    quoted = set(app.env.metadata.get(page, {}).get(QUOTED, "").split()) | ({stage} & records.keys())
    if app.builder.name == "singlehtml":
        quoted = set(records)
    above = banner(records) + badge(sorted(quoted), records, Path(app.config.mammogan_root))
    below = block(records[stage]) if stage in records else ""
    context["body"] = above + context["body"] + below


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
