"""Prepare pictures and plots of the HTML pages.

- Every picture is stored as lossless WebP (the same gray levels, a fraction of the bytes), with its size, and loads
  when a reader scrolls to it. It links to the whole picture, which a script opens in a viewer that zooms.
- A figure with a link to its data shows the file that its notebook wrote, a chart as SVG.
- A figure whose image has a class `plot-KIND` (in the metadata of the cell) becomes an interactive plot of its CSV. The
  picture remains for print, and for readers without scripts.
- Negative numbers have minus signs.
- Targets of references (figures, citations, equations) are collected for previews.

A page that is opened from a disk may not fetch files; its data are therefore scripts that load when needed.
"""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from origin import EXECUTED
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util import logging

from mammogan.report.signs import page_with_minus

logger = logging.getLogger(__name__)

KINDS = ("clouds", "contours", "growth", "equivalence")
OPENSEADRAGON = "node_modules/openseadragon/build/openseadragon/openseadragon.min.js"
FULL = "_images/full"

FIGURE = re.compile(r"<figure\b.*?</figure>", re.S)
IMAGE = re.compile(r"<img\b[^>]*>", re.S)
DATA = re.compile(r'href="[^"]*?data/([\w.-]+)/([\w.-]+)\.csv"')
ARTICLE = re.compile(r"<article\b.*</article>", re.S)
TARGETS = (
    re.compile(r'<figure\b[^>]*\bid="(?P<id>[^"]+)".*?</figure>', re.S),
    re.compile(r'<div class="citation" id="(?P<id>[^"]+)".*?</div>', re.S),
    re.compile(r'<div class="math-block[^"]*" id="(?P<id>[^"]+)".*?</div>', re.S),
)


def attribute(tag: str, name: str) -> str:
    """Return an attribute of an HTML tag; "" where it has none."""
    match = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(match[1]) if match else ""


def webp(source: Path, target: Path) -> None:
    """Store a picture as lossless WebP."""
    with Image.open(source) as picture:
        target.parent.mkdir(parents=True, exist_ok=True)
        # More effort (quality, for a lossless picture) takes a fifth more time, and a hundredth off the size.
        picture.save(target, "WEBP", lossless=True, quality=30, method=4)


