"""The book's pages in a real browser: links, network, accessibility, weight, pictures, plots, previews, print, PDF."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import numpy as np
import pytest
from book_fixtures import GROUPS, build, moments, ramp, whole_book
from PIL import Image

from mammogan.metrics.coverage import SUPPORT_GRID, SUPPORTS
from mammogan.metrics.density import Grid, density
from mammogan.pipeline.book import single_page
from mammogan.report.provenance import ROOT
from mammogan.stats.equivalence import group_table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")]
HEAVIEST = 1.5e6  # bytes of a page before pictures are opened


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole book around chapters of fixtures, built with -W -n."""
    source = whole_book(tmp_path_factory.mktemp("book"))
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    html = source / "_build" / "html"
    (html / "reader_study").mkdir()  # the application is put there by the runner, and has tests of its own
    (html / "reader_study" / "index.html").write_text("<title>reader study</title>")
    sides = {"left": "a", "right": "b", "real_side": "left"}
    sessions = [[sides, {**sides, "left": "b", "right": "a", "real_side": "right"}]]
    content = {"sessions": base64.b64encode(json.dumps(sessions).encode()).decode()}
    (html / "reader_study" / "study.js").write_text(f"globalThis.STUDY = {json.dumps(content)};")
    for name in "ab":
        ramp(html / "reader_study" / "pictures" / f"{name}.png")
    return html


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield started
        started.close()


