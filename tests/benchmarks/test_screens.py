"""The screens of the application are photographed from the tutorial to an enlarged pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image
from screens import TABLET, photograph, study_of_phantoms

from mammogan.pipeline.book import BROWSERS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_three_screens_are_written(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    address = study_of_phantoms(tmp_path, count=8, height=160, width=128).as_uri()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        files = photograph(chromium.new_page(viewport=TABLET), address, tmp_path)
        chromium.close()
    assert [file.name for file in files] == ["screens-tutorial.png", "screens-survey.png", "screens-pair.png"]
    pictures = [Image.open(file).convert("L") for file in files]
    assert {picture.size for picture in pictures} == {(TABLET["width"], TABLET["height"])}
    assert len({picture.tobytes() for picture in pictures}) == 3
