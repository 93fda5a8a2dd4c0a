"""Keep part of a page closed until a reader opens it; print opens all of it.

Directive::

    :::{fold} Candidates left after each step
    a table, or anything else
    :::
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Fold(SphinxDirective):
    """Part of a page that is closed, below its title, as the folded output of a cell is."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        holder = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, holder)
        before = f'<details class="hide"><summary>{escape(self.arguments[0])}</summary>'
        return [nodes.raw("", before, format="html"), *holder.children, nodes.raw("", "</details>", format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("fold", Fold)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
