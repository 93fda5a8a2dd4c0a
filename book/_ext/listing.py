"""One page per chapter with the code of its figures and tables: the cell of the notebook and the functions it calls.

The code is shown as it was when the figure was drawn. If the checkout has changed since, the code is read from Git at
the commit in the provenance; the page states which version it shows.
"""

from __future__ import annotations

import ast
import hashlib
import html
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from origin import EXECUTED
from sphinx.application import Sphinx

from mammogan.report import provenance


def cells(notebook: Path) -> list[str]:
    """Return the sources of the code cells of a notebook."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]


def drawn(notebook: Path) -> dict[str, str]:
    """Return the code of every figure, by the `{csv}` link of its caption, and of every table of the results, by name.

    A cell that only shows the work of an earlier cell is preceded by that cell.
    """
    listings: dict[str, str] = {}
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assigned: dict[str, str] = {}  # {variable: cell that assigned it last}
    for cell in content["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        tree = _parse(source)
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        calls = any(isinstance(node, ast.Call) for node in ast.walk(tree))
        before = [] if calls else list(dict.fromkeys(assigned[name] for name in sorted(used) if name in assigned))
        code = "\n\n".join([*before, source])
        caption = cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "")
        names = re.findall(r"\{csv\}`[\w-]+/([\w.-]+)`", caption)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                assigned |= {n.id: source for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("results.figure", "results.table")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                names.append(str(node.args[0].value))
        for name in names:
            listings.setdefault(name, code)
    return listings


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:  # a cell with a magic draws no numbered figure
        return ast.Module([], [])


def names(notebook: Path) -> dict[str, str]:
    """Return the names that a notebook imports from the package: {"style": "mammogan.report.style"}."""
    imported = {}
    for source in cells(notebook):
        for node in ast.walk(_parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mammogan":
                imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return imported


def called(source: str, imported: dict[str, str], root: Path) -> list[tuple[str, str]]:
    """Return the functions of the package that a cell calls: (path below the root, name), in the order of the calls."""
    functions: dict[tuple[str, str], None] = {}
    for node in ast.walk(_parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func).split(".")
        if function[0] not in imported:
            continue
        parts = [*imported[function[0]].split("."), *function[1:]]
        for end in range(len(parts) - 1, 0, -1):
            path = Path(*parts[:end]).with_suffix(".py")
            if (root / path).is_file():
                functions[path.as_posix(), parts[end]] = None
                break
    return list(functions)


def definition(text: str, name: str) -> tuple[str, int, int] | None:
    """Return source, first and last line of a function or class at the top of a module; None where there is none."""
    for node in _parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno]), first, node.end_lineno or first
    return None


def at_commit(record: dict[str, Any], path: str, root: Path) -> tuple[str, str]:
    """Return the text of a module as it was when a stage ran, as far as that is available, and which version it is."""
    before = record.get("modules", {}).get(path)
    file = root / path
    if file.is_file() and (before is None or provenance.file_hash(file) == before):
        return file.read_text(encoding="utf-8"), "as it ran" if before else "as it is now"
    command = ["git", "-C", str(root), "show", f"{record['commit']}:{path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.returncode:
        same = hashlib.sha256(done.stdout.encode()).hexdigest() == before
        return done.stdout, "as it ran, from Git" if same else "as it was committed; it ran with local changes"
    if file.is_file():
        return file.read_text(encoding="utf-8"), "as it is now: changed since it ran, and its commit is not available"
    return "", "deleted since"


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield one page per chapter."""
    if app.builder.name == "singlehtml":
        return
    root = Path(app.config.mammogan_root)
    for stage, record in app.env.mammogan_provenance.items():  # type: ignore[attr-defined]
        notebook = Path(app.srcdir) / EXECUTED / f"{stage}.ipynb"
        imported = names(notebook)
        commit = record["commit"][:10] + (" with local changes" if record["dirty"] else "")
        up = f"../{EXECUTED}/{stage}.html"
        parts = [
            f"<section><h1>Code of {stage}</h1><p>The code of each figure and table of "
            f'<a href="{up}">the chapter</a>: the cell of its notebook, and the functions of the library that the cell '
            f"calls. The chapter ran at commit {html.escape(commit)}.</p>"
        ]
        for name, source in drawn(notebook).items():
            parts.append(f'<section id="{html.escape(name)}"><h2>{html.escape(name)}</h2>')
            parts.append(f"<p>Cell of <code>notebooks/{stage}.ipynb</code>, as it ran.</p>{_highlight(app, source)}")
            for path, function in called(source, imported, root):
                text, state = at_commit(record, path, root)
                if found := definition(text, function):
                    body, first, last = found
                    where = f"<code>{path}</code>, lines {first} to {last}, {state}"
                    if app.config.mammogan_repository and record["commit"] != "unknown":
                        base = app.config.mammogan_repository.rstrip("/")
                        where += f' (<a href="{base}/blob/{record["commit"]}/{path}#L{first}-L{last}">repository</a>)'
                    parts.append(f"<p>{where}.</p>{_highlight(app, body)}")
            parts.append("</section>")
        parts.append("</section>")
        yield f"code/{stage}", {"title": f"Code of {stage}", "body": "".join(parts), "quotes": stage}, "page.html"


def _highlight(app: Sphinx, source: str) -> str:
    return f'<div tabindex="0" class="listing">{app.builder.highlighter.highlight_block(source, "python3")}</div>'  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the pages with Sphinx."""
    app.add_config_value("mammogan_repository", "", "html")
    app.connect("html-collect-pages", pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
