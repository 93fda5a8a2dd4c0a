"""The book: roles and directives, what fails a build, and its pages in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest

from mammogan.provenance import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
STAGES = {
    "01_preprocessing": "preprocessing",
    "02_progressive_training": "training",
    "03_artifact_inspection": "artifacts",
    "04_moment_alignment": "alignment",
    "05_reader_statistics": "readers",
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # one pixel
ENTRY = {"label": "a number", "unit": "%", "format": ".1f", "how": "counted"}


def stage_files(executed: Path, stage: str, profile: str = "smoke") -> None:
    """What the runner publishes of a stage, with a figure whose caption quotes a result."""
    chapter = STAGES[stage]
    folder = executed / stage
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "points.csv").write_text("a,b\n1,2\n")
    entries = {
        f"{chapter}.size": {**ENTRY, "value": 12.34, "interval": [10.0, 15.0], "paper": 12.0, "tolerance": 0.5,
                            "verdict": "reproduced"},
        f"{chapter}.name": {**ENTRY, "value": "40 x 32", "unit": ""},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(entries))
    record = {
        "stage": stage, "profile": profile, "data": "embedded phantoms", "commit": "0123456789abcdef", "dirty": False,
        "date": "2026-01-02T03:04:05+00:00", "device": "CPU", "seed": 0, "seconds": 60.0, "data_hash": "ff",
        "parameters": {"n": 4}, "versions": {"python": "3.11"},
    }  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(record))
    text = f"# Chapter {chapter}\n\nSize {{val}}`{chapter}.size` ({{val}}`{chapter}.size:interval`).\n\n"
    text += f"```{{compare}} {chapter}.*\n```\n"
    picture = nbformat.v4.new_output("display_data", {"image/png": PNG, "text/plain": "figure"})
    figure = {"name": f"fig-{chapter}", "caption": f"n = {{val}}`{chapter}.size` {{csv}}`{chapter}/points`"}
    cell = nbformat.v4.new_code_cell("1", outputs=[picture], execution_count=1)
    cell.metadata = {"mystnb": {"figure": figure, "image": {"alt": "a dot", "classes": "dark-light"}}}
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), cell])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, executed / f"{stage}.ipynb")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The book's real settings and extension around chapters of fixtures."""
    if not (ROOT / "node_modules" / "mathjax").is_dir():
        pytest.skip("node_modules is missing: run make setup")
    shutil.copy(ROOT / "_config.yml", tmp_path / "_config.yml")
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, tmp_path / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book" / "references.bib")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    chapters = "".join(f"  - file: book/executed/{stage}\n" for stage in STAGES)
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    (tmp_path / "book" / "index.md").write_text(
        "# Start\n\n$x^2$ {val}`readers.size:paper` {cite:p}`karras2018`\n\n```{bibliography}\n```\n"
    )
    for stage in STAGES:
        stage_files(tmp_path / "book" / "executed", stage)
    return tmp_path


def build(source: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source), "-W", "-n"]
    return subprocess.run(
        [*command, "--keep-going"], capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    )


def page(source: Path, name: str) -> str:
    return (source / "_build" / "html" / f"{name}.html").read_text()


