"""Typeset formulas as SVG with MathJax in Node when the book is built, so that no page loads MathJax."""

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
    """One Node process for all formulas of a process of the build, started with the first formula."""

    def __init__(self, app: Sphinx) -> None:
        self.app = app
        self.process: subprocess.Popen[str] | None = None
        self.owner = 0
        self.typeset: dict[tuple[str, bool], str] = {}

    def _start(self) -> subprocess.Popen[str]:
        # `make setup` puts Node into the virtual environment where the machine has none.
        node = shutil.which("node") or str(Path(sys.executable).with_name("node"))
        package = (Path(self.app.srcdir) / MATHJAX).resolve()
        script = Path(__file__).with_suffix(".js")
        return subprocess.Popen(
            [node, str(script), str(package)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def svg(self, tex: str, display: bool) -> str:
        """Return a formula as an SVG element; if that fails, warn and return the source."""
        if (tex, display) in self.typeset:
            return self.typeset[tex, display]
        if self.process is None or self.owner != os.getpid():  # the pages are written by several processes
            self.process, self.owner = self._start(), os.getpid()
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        svg = json.loads(line)["svg"] if line else ""
        if not svg or 'data-mml-node="merror"' in svg:
            logger.warning("MathJax does not accept the formula %r", tex)
            svg = f"<code>{html.escape(tex)}</code>"
        self.typeset[tex, display] = svg
        return svg

    def stop(self, *_: object) -> None:
        """End the Node process."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.wait(timeout=30)
            self.process = None


def _markup(translator: Any, tex: str, display: bool) -> str:
    svg = translator.builder.app.mammogan_typesetter.svg(tex, display)
    # A screen reader reads the source instead of the picture.
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1) if "aria-hidden" not in svg else svg
    kind = "math math-display" if display else "math math-inline"
    return f'<span class="{kind} notranslate nohighlight" role="math" aria-label="{html.escape(tex)}">{svg}</span>'


def visit_inline(translator: Any, node: nodes.Element) -> None:
    """Write a formula of a sentence."""
    translator.body.append(_markup(translator, node.astext(), False))
    raise nodes.SkipNode


def visit_display(translator: Any, node: nodes.Element) -> None:
    """Write a formula of its own line."""
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
    """Prepare the typesetter, and warn where MathJax is missing."""
    app.mammogan_typesetter = Typesetter(app)  # type: ignore[attr-defined]
    if not (Path(app.srcdir) / MATHJAX).is_dir():
        logger.warning("%s is missing: run make setup", MATHJAX)


def stop(app: Sphinx, _: Exception | None) -> None:
    """End the typesetter after a build."""
    app.mammogan_typesetter.stop()  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer("svg", (visit_inline, None), (visit_display, None))
    app.connect("builder-inited", check)
    app.connect("build-finished", stop)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
