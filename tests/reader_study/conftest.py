"""Two small stores, a study of them, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from study import made_store, ovals
from tablet import CHROMIUM

from mammogan.data.store import StoreWriter
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import ReaderStudy


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """16 real images, eight of each view, and 16 synthetic ones of which no view is known."""
    folder = tmp_path_factory.mktemp("stores")
    with StoreWriter(folder / "real", 40, 32, 12, {"by": "test"}) as writer:
        for number, image in enumerate(ovals(16, 40, 32)):
            writer.accept(image, id=f"real-{number}", view="CC" if number % 2 else "MLO")
    return folder / "real", made_store(folder / "synthetic", ovals(16, 40, 32), "synthetic")


@pytest.fixture(scope="session")
def study(stores: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> ReaderStudy:
    return build(*stores, tmp_path_factory.mktemp("studies") / "study", StudySettings(secret=3))


@pytest.fixture(scope="module")  # a loop of Playwright that stays open stops tests with loops of their own
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()