class Page:
    """Pictures and plots of one page."""

    def __init__(self, app: Sphinx, page: str) -> None:
        self.app, self.page = app, page
        self.up = "../" * page.count("/")
        self.out = Path(app.outdir)
        self.static = app.builder.name == "singlehtml"
        self.stored: list[Future[None]] = []
        # {name below _images: source} of all pictures that pages show.
        self.sources = {name: Path(app.srcdir) / path for path, name in app.builder.images.items()}

    def rewrite(self, body: str) -> str:
        """Return the body of the page with its pictures and plots."""
        # Pictures take most of the time of a page, and are encoded without Python's lock.
        with ThreadPoolExecutor(os.cpu_count()) as self.pool:
            body = FIGURE.sub(lambda match: self.figure(match[0]), body)
            body = IMAGE.sub(lambda match: self.image(match[0]), body)
        for stored in self.stored:
            stored.result()
        return body

    def store(self, source: Path, target: Path) -> tuple[int, int]:
        """Store a picture as WebP, once, and return (width, height)."""
        if not target.is_file() or target.stat().st_mtime < source.stat().st_mtime:
            self.stored.append(self.pool.submit(webp, source, target))
        with Image.open(source) as picture:
            return picture.size

    def figure(self, text: str) -> str:
        """Return a figure with its picture as it was written, and an interactive plot where its class asks for one.

        Charts are shown as SVG, radiographs by two pixels per pixel of the page.
        """
        tag, data = IMAGE.search(text), DATA.search(text)
        if not tag or not data:
            return text
        stage, name = data.groups()
        picture = Path(self.app.srcdir) / EXECUTED / stage / "figures" / f"{name}.png"
        if not picture.is_file():
            return text
        width, height = self.store(picture, self.out / f"{FULL}/{stage}-{name}.webp")
        source = f"{FULL}/{stage}-{name}.webp"
        if picture.with_suffix(".svg").is_file():
            source = f"_images/{stage}-{name}.svg"
            (self.out / "_images").mkdir(exist_ok=True)
            shutil.copyfile(picture.with_suffix(".svg"), self.out / source)
        given = re.sub(r'\b(src|style|width|height)="[^"]*"', "", tag[0]).rstrip("/> ")
        kind = "chart" if source.endswith("svg") else "radiographs"
        given = re.sub(r'class="', f'class="{kind} ', given) if "class=" in given else f'{given} class="{kind}"'
        image = f'{given} src="{self.up}{source}" width="{width // 2}" height="{height // 2}"'
        done = self.linked(image, f"{FULL}/{stage}-{name}.webp")
        if plot := next((c.removeprefix("plot-") for c in attribute(tag[0], "class").split() if "plot-" in c), ""):
            done += self.plot(plot, stage, name)
        return text.replace(tag[0], done)

    def image(self, tag: str) -> str:
        """Return an image as WebP that loads late, with its size and a link to the whole picture."""
        if "data-done" in tag:
            return tag
        source = self.sources.get(Path(attribute(tag, "src")).name)
        if "_images/" not in attribute(tag, "src") or source is None or not source.is_file():
            return tag
        if source.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            return tag
        name = f"{source.stem}.webp"
        width, height = self.store(source, self.out / "_images" / name)
        given = re.sub(r'\b(src|style|width|height)="[^"]*"', "", tag).rstrip("/> ")
        return self.linked(
            f'{given} src="{self.up}_images/{name}" width="{width}" height="{height}"', f"_images/{name}"
        )

    def linked(self, image: str, target: str) -> str:
        """Return an image tag, without its end, as an image that loads late and links to the whole picture."""
        if self.static:
            return f'{image} data-done="1">'
        alt = attribute(image, "alt")
        label = html.escape(f"Enlarge: {alt}" if alt else "Enlarge")
        image = f'{image} loading="lazy" decoding="async" data-done="1">'
        return f'<a class="zoom" href="{self.up}{target}" aria-label="{label}">{image}</a>'

    def plot(self, kind: str, stage: str, name: str) -> str:
        """Write the data of an interactive plot, and return its element."""
        if kind not in KINDS:
            logger.warning("there is no plot %r; there are %s", kind, ", ".join(KINDS), location=self.page)
            return ""
        if self.static:
            return ""
        script = f"data/{stage}/{name}.js"
        frames = Path(self.app.srcdir) / EXECUTED / stage / "figures" / name
        if kind == "growth":
            content = self.frames(stage, name, frames)
        else:
            with (Path(self.app.srcdir) / EXECUTED / stage / "data" / f"{name}.csv").open(newline="") as file:
                rows = list(csv.reader(file))
            content = {"columns": rows[0], "rows": [[_number(cell) for cell in row] for row in rows[1:]]}
        target = self.out / script
        target.parent.mkdir(parents=True, exist_ok=True)
        key = f"{stage}/{name}"
        target.write_text(f"(window.mammoganData ??= {{}})[{json.dumps(key)}] = {json.dumps(content)};\n")
        return f'<div class="plot" data-kind="{kind}" data-key="{key}" data-script="{self.up}{script}"></div>'

    def frames(self, stage: str, name: str, folder: Path) -> list[dict[str, str]]:
        """Store the frames of a film, and return their labels, files and sizes."""
        record = folder / "frames.json"
        if not record.is_file():
            logger.warning("%s has no frames: write them with results.frames(%r, ...)", stage, name, location=self.page)
            return []
        content = []
        for frame in json.loads(record.read_text(encoding="utf-8")):
            target = f"{FULL}/{stage}-{name}-{Path(frame['file']).stem}.webp"
            width, height = self.store(folder / frame["file"], self.out / target)
            content.append({"label": frame["label"], "src": target, "width": str(width), "height": str(height)})
        return content


def _number(text: str) -> float | str:
    """Return a cell as a number of six digits, which is more than a screen resolves and a third of the bytes."""
    try:
        return float(f"{float(text):.6g}")
    except ValueError:
        return text


