"""Screens of the reader study's application, as the paper's Figure 4 has those of its own, with phantoms only.

python benchmarks/screens.py writes book/_static/screens-*.png and results/screens.json, which states the version. It
needs Chromium and a minute; the book shows the committed pictures, so that building it needs neither.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import mammogan
from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.pipeline.book import BROWSERS
from mammogan.reader_study.build import StudySettings, build
from mammogan.report import provenance

ROOT = Path(__file__).resolve().parents[1]
TABLET = {"width": 1024, "height": 768}  # CSS pixels of an iPad on its side
HEIGHT, WIDTH = 1280, 1024  # of the phantoms, the paper's size
SEED = 0


def study_of_phantoms(folder: Path, count: int = 8, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Build a study of the paper's design in which both sides are phantoms; return its page."""
    stores = []
    for seed, name in enumerate(("one", "other"), SEED):
        write_population(folder / f"dicom-{name}", count, seed, height=height, width=width)
        stores.append(ingest([folder / f"dicom-{name}"], folder / name, Settings(height, width)).path)
    settings = StudySettings(seed=SEED, secret=SEED, pool=count // 2, view="MLO", browser=True)
    return build(*stores, folder / "study", settings).folder / "public" / "index.html"


def photograph(page: Any, address: str, out: Path) -> list[Path]:
    """Go through the application to its first pair, and write a picture of the tutorial, the survey and the pair."""
    files = []

    def keep(name: str) -> None:
        files.append(out / f"screens-{name}.png")
        page.wait_for_timeout(1000)  # milliseconds, for pictures to be drawn
        page.screenshot(path=files[-1])
        Image.open(files[-1]).convert("RGB").quantize(128).save(files[-1], optimize=True)

    page.goto(address)
    page.wait_for_selector("#begin")
    keep("tutorial")
    page.click("#begin")
    page.check("input[name=radiologist][value=yes]")
    keep("survey")
    page.check("input[value=trainee]")
    page.check("input[name=breast_specialist][value=yes]")
    page.check("input[name=screening][value=no]")
    page.fill("#about-years", "3")
    page.click("#start")
    page.wait_for_selector("#right canvas")
    page.wait_for_timeout(1000)
    page.hover("#right")
    for _ in range(4):  # as in the paper's picture, the right image is enlarged
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(200)
    page.check("input[name=side][value=left]", force=True)
    keep("pair")
    return files


def main() -> None:
    """Write the pictures and the version of the application that they show."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        sys.exit("Chromium is missing.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=TABLET)
        files = photograph(page, study_of_phantoms(Path(folder)).as_uri(), ROOT / "book" / "_static")
        chromium.close()
    version = f"{mammogan.__version__}, commit {provenance.commit()[0][:10]}, {datetime.now(UTC):%Y-%m-%d}"
    value = {"value": version, "label": "version on the screens", "unit": "", "format": "", "how": ""}
    result = ROOT / "benchmarks" / "results" / "screens.json"
    result.write_text(json.dumps({"screens.version": value}, indent=1) + "\n", encoding="utf-8")
    print(*files, result, sep="\n")


if __name__ == "__main__":
    main()
