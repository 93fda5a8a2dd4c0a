"""Describe each page for search engines and previews of links: a sentence, and a picture of what the book found."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from docutils import nodes
from origin import EXECUTED
from PIL import Image
from sphinx.application import Sphinx

SIZE = (1200, 630)  # pixels, the proportions that previews of links have
LONGEST = 200  # characters of a description
PARTS = ("05_reader_statistics/figures/readers.png", "02_progressive_training/figures/sixteen.png")
TARGET = "_static/preview.png"


def description(page: nodes.document) -> str:
    """Return the beginning of the first paragraph of a page that is more than a line."""
    texts = (" ".join(paragraph.astext().split()) for paragraph in page.findall(nodes.paragraph))
    text = next((text for text in texts if len(text) > LONGEST // 3), "")
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + "\N{HORIZONTAL ELLIPSIS}"


def add(app: Sphinx, page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add the description of a page, and what previews of a link to it show."""
    if doctree is None:
        return
    # Previews need whole addresses, which `html_baseurl` gives where the book is published.
    base = app.config.html_baseurl or "../" * page.count("/")
    facts = {"og:title": context.get("title", ""), "og:type": "article", "og:image": f"{base}{TARGET}"}
    tags = [("name", "description", description(doctree)), ("property", "og:description", description(doctree))]
    tags += [("property", name, text) for name, text in facts.items()]
    text = "".join(f'<meta {kind}="{name}" content="{html.escape(text)}">\n' for kind, name, text in tags if text)
    context["metatags"] = context.get("metatags", "") + text


def picture(executed: Path) -> Image.Image | None:
    """Return the readers of the paper next to sixteen synthetic images; None where a chapter did not draw them."""
    if not all((executed / part).is_file() for part in PARTS):
        return None
    readers, images = (Image.open(executed / part).convert("RGB") for part in PARTS)
    images.thumbnail((SIZE[0], SIZE[1]), Image.Resampling.LANCZOS)
    readers.thumbnail((SIZE[0] - images.width, SIZE[1]), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", SIZE, "white")
    canvas.paste(readers, (0, (SIZE[1] - readers.height) // 2))
    canvas.paste(images, (SIZE[0] - images.width, (SIZE[1] - images.height) // 2))
    return canvas


def finish(app: Sphinx, error: Exception | None) -> None:
    """Write the picture."""
    if not error and app.builder.name == "html" and (made := picture(Path(app.srcdir) / EXECUTED)):
        made.save(Path(app.outdir) / TARGET, optimize=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the description and the picture with Sphinx."""
    app.connect("html-page-context", add)
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