def add(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Rewrite the body of a page."""
    # The live-code library is declared twice by the theme, which is a script error, and this book has no kernel.
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{getattr(script, 'filename', script)}{getattr(script, 'attributes', '')}".lower()
    ]
    if "body" not in context:
        return
    context["body"] = page_with_minus(Page(app, page).rewrite(context["body"]))


def preview(text: str, page: str) -> str:
    """Return a target as other pages show it: without identifiers and plots; pictures are named from the root."""
    text = re.sub(r'<div class="plot".*?</div>|<a class="headerlink".*?</a>', "", text, flags=re.S)
    text = re.sub(r"</?a\b[^>]*>", "", text)
    text = re.sub(r'\s(id|loading|role)="[^"]*"', "", text)
    up = "../" * page.count("/")
    return (
        text.replace(f'src="{up}_images/', 'src="{root}_images/') if up else text.replace('src="_im', 'src="{root}_im')
    )


def start(app: Sphinx) -> None:
    """Warn where the viewer is missing."""
    if not (Path(app.srcdir) / OPENSEADRAGON).is_file():
        logger.warning("%s is missing: run make setup", OPENSEADRAGON)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Copy the data of the figures and the viewer, write the previews, and remove scripts that only add weight."""
    if error or app.builder.format != "html":
        return
    source, target = Path(app.srcdir), Path(app.outdir)
    for data in sorted((source / EXECUTED).glob("*/data")):
        shutil.copytree(data, target / "data" / data.parent.name, dirs_exist_ok=True)
    if app.builder.name == "singlehtml":
        for page in target.rglob("*.html"):
            page.write_text(for_print(page.read_text(encoding="utf-8")), encoding="utf-8")
        return
    viewer = target / "_static" / "openseadragon.min.js"
    shutil.copyfile(source / OPENSEADRAGON, viewer)
    previews, excerpts, used = {}, {}, set()
    for page in sorted(target.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        used |= set(re.findall(r"_images/([\w.-]+)", text))
        name = page.relative_to(target).with_suffix("").as_posix()
        for pattern in TARGETS:
            previews |= {f"{name}.html#{match['id']}": preview(match[0], name) for match in pattern.finditer(text)}
        if article := ARTICLE.search(text):
            excerpts[f"{name}.html"] = f'<div role="main">{article[0]}</div>'  # the part that the search reads
        light = mend(lighten(text))
        if light != text:
            page.write_text(light, encoding="utf-8")
    (target / "_static" / "previews.js").write_text(f"window.mammoganPreviews = {json.dumps(previews)};\n")
    (target / "_static" / "excerpts.js").write_text(f"window.mammoganExcerpts = {json.dumps(excerpts)};\n")
    # Sphinx copies the originals of pictures that no page shows any more.
    for name in set(app.builder.images.values()) - used:
        (target / "_images" / name).unlink(missing_ok=True)


def for_print(text: str) -> str:
    """Return a page whose links lead to itself or to the web, since a PDF must not name files of this machine."""

    def link(match: re.Match[str]) -> str:
        address = match[2]
        if address.startswith(("#", "http:", "https:", "mailto:")):
            return match[0]
        _, sharp, anchor = address.partition("#")
        return f'{match[1]}href="#{anchor}"' if sharp and anchor else match[1]

    return re.sub(r'(<a\b[^>]*?)\bhref="([^"]*)"', link, lighten(text))


def lighten(text: str) -> str:
    """Return a page without the 1.5 MB script of icons, which the style sheet of the theme has as a font."""
    return re.sub(r"<(script|link)\b[^>]*fontawesome\.js[^>]*>(</script>)?\s*", "", text)


def mend(text: str) -> str:
    """Return a page with roles that readers of screens know, where extensions and the theme give others."""
    text = re.sub(r' role="(doc-biblioentry|doc-backlink)"', "", text)
    text = re.sub(r'(class="bd-sidebar-primary [^"]*")', r'\1 role="navigation" aria-label="Book"', text)
    return re.sub(r'(<div class="citation-list")? role="list"', r"\1", text) if "citation-list" in text else text


def setup(app: Sphinx) -> dict[str, Any]:
    """Register pictures and plots with Sphinx."""
    app.connect("builder-inited", start)
    app.connect("html-page-context", add, priority=600)
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