def test_numbers_tables_banner_and_data(source: Path) -> None:
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    chapter = page(source, "book/executed/05_reader_statistics")
    assert ">12.3\N{NO-BREAK SPACE}%<" in chapter
    assert "10.0 to 15.0\N{NO-BREAK SPACE}%" in chapter
    assert "verdict-reproduced" in chapter
    assert "n = " in chapter.split("caption-text")[1][:200]
    assert '<div class="run-banner run-banner-smoke" role="note">' in chapter
    assert "SMOKE RUN" in page(source, "book/index")
    assert "Where the results of this page come from" in chapter
    assert "Where the results" not in page(source, "book/index")
    assert 'href="../../data/05_reader_statistics/points.csv"' in chapter
    assert (source / "_build/html/data/05_reader_statistics/points.csv").read_text() == "a,b\n1,2\n"
    assert "https://cdn" not in chapter

    # A new number reaches the page in an incremental build, and another profile gets another banner.
    folder = source / "book" / "executed" / "05_reader_statistics"
    shutil.rmtree(folder)
    (folder.parent / "05_reader_statistics.ipynb").unlink()
    stage_files(source / "book" / "executed", "05_reader_statistics")
    results = folder / "results.json"
    results.write_text(results.read_text().replace("12.34", "99.9"))
    for record in (source / "book" / "executed").glob("*/provenance.json"):
        record.write_text(record.read_text().replace('"smoke"', '"reference"'))
    assert build(source).returncode == 0
    assert ">99.9\N{NO-BREAK SPACE}%<" in page(source, "book/executed/05_reader_statistics")
    assert "run-banner-calm" in page(source, "book/executed/05_reader_statistics")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{val}`readers.unknown`", "there is no result 'readers.unknown'"),
        ("{val}`readers.name:interval`", "there is no result 'readers.name:interval'"),
        ("{csv}`readers/unknown`", "there is no data 'readers/unknown'"),
        ("```{compare} nothing.*\n```", "no result with a paper's value matches"),
    ],
)
def test_an_unknown_key_fails_the_build(source: Path, text: str, sentence: str) -> None:
    (source / "book" / "index.md").write_text(f"# Start\n\n{text}\n\n```{{bibliography}}\n:all:\n```\n")
    done = build(source)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr


def test_a_missing_or_failed_notebook_fails_the_build(source: Path) -> None:
    path = source / "book" / "executed" / "03_artifact_inspection.ipynb"
    content = nbformat.read(path, 4)
    content.cells[1].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=["x"])]
    nbformat.write(content, path)
    done = build(source)
    assert done.returncode != 0
    assert "holds a failed cell (ValueError)" in done.stdout + done.stderr
    path.unlink()
    done = build(source)
    assert done.returncode != 0
    assert "03_artifact_inspection.ipynb is missing" in done.stdout + done.stderr


# What the theme itself gets wrong, by rule and place; anything else fails.
ALLOWED = {
    ("aria-allowed-role", "doc-biblioentry"),
    ("aria-deprecated-role", "doc-biblioentry"),
    ("aria-required-children", "citation-list"),
    ("empty-table-header", "<th></th>"),
    ("region", "logo__image"),
}


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_pages_in_a_browser(source: Path) -> None:
    from playwright.sync_api import sync_playwright

    for name in ("methods.md", "deviations.md", "rerun.md", "references.md"):
        shutil.copy(ROOT / "book" / name, source / "book" / name)
    toc = source / "_toc.yml"
    toc.write_text(
        toc.read_text() + "".join(f"  - file: book/{n}\n" for n in ("methods", "deviations", "rerun", "references"))
    )
    (source / "book" / "index.md").write_text("# Start\n\n$x^2$\n")
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    html = source / "_build" / "html"
    pages = sorted((html / "book").rglob("*.html"))
    assert len(pages) == 10
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
    outside, errors, findings, broken = [], [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for scheme, width in (("light", 1280), ("dark", 390)):
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
            view = context.new_page()
            view.on("request", lambda r: outside.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
            view.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
            view.on("pageerror", lambda e: errors.append(str(e)))
            for path in pages:
                view.goto(path.as_uri())
                assert view.locator(".run-banner-smoke").is_visible()
                box = view.locator(".run-banner-smoke").bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width + 1
                for image in view.locator("img.dark-light").all():
                    assert image.evaluate("e => getComputedStyle(e).filter") == "none"
                for link in view.eval_on_selector_all("a[href]", "links => links.map(l => l.href)"):
                    place, anchor = urldefrag(link)
                    if not place.startswith("file:"):
                        continue
                    target = Path(unquote(place.removeprefix("file://")))
                    if not target.is_file() or (anchor and f'id="{unquote(anchor)}"' not in target.read_text()):
                        broken.append(f"{path.name}: {link}")
                view.evaluate(axe)
                for violation in view.evaluate("axe.run({preload: false})")["violations"]:
                    for node in violation["nodes"]:
                        where = node["html"] + str(node["target"])
                        if not any(violation["id"] == rule and part in where for rule, part in ALLOWED):
                            findings.append((scheme, path.name, violation["id"], node["html"][:120]))
            context.close()
        browser.close()
    assert not outside
    assert not errors
    assert not broken
    assert not findings, findings[:5]