@pytest.fixture
def view(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    yield context.new_page()
    context.close()


def pages(html: Path) -> list[Path]:
    leads_on = html / "index.html"  # to book/index.html, at once
    return [p for p in sorted(html.rglob("*.html")) if p != leads_on and not {"_static", "reader_study"} & set(p.parts)]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page(html: Path, browser: Any, scheme: str, width: int) -> None:
    """No request leaves, no script fails, links and anchors lead somewhere, axe finds nothing, nothing is wide."""
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
    outside: list[str] = []
    errors: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    view = context.new_page()
    view.on("request", lambda r: outside.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    view.on("console", lambda m: errors.append(f"{view.url}: {m.text}") if m.type == "error" else None)
    view.on("pageerror", lambda e: errors.append(f"{view.url}: {e}"))
    findings, broken, wide = [], [], []
    texts: dict[Path, str] = {}
    found = pages(html)
    assert len(found) > 25
    for path in found:
        view.goto(path.as_uri())
        if path.parent != html:  # the search page and the index of names hold no number
            banner = view.locator(".run-banner-smoke")
            assert banner.is_visible(), path
            box = banner.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width + 1
        if view.evaluate("document.documentElement.scrollWidth") > width + 1:
            wide.append(path.name)
        if width < 400:  # rows are cards
            cards = "table:is(.claims, .compare, .works) tbody tr"
            share = "rows => rows.map(row => row.offsetWidth / row.closest('table').offsetWidth)"
            assert min(view.eval_on_selector_all(cards, share), default=1) > 0.9, path
        for image in view.locator("img.dark-light").all():
            assert image.evaluate("e => getComputedStyle(e).filter") == "none"
        for link in view.eval_on_selector_all("a[href]", "links => links.map(l => l.href)"):
            place, anchor = urldefrag(link)
            if not place.startswith("file:"):
                continue
            target = Path(unquote(place.removeprefix("file://")).partition("?")[0])
            if not target.is_file():
                broken.append(f"{path.name}: {link}")
            elif anchor:
                text = texts.setdefault(target, target.read_text())
                if f'id="{unquote(anchor)}"' not in text and f'id="{anchor}"' not in text:
                    broken.append(f"{path.name}: {link}")
        view.evaluate(axe)
        for violation in view.evaluate("axe.run({preload: false})")["violations"]:
            for node in violation["nodes"]:
                findings.append((scheme, path.name, violation["id"], node["html"][:160]))
    context.close()
    assert not outside
    assert not errors
    assert not broken, broken[:10]
    assert not wide
    assert not findings, findings[:5]


def test_weight_before_pictures_are_opened(html: Path, browser: Any) -> None:
    """What a page loads at once, pictures in view included, stays small; pictures below wait."""
    for name in ("executed/04_moment_alignment", "api/data", "methods", "index"):
        context = browser.new_context(viewport={"width": 1280, "height": 700})
        view, loaded = context.new_page(), set()
        view.on("request", lambda r, loaded=loaded: loaded.add(r.url.partition("#")[0].partition("?")[0]))
        view.goto((html / "book" / f"{name}.html").as_uri())
        view.wait_for_load_state("networkidle")
        files = [Path(unquote(url.removeprefix("file://"))) for url in loaded if url.startswith("file:")]
        weight = sum(file.stat().st_size for file in files if file.is_file())
        assert weight < HEAVIEST, (name, weight)
        assert not any(file.name == "openseadragon.min.js" for file in files)
        # Figures are shown whole, as they open: those that Chromium need not have, 2500 pixels below the window, wait.
        early = "() => [...document.images].filter(i => i.getBoundingClientRect().top > 3200 && i.naturalWidth)"
        assert view.evaluate(f"({early})().map(i => i.src)") == []
        context.close()


def test_figures(html: Path, view: Any) -> None:
    """Number, caption, alternative text, data and code; lossless pictures that load late; a viewer on demand."""
    view.goto((html / "book" / "executed" / "05_reader_statistics.html").as_uri())
    figure = view.locator("figure").first
    image = figure.locator("img").first
    assert re.search(r"Fig\. \d+", figure.locator("figcaption").inner_text())
    assert "n = 12.3" in figure.locator("figcaption").inner_text()
    assert image.get_attribute("alt") and image.get_attribute("loading") == "lazy"
    assert image.get_attribute("src").endswith(".webp") and image.get_attribute("width") == "128"
    assert figure.locator("a.data-link").get_attribute("href").endswith("points.csv")
    # The viewer is an enhancement: without it the link opens the whole picture.
    link = figure.locator("a.zoom")
    assert (html / "book" / "executed" / link.get_attribute("href")).resolve().is_file()
    link.click()
    view.wait_for_selector("dialog.viewer")
    view.wait_for_function("document.querySelector('dialog.viewer').view?.world.getItemCount() > 0")
    before = view.evaluate("document.querySelector('dialog.viewer').view.viewport.getZoom()")
    view.get_by_role("button", name="Zoom in").click()
    assert view.evaluate("document.querySelector('dialog.viewer').view.viewport.getZoom()") > before
    view.keyboard.press("Escape")
    view.wait_for_selector("dialog.viewer", state="detached")
    # The code behind the figure, on its page.
    figure.locator("a.code-link").click()
    assert view.url.endswith("code/05_reader_statistics.html#points")
    assert "def spectra" in view.locator("#points").inner_text()


def test_previews(html: Path, view: Any) -> None:
    """A citation and a figure of another page show themselves under the pointer, and Escape takes them away."""
    view.goto((html / "book" / "deviations.html").as_uri())
    view.locator("article a[href*='references.html#']").first.hover()
    view.wait_for_selector(".preview")
    assert "Karras" in view.locator(".preview").inner_text()
    view.keyboard.press("Escape")
    assert view.locator(".preview").count() == 0
    view.goto((html / "book" / "claims.html").as_uri())
    view.locator("article a[href*='#fig-']").first.hover()
    view.wait_for_selector(".preview figure")
    view.wait_for_function("document.querySelector('.preview img')?.naturalWidth > 0")


def painted(view: Any) -> int:
    """Pixels of the plot's canvas that are not white."""
    script = """() => {
        const c = document.querySelector('canvas.plot-canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let k = 0; k < d.length; k += 4) if (d[k] < 250 || d[k + 1] < 250 || d[k + 2] < 250) n++;
        return n;
    }"""
    return view.evaluate(script)


def test_plots_answer(html: Path, view: Any) -> None:
    """Clouds, contours and growth work without a kernel; the contours' coverage is that of the library."""
    view.goto((html / "book" / "executed" / "04_moment_alignment.html").as_uri())
    clouds = view.locator(".plot[data-kind=clouds]")
    view.locator("figure").first.scroll_into_view_if_needed()
    view.wait_for_selector(".plot[data-kind=clouds].plot-ready")
    both = painted(view)
    assert both > 2000
    clouds.get_by_label("synthetic").uncheck()
    assert painted(view) < both
    assert "300 real and 300 synthetic images, of which " in clouds.inner_text()
    # The frame holds all but the farthest one in 200, and the line says how many are not in it.
    outside = [int(number) for number in re.search(r"of which (\d+) and (\d+) are", clouds.inner_text()).groups()]
    points, highest = moments()[["M1", "M3"]].to_numpy(), []
    for values in points.T:
        low, high = values.min(), np.quantile(values, 0.995)
        highest.append(high + 0.03 * (high - low))
    assert sum(outside) == int((points > highest).any(1).sum()) > 0

    contours = view.locator(".plot[data-kind=contours]")
    view.locator("figure").nth(1).scroll_into_view_if_needed()
    view.wait_for_selector(".plot[data-kind=contours].plot-ready")
    table = moments()
    real, synthetic = (table[table["kind"] == kind] for kind in ("real", "synthetic"))
    for pair in ("M1 and M2", "M2 and M5"):
        contours.get_by_label("pair").select_option(pair)
        columns = pair.split(" and ")
        points = [table[columns].to_numpy() for table in (real, synthetic)]
        grid = Grid.around(*points, count=SUPPORT_GRID)
        expected = SUPPORTS["area"](*(density(part, grid) for part in points))
        assert float(contours.get_attribute("data-coverage")) == pytest.approx(expected, abs=0.005)
    before = contours.get_attribute("data-coverage")
    contours.get_by_label("percentile").fill("99")
    assert contours.get_attribute("data-coverage") != before

    view.goto((html / "book" / "executed" / "02_progressive_training.html").as_uri())
    growth = view.locator(".plot[data-kind=growth]")
    view.locator("figure").first.scroll_into_view_if_needed()
    view.wait_for_selector(".plot[data-kind=growth].plot-ready")
    assert "20 images" in growth.inner_text()
    growth.get_by_label("training").fill("0")
    assert "10 images" in growth.inner_text()
    view.wait_for_function("document.querySelector('.plot-frame').naturalWidth > 0")


def test_the_margin_of_equivalence_is_that_of_the_library(html: Path, view: Any) -> None:
    view.goto((html / "book" / "executed" / "05_reader_statistics.html").as_uri())
    view.locator("figure").first.scroll_into_view_if_needed()
    plot = view.locator(".plot[data-kind=equivalence]")
    view.wait_for_selector(".plot[data-kind=equivalence].plot-ready")
    counts = set()
    for margin in (0.03, 0.05, 0.07, 0.1):
        plot.get_by_label("margin of equivalence").fill(str(margin))
        table = group_table(GROUPS, margin)
        expected = list(table.loc[table["p_equivalence"] < 0.05, "group"])
        assert int(plot.get_attribute("data-equivalent")) == len(expected)
        assert all(name in plot.locator(".plot-facts").inner_text() for name in expected)
        counts.add(len(expected))
    assert len(counts) > 1


def test_the_first_page_has_five_findings_its_picture_and_a_pair_to_judge(html: Path, view: Any) -> None:
    view.goto((html / "book" / "index.html").as_uri())
    findings = view.locator("#in-brief > ol > li")
    assert findings.count() == 5
    for finding in findings.all():
        assert re.search(r"\d", finding.inner_text()) and finding.locator("a.internal").count()
    assert findings.nth(4).inner_text().startswith("Not tested.")
    chart, images = view.locator(".hero img").all()
    assert chart.get_attribute("src").endswith(".svg") and "chart" in chart.get_attribute("class")
    assert images.get_attribute("src").endswith(".webp")
    pair = view.locator(".plot[data-kind=pair]")
    pair.scroll_into_view_if_needed()
    view.wait_for_selector(".plot[data-kind=pair].plot-ready")
    left, right = pair.locator("button.pair-image").all()
    left.click()
    assert "Right: the left one is the phantom. 1 of 1 right." in pair.inner_text()
    right.click()  # one answer per pair
    assert "1 of 1 right" in pair.inner_text()
    pair.get_by_role("button", name="Next pair").click()
    left.click()
    assert "Wrong: the right one is the phantom. 1 of 2 right." in pair.inner_text()


def test_charts_turn_dark_and_radiographs_do_not(html: Path, browser: Any) -> None:
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 900})
    view = context.new_page()
    view.goto((html / "book" / "index.html").as_uri())
    chart, images = (image.evaluate("e => getComputedStyle(e).filter") for image in view.locator(".hero img").all())
    assert "invert" in chart and images == "none"
    context.close()


