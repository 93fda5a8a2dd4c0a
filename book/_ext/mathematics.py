"""Formulas as SVG, typeset once by MathJax in Node when the book is built: no page loads MathJax, no reader waits."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)

MATHJAX = "node_modules/mathjax"


class Typesetter:
    """One Node process for all formulas that a process of the build writes; started with the first."""

    def __init__(self, app: Sphinx) -> None:
        self.app = app
        self.process: subprocess.Popen[str] | None = None
        self.owner = 0
        self.known: dict[tuple[str, bool], str] = {}

    def _start(self) -> subprocess.Popen[str]:
        # `make setup` puts Node into the virtual environment where the machine has none.
        node = shutil.which("node") or str(Path(sys.executable).with_name("node"))
        package = (Path(self.app.srcdir) / MATHJAX).resolve()
        script = Path(__file__).with_suffix(".js")
        return subprocess.Popen(
            [node, str(script), str(package)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def svg(self, tex: str, display: bool) -> str:
        """A formula as an SVG element; warns, and returns the source, where it cannot be typeset."""
        if (tex, display) in self.known:
            return self.known[tex, display]
        if self.process is None or self.owner != os.getpid():  # the pages are written by several processes
            self.process, self.owner = self._start(), os.getpid()
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        made = json.loads(line)["svg"] if line else ""
        if not made or 'data-mml-node="merror"' in made:
            logger.warning("the formula %r cannot be typeset", tex)
            made = f"<code>{html.escape(tex)}</code>"
        self.known[tex, display] = made
        return made

    def stop(self, *_: Any) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.wait(timeout=30)
            self.process = None


def _markup(translator: Any, tex: str, display: bool) -> str:
    svg = translator.builder.app.mammogan_typesetter.svg(tex, display)
    # The picture is for the eye; a screen reader hears the source.
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1) if "aria-hidden" not in svg else svg
    kind = "math math-display" if display else "math math-inline"
    return f'<span class="{kind} notranslate nohighlight" role="math" aria-label="{html.escape(tex)}">{svg}</span>'


def visit_inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(_markup(translator, node.astext(), False))
    raise nodes.SkipNode


def visit_display(translator: Any, node: nodes.Element) -> None:
    tex = node.astext()
    if "\\\\" in tex and "\\begin" not in tex:
        tex = f"\\begin{{split}}{tex}\\end{{split}}"
    translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
    translator.body.append(_markup(translator, tex, True))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def check(app: Sphinx) -> None:
    app.mammogan_typesetter = Typesetter(app)  # type: ignore[attr-defined]
    if not (Path(app.srcdir) / MATHJAX).is_dir():
        logger.warning("%s is missing: run make setup", MATHJAX)


def stop(app: Sphinx, _: Exception | None) -> None:
    app.mammogan_typesetter.stop()  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("svg", (visit_inline, None), (visit_display, None))
    app.connect("builder-inited", check)
    app.connect("build-finished", stop)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
