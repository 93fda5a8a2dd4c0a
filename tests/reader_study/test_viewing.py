"""How readers see the images, in a real browser: window, zoom, flip, slow networks and none."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from study import answer_rows, made_store, needs_viewer, ovals, served
from tablet import PAIRS, SIZES, Tablet, axe, fingers_do, needs_chromium

from mammogan.data.store import Store
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import ReaderStudy

pytestmark = [pytest.mark.slow, needs_viewer, needs_chromium]
MEGABIT = 10**6 / 8  # bytes


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReaderStudy:
    """A study of eight images of 320 x 256 pixels, which serve as the real and as the synthetic ones."""
    folder = tmp_path_factory.mktemp("viewing")
    store = Store.open(made_store(folder / "store", ovals(8, 320, 256, smooth=2), "image"))
    return build(store.path, store.path, folder / "study", StudySettings(secret=1, pairs=PAIRS))


def grays(tablet: Tablet, side: str) -> np.ndarray:
    """Return the gray levels of a part of an image on the screen that no control covers, in 0 ... 1."""
    box = tablet.page.locator(f"#{side}").bounding_box()
    clip = {"x": box["x"], "y": box["y"] + 60, "width": box["width"], "height": box["height"] - 60}
    return np.asarray(Image.open(BytesIO(tablet.page.screenshot(clip=clip))).convert("L"), float) / 255


def center_of(tablet: Tablet, selector: str) -> tuple[float, float]:
    box = tablet.page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(tablet: Tablet, x: float, y: float, right: float, down: float) -> None:
    """Move one finger over the screen."""
    fingers = tablet.context.new_cdp_session(tablet.page)
    fingers_do(fingers, "touchStart", (x, y))
    for step in range(1, 9):
        fingers_do(fingers, "touchMove", (x + right * step / 8, y + down * step / 8))
        tablet.page.wait_for_timeout(16)
    fingers_do(fingers, "touchEnd")
    tablet.page.wait_for_timeout(100)


def window(tablet: Tablet, side: str) -> tuple[float, float]:
    return tuple(tablet.js(f"[viewers.{side}.window.center, viewers.{side}.window.width]"))


@pytest.mark.parametrize("device", SIZES)
def test_window_and_level_by_touch(browser: Any, study: ReaderStudy, device: str) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/", SIZES[device], touch=True)
        page = tablet.page
        tablet.fill()
        x, y = center_of(tablet, "#left")
        before, view = grays(tablet, "left"), tablet.view("left")
        drag(tablet, x, y, 30, 20)
        assert window(tablet, "left") == (0.5, 1)  # until it is asked for, a drag moves the image
        page.tap("#left ~ .tools [aria-label^='Show all']")
        page.wait_for_timeout(500)
        button = page.locator("#left ~ .tools [aria-label^='Drag changes']")
        button.tap()
        assert button.get_attribute("aria-pressed") == "true"
        drag(tablet, x, y, -40, -20)
        center, width = window(tablet, "left")
        assert center < 0.5
        assert width < 1
        assert tablet.view("left") == pytest.approx(view, abs=1e-3)
        assert window(tablet, "right") == (0.5, 1)
        assert axe(tablet) == []
        after = grays(tablet, "left")
        inside = (before > 0.1) & (before < 0.9)
        assert (after - before)[inside].mean() > 0.03  # brighter
        reset = page.locator("#left ~ .reset")
        box = reset.bounding_box()
        assert box["height"] >= 44
        assert box["x"] + box["width"] <= SIZES[device][0] / 2
        reset.tap()
        assert window(tablet, "left") == (0.5, 1)
        assert reset.is_hidden()
        np.testing.assert_allclose(grays(tablet, "left"), before, atol=0.01)
        # Linked, both images are windowed alike.
        page.tap(".link")
        drag(tablet, x, y, -40, -20)
        assert window(tablet, "right") == window(tablet, "left") != (0.5, 1)
        page.tap("#choice label:has(input[value=left])")
        page.tap("#confirm")
        page.tap("#next")
        tablet.pair(2)
        assert window(tablet, "left") == window(tablet, "right") == (0.5, 1)  # every pair begins alike
        assert tablet.troubles == []
        tablet.context.close()


def test_a_window_is_the_linear_map_that_dicom_defines(browser: Any, study: ReaderStudy) -> None:
    """PS3.3 C.11.2.1.3.2 (LINEAR_EXACT): levels from center - width / 2 to center + width / 2 fill the range."""
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        tablet.fill()
        whole = grays(tablet, "left")
        assert whole.max() > 0.7
        for center, width in ((0.5, 0.5), (0.3, 0.2), (0.8, 0.3), (0.6, 0.05), (0.2, 1.2), (0.7, 2.0), (0.1, 0.6)):
            tablet.js(f"viewers.left.window.set({center}, {width})")
            tablet.page.wait_for_timeout(100)
            shown = grays(tablet, "left")
            expected = np.clip((whole - (center - width / 2)) / width, 0, 1)
            inside = whole > 0.1  # outside of the picture, the page stays black
            assert np.abs(shown - expected)[inside].max() < 1.5 / 255 * max(1 / width, 1), (center, width)
        assert tablet.troubles == []
        tablet.context.close()


def test_keys_and_mouse_window_flip_and_show_pixels(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        tablet.fill()
        x, y = center_of(tablet, "#right")
        page.mouse.move(x, y)
        page.mouse.down(button="right")
        page.mouse.move(x + 50, y - 40, steps=5)
        page.mouse.up(button="right")
        center, width = window(tablet, "right")
        assert center < 0.5
        assert width > 1
        assert tablet.view("right")["zoom"] == pytest.approx(1)
        page.locator("#right .openseadragon-canvas").focus()
        page.keyboard.press("r")
        assert window(tablet, "right") == (0.5, 1)
        for key, sign in (("c", (0, -1)), ("Shift+C", (0, 1)), ("b", (-1, 0)), ("Shift+B", (1, 0))):
            page.keyboard.press("r")
            page.keyboard.press(key)
            change = np.array(window(tablet, "right")) - (0.5, 1)
            assert tuple(np.sign(np.round(change, 6))) == sign, key
        page.keyboard.press("r")
        plain = grays(tablet, "right")
        page.keyboard.press("h")
        page.wait_for_timeout(300)
        alike = [np.corrcoef(grays(tablet, "right").ravel(), each.ravel())[0, 1] for each in (plain[:, ::-1], plain)]
        assert alike[0] > 0.9 > alike[1]
        # Linked, the flipped image shows the place that mirrors the other's, and arrows move what is seen.
        page.check("#linked")
        page.locator("#right .openseadragon-canvas").focus()
        page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(800)
        left, right = tablet.view("left"), tablet.view("right")
        assert right["x"] < 0.49
        assert (left["zoom"], left["x"]) == pytest.approx((right["zoom"], 1 - right["x"]), abs=0.02)
        page.keyboard.press("1")
        page.wait_for_timeout(800)
        for side in ("left", "right"):
            scale = f"viewers.{side}.osd.world.getItemAt(0).viewportToImageZoom(viewers.{side}.osd.viewport.getZoom())"
            assert tablet.js(f"{scale} * devicePixelRatio") == pytest.approx(1)
        page.keyboard.press("0")
        page.wait_for_timeout(800)
        assert tablet.view("right")["zoom"] == pytest.approx(1, abs=0.01)
        assert tablet.troubles == []
        tablet.context.close()


def test_a_slow_network_says_so_and_later_pairs_open_at_once(browser: Any, tmp_path: Path) -> None:
    """At 1.6 Mbit/s and full size, a pair after the first is there in two seconds though readers hardly think."""
    store = Store.open(made_store(tmp_path / "store", ovals(8, 1280, 1024, smooth=3), "image"))
    study = build(store.path, store.path, tmp_path / "study", StudySettings(secret=1, pairs=PAIRS))
    with served(study.folder) as (address, _):
        # Slower still at first: pictures load from the beginning on, and must not be there after the questionnaire.
        tablet = Tablet(browser, f"{address}/", SIZES["iPad"], speed=0.4 * MEGABIT)
        page = tablet.page
        tablet.limit(0.1 * MEGABIT)
        page.click("#begin")
        page.check("input[name=radiologist][value=no]")
        page.fill("#about-years", "3")
        page.click("#start")
        page.wait_for_selector("#pairs-title")
        page.wait_for_selector("#left ~ .waiting:has-text('%')")
        assert axe(tablet) == []
        assert page.is_disabled("#confirm")
        assert not tablet.js("seconds()")  # the clock waits, too
        tablet.limit(1.6 * MEGABIT)
        tablet.pair(1)
        assert page.is_hidden("#left ~ .waiting")
        waits = []
        for number in range(1, PAIRS):
            page.wait_for_timeout(3000)
            page.check("input[name=side][value=left]")
            page.click("#confirm")
            started = time.monotonic()
            page.click("#next")
            tablet.pair(number + 1)
            waits.append(time.monotonic() - started)
        assert max(waits) < 2, waits
        assert tablet.troubles == []
        tablet.context.close()


def test_a_tablet_starts_and_finishes_without_a_network(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        port = int(address.rpartition(":")[2])
        tablet = Tablet(browser, f"{address}/", SIZES["iPad"], touch=True, worker=True)
        page = tablet.page
        manifest = page.evaluate("fetch(document.querySelector('link[rel=manifest]').href).then((r) => r.json())")
        assert manifest["display"] == "fullscreen"
        assert page.evaluate(f"fetch('{manifest['icons'][0]['src']}').then((r) => r.ok)")
        network = tablet.context.new_cdp_session(page)
        # "Manifest is not loaded over HTTPS" and the like; a window without a profile can never be installed.
        errors = [error["errorId"] for error in network.send("Page.getInstallabilityErrors")["installabilityErrors"]]
        assert set(errors) <= {"in-incognito"}
        tablet.until("navigator.serviceWorker.controller")
        tablet.until("state.pairs && state.pairs.flat().every((name) => progressOf(name).share === 1)")
    # The server is gone; the page is opened anew, and a reader takes the whole test.
    page.goto("about:blank")
    page.goto(f"{address}/")
    tablet.fill()
    for number in range(1, PAIRS + 1):
        tablet.answer(number, "right")
    tablet.until("state.page === 'result'")
    page.reload()
    tablet.until("state.page === 'result' && state.opening && state.answers.length === 4")
    assert page.is_hidden("#details")
    with served(study.folder, port):
        page.wait_for_selector("#details", state="visible")
        assert page.inner_text("#code")
        number = int(tablet.js("state.token").partition(".")[0])
        page.tap("#again")
        tablet.until("state.page === 'tutorial' && mine")
        pictures = page.evaluate(
            "caches.open(`pictures-${STUDY.id}`).then((c) => c.keys()).then((k) => k.map((r) => r.url))"
        )
        assert not any(f"/pictures/{number}-" in url for url in pictures)  # nothing of the last reader
        tablet.context.close()
    assert [row for row in answer_rows(study) if row[0] == number] == [
        (number, question, "right") for question in range(1, PAIRS + 1)
    ]