def test_pages_describe_themselves(html: Path, view: Any) -> None:
    view.goto((html / "book" / "limits.html").as_uri())
    described = view.locator("meta[name=description]").get_attribute("content")
    assert described.startswith("This reproduction cannot show") and len(described) <= 201
    picture = view.locator("meta[property='og:image']").get_attribute("content")
    with Image.open(html / "book" / picture) as preview:
        assert preview.size == (1200, 630)


def test_print_falls_back_to_pictures(html: Path, view: Any) -> None:
    view.goto((html / "book" / "executed" / "04_moment_alignment.html").as_uri())
    view.locator("figure").first.scroll_into_view_if_needed()
    view.wait_for_selector(".plot-ready")
    assert view.locator(".plot-ready").first.is_visible()
    view.emulate_media(media="print")
    assert not view.locator(".plot-ready").first.is_visible()
    assert view.locator("figure img").first.is_visible()
    assert view.locator(".run-banner").is_visible()
    # What opens for print is there at once: a picture that fades in would be printed blank.
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert view.eval_on_selector_all("article details", "all => all.every(d => d.open)")
    fading = "all => all.filter(e => getComputedStyle(e).animationName != 'none').length"
    assert view.locator("article details.hide > *").count() > 1
    assert view.eval_on_selector_all("article details.hide > *", fading) == 0


def test_search_finds(html: Path, view: Any) -> None:
    errors: list[str] = []
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.goto((html / "search.html").as_uri() + "?q=inconsistencies")
    view.wait_for_selector("ul.search li a")
    assert any("inconsistencies" in h for h in view.eval_on_selector_all("ul.search a", "l => l.map(a => a.href)"))
    # A page opened from a disk may not fetch others: excerpts come from a script, and no error is left.
    view.wait_for_selector("ul.search li p.context")
    assert "inconsistencies" in " ".join(view.locator("ul.search p.context").all_inner_texts()).lower()
    assert not errors


def test_one_page_for_print_has_the_same_content(html: Path, tmp_path: Path) -> None:
    """singlehtml, then Chromium: every chapter, figure and verdict is there; no link names this machine."""
    source = html.parents[1]
    done = build(source, "singlehtml")
    assert done.returncode == 0, done.stdout + done.stderr
    single = single_page(source / "_build" / "singlehtml")
    text = single.read_text()
    sheets = re.findall(r'<link[^>]+href="([^"?]+\.css)', text)
    assert any("mammogan.css" in name for name in sheets)
    assert all((single.parent / name).is_file() for name in sheets)
    for path in (source / "book").rglob("*.md"):
        title = next(line for line in path.read_text().splitlines() if line.startswith("# ")).removeprefix("# ")
        assert re.sub(r"\W+", "", title) in re.sub(r"<[^>]+>|&\w+;|\W+", "", text), title
    for count in ("<figure", "verdict-reproduced"):
        chapters = sum(p.read_text().count(count) for p in (html / "book").rglob("*.html"))
        assert text.count(count) == chapters, count
    assert 'loading="lazy"' not in text
    assert "SMOKE RUN" in text
    made = tmp_path / "book.pdf"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={made}", single.as_uri()]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    content = made.read_bytes()
    assert content.startswith(b"%PDF")
    assert str(source).encode() not in content


def test_formulas_stand_on_the_line(html: Path, view: Any) -> None:
    """What a formula has below its baseline lies below that of the text around it."""
    view.goto((html / "book" / "methods.html").as_uri())
    script = """() => [...document.querySelectorAll('.math-inline')].map(formula => {
        const mark = document.createElement('span');
        mark.style.cssText = 'display: inline-block; width: 1px; height: 0';
        formula.style.whiteSpace = 'nowrap';  // no line ends between the mark and the formula
        formula.prepend(mark);
        const svg = formula.querySelector('svg');
        const below = svg.getBoundingClientRect().bottom - mark.getBoundingClientRect().bottom;
        return below + parseFloat(getComputedStyle(svg).verticalAlign);
    })"""
    off = view.evaluate(script)
    assert len(off) > 5
    assert max(map(abs, off)) < 1
