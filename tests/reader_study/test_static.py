"""The application in a real browser: by touch, mouse and keyboard, through reloads and a lost network."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from study import PASSWORD, made_store, needs_viewer, ovals, served
from tablet import PAIRS, SIZES, Tablet, axe, fingers_do, needs_chromium, pinch

from mammogan.data.store import Store
from mammogan.reader_study import pictures
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import ReaderStudy
from mammogan.report.provenance import ROOT
from mammogan.stats.responses import read_responses

pytestmark = [pytest.mark.slow, needs_viewer, needs_chromium]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Eight images of 80 x 64 pixels, which serve as the real and as the synthetic ones."""
    return Store.open(made_store(tmp_path_factory.mktemp("stores") / "store", ovals(8), "image"))


@pytest.fixture
def study(store: Store, tmp_path: Path) -> ReaderStudy:
    return build(store.path, store.path, tmp_path / "study", StudySettings(secret=1, pairs=PAIRS))


def answers(study: ReaderStudy) -> list[tuple]:
    with closing(sqlite3.connect(study.folder / "responses.sqlite")) as connection:
        return connection.execute("SELECT session, question, chosen_side FROM answers ORDER BY 1, 2").fetchall()


@pytest.mark.parametrize("device", SIZES)
def test_by_touch_at_every_size(browser: Any, study: ReaderStudy, device: str) -> None:
    width, height = SIZES[device]
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/", (width, height), touch=True)
        page = tablet.page
        tablet.until("viewers.practice && viewers.practice.ready")
        assert axe(tablet) == []
        page.tap("#begin")
        page.tap("input[name=radiologist][value=yes]")
        assert axe(tablet) == []
        page.tap("input[value=board_certified]")
        page.tap("input[name=breast_specialist][value=no]")
        page.tap("input[name=screening][value=no]")
        page.fill("#about-years", "12")
        page.tap("#start")
        tablet.pair(1)
        assert axe(tablet) == []
        # Nothing is cut off, nothing scrolls, and what a finger must hit is 44 pixels high.
        assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
            width,
            height,
        ]
        for selector in ("#confirm", ".tools button >> visible=true", "#choice label", ".link"):
            for box in [element.bounding_box() for element in page.locator(selector).all() if element.is_visible()]:
                assert box["height"] >= 44, selector
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
                assert box["y"] + box["height"] <= height
        if device != "iPad":
            tablet.context.close()
            return
        # Two fingers, sent as the touch screen would: the left image grows, the right one stays.
        box = page.locator("#left").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = page.context.new_cdp_session(page)

        touch = partial(fingers_do, fingers)
        touch("touchStart", (x - 10, y), (x + 10, y))
        for spread in range(12, 60, 6):
            touch("touchMove", (x - spread, y), (x + spread, y))
            page.wait_for_timeout(20)
        touch("touchEnd")
        tablet.until("viewers.left.osd.viewport.getZoom() > 1.5 * viewers.left.osd.viewport.getHomeZoom()")
        assert tablet.view("right")["zoom"] == pytest.approx(1)
        before = tablet.view("left")
        touch("touchStart", (x, y))
        for step in range(1, 8):
            touch("touchMove", (x + 5 * step, y + 5 * step))
            page.wait_for_timeout(20)
        touch("touchEnd")
        page.wait_for_timeout(200)
        after = tablet.view("left")
        assert after["x"] < before["x"]
        assert after["y"] < before["y"]
        assert page.is_disabled("#confirm")
        for number in range(1, PAIRS + 1):
            tablet.pair(number)
            page.tap("#choice label:has(input[value=right])")
            page.tap("#confirm")
            # No feedback: neither the page nor what was received tells whether it was right.
            assert "real_side" not in page.content()
            assert page.is_disabled("input[value=left]")
            page.tap("#next")
        page.wait_for_selector("#details", state="visible")
        expected = sum(pair.real_side == "right" for pair in study.session(1))
        assert page.inner_text("#score").startswith(f"You found the real image in {expected} of {PAIRS} pairs.")
        assert axe(tablet) == []
        assert tablet.troubles == []
        tablet.context.close()
    assert answers(study) == [(1, number, "right") for number in range(1, PAIRS + 1)]


def test_by_mouse(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        tablet.fill()
        for width, height in ((834, 1194), (390, 844), (1194, 834)):  # turned, and all of each image is seen again
            page.set_viewport_size({"width": width, "height": height})
            for side in ("left", "right"):
                seen = f"viewers.{side}.osd.viewport.getZoom() / viewers.{side}.osd.viewport.getHomeZoom() - 1"
                size = f"viewers.{side}.osd.viewport.getContainerSize().x"
                tablet.until(f"{size} < {width} / 2 && {size} > {width} / 2 - 20 && Math.abs({seen}) < 0.001")
        box = page.locator("#right").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        for _ in range(4):
            page.mouse.wheel(0, -120)
            page.wait_for_timeout(60)
        tablet.until("viewers.right.osd.viewport.getZoom() > 1.5 * viewers.right.osd.viewport.getHomeZoom()")
        page.wait_for_timeout(800)
        assert tablet.view("left")["zoom"] == pytest.approx(1)
        before = tablet.view("right")
        page.mouse.down()
        page.mouse.move(x + 40, y + 30, steps=8)
        page.mouse.up()
        page.wait_for_timeout(800)
        after = tablet.view("right")
        assert after["x"] < before["x"]
        assert after["y"] < before["y"]
        assert after["zoom"] == pytest.approx(before["zoom"], rel=0.01)
        page.set_viewport_size({"width": 1100, "height": 800})
        page.wait_for_timeout(500)
        assert tablet.view("right")["zoom"] > 1.4  # what was enlarged stays so
        # Around the images all is darker than a dark mammogram's gray.
        grays = page.evaluate("""['body', '.stage', '.tools', '#choice', '#pairs header'].map((where) => {
            let e = document.querySelector(where), c;
            do { c = getComputedStyle(e).backgroundColor; e = e.parentElement; } while (c === 'rgba(0, 0, 0, 0)' && e);
            return Math.max(...c.match(/[0-9]+/g).slice(0, 3).map(Number)); })""")
        assert max(grays) < 20
        for number in range(1, PAIRS + 1):
            tablet.answer(number, "left")
        page.wait_for_selector("#details", state="visible")
        assert tablet.troubles == []
        tablet.context.close()
    assert answers(study) == [(1, number, "left") for number in range(1, PAIRS + 1)]


def test_by_keyboard_alone(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page

        def tab_to(condition: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                if tablet.js(f"((e) => Boolean({condition}))(document.activeElement)"):
                    return
            raise AssertionError(f"not reached by the tab key: {condition}")

        tab_to("e.id === 'begin'")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "questionnaire-title"
        tab_to("e.name === 'radiologist'")
        page.keyboard.press("Space")
        for name in ("training", "breast_specialist", "screening"):
            tab_to(f"e.name === '{name}'")
            page.keyboard.press("Space")
            page.keyboard.press("ArrowDown")
        tab_to("e.id === 'about-years'")
        page.keyboard.type("20")
        tab_to("e.id === 'start'")
        page.keyboard.press("Enter")
        for number in range(1, PAIRS + 1):
            tablet.pair(number)
            assert page.evaluate("document.activeElement.id") == "pairs-title"
            if number == 1:
                tab_to("e.id === 'linked'")
                page.keyboard.press("Space")
                tab_to("viewers.left.osd.canvas === e")
                for key in ("+", "+", "+", "ArrowRight", "ArrowDown"):
                    page.keyboard.press(key)
                page.wait_for_timeout(800)
                left, right = tablet.view("left"), tablet.view("right")
                assert left["zoom"] > 1.5
                assert right == pytest.approx(left, abs=0.02)  # linked
                for key in ("r", "f"):  # neither turns nor flips, as they would in OpenSeadragon
                    page.keyboard.press(key)
                assert tablet.js("[viewers.left.osd.viewport.getRotation(), viewers.left.osd.viewport.flipped]") == [
                    0,
                    False,
                ]
                page.keyboard.press("0")
                page.wait_for_timeout(800)
                assert tablet.view("right")["zoom"] == pytest.approx(1, abs=0.02)
            tab_to("e.name === 'side'")
            page.keyboard.press("Space")
            if number % 2 == 0:
                page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.id") == "next"
            page.keyboard.press("Enter")
        page.wait_for_selector("#details", state="visible")
        assert page.evaluate("document.activeElement.id") == "result-title"
        assert tablet.troubles == []
        tablet.context.close()
    assert [row[2] for row in answers(study)] == ["left", "right", "left", "right"]


def test_reloads_and_a_second_tab(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        tablet.fill(radiologist=True)
        page.check("input[name=side][value=right]")
        page.reload()
        tablet.pair(1)
        assert page.is_checked("input[name=side][value=right]")  # chosen, not confirmed
        page.click("#confirm")
        page.reload()  # confirmed, not gone on
        tablet.pair(1)
        assert page.is_disabled("input[name=side][value=left]")
        page.click("#next")
        tablet.answer(2, "left")
        # A second window says so and changes nothing, until it is asked to.
        page.check("input[name=side][value=left]")
        other = Tablet.__new__(Tablet)
        other.page = tablet.context.new_page()
        other.page.goto(f"{address}/")
        assert other.page.inner_text("#cover-title") == "The test is open in another window"
        assert other.page.is_hidden("#cover-new")
        assert axe(other) == []
        page.click("#confirm")
        other.page.wait_for_timeout(2500)
        assert other.page.is_visible("#cover")
        assert page.is_hidden("#cover")
        assert tablet.js("state.answers.length") == 3
        other.page.click("#cover-go")
        other.pair(3)
        tablet.until("covered === 'elsewhere'")
        other.page.click("#next")
        tablet.js("(state.answers = [], save())")  # whatever a covered window does, it does not overwrite
        other.page.reload()
        other.pair(4)
        other.page.close()
        page.click("#cover-go")
        assert page.is_hidden("#cover")
        tablet.answer(4, "right")
        page.wait_for_selector("#details", state="visible")
        page.reload()
        page.wait_for_selector("#details", state="visible")
        page.click("#again")
        page.wait_for_selector("#begin")
        assert tablet.js("state.answers.length") == 0
        tablet.context.close()
        assert tablet.troubles == []
    assert answers(study) == [(1, 1, "right"), (1, 2, "left"), (1, 3, "left"), (1, 4, "right")]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_two_fingers_do_not_zoom_the_page(browser: Any, study: ReaderStudy, size: tuple[int, int]) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/", size, touch=True)
        page = tablet.page

        def pinch_on(*selectors: str) -> None:
            for selector in selectors:
                page.locator(selector).first.scroll_into_view_if_needed()
                box = page.locator(selector).first.bounding_box()
                pinch(tablet, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
                assert page.evaluate("visualViewport.scale") == 1, selector

        pinch_on("#tutorial-title", "#tutorial li", "#begin")
        tablet.fill()
        pinch_on(
            "#pairs-title", ".link", ".new-reader >> visible=true", "#choice label", ".tools button >> visible=true"
        )
        pinch_on("#confirm", "#left")
        assert tablet.view("left")["zoom"] > 1.2
        page.tap("#pairs .new-reader")
        pinch_on("#cover-title", "#cover-go")
        # A page that was enlarged all the same, by a setting of the tablet, is whole when it is loaded again.
        page.evaluate("document.styleSheets[0].insertRule('* { touch-action: auto !important }', 0)")
        page.evaluate("document.styleSheets[0].insertRule('#pairs, #pairs * { touch-action: auto !important }', 0)")
        pinch(tablet, size[0] / 2, 30)
        assert page.evaluate("visualViewport.scale") > 1.2
        page.reload()
        tablet.pair(1)
        tablet.until("visualViewport.scale === 1")
        assert tablet.troubles == []
        tablet.context.close()


def test_a_double_tap_is_one_step(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/", SIZES["iPad"], touch=True)
        page = tablet.page
        tablet.fill()
        page.tap("#choice label:has(input[value=left])")
        box = page.locator("#confirm").bounding_box()
        for _ in range(2):
            page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.wait_for_timeout(120)
        page.wait_for_timeout(300)
        assert tablet.js("[state.answers.length, state.locked]") == [1, True]
        page.tap("#next")  # waits until it can be pressed
        tablet.pair(2)
        tablet.context.close()


def test_the_keyboard_finds_the_choice_and_its_focus_is_seen(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        tablet.fill()
        page.wait_for_timeout(500)
        unfocused = np.asarray(Image.open(BytesIO(page.screenshot())).convert("L"), int)
        stops = []
        for _ in range(17):
            page.keyboard.press("Tab")
            name, box = page.evaluate(
                "(() => { const e = document.activeElement, b = e.getBoundingClientRect();"
                " return [e.name || e.id || e.className || e.ariaLabel, [b.left, b.top, b.right, b.bottom]]; })()"
            )
            stops.append(name)
            left, top, right, bottom = (round(edge) for edge in box)
            now = np.asarray(Image.open(BytesIO(page.screenshot())).convert("L"), int)
            part = np.s_[max(top - 6, 0) : bottom + 6, max(left - 6, 0) : right + 6]
            # WCAG 2.4.13 asks for the perimeter of the control, two pixels thick, with a contrast of three.
            changed = (np.abs(now - unfocused)[part] > 60).sum()
            assert changed > (right - left) + (bottom - top), name
        assert stops.index("side") < 3
        assert stops.count("openseadragon-canvas") == 2
        tablet.context.close()


def test_a_tablet_changes_hands(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/", SIZES["iPad"], touch=True)
        page = tablet.page
        tablet.until("viewers.practice && viewers.practice.ready")
        page.tap("#tutorial .new-reader")
        assert axe(tablet) == []
        page.tap("#cover-new")
        tablet.until("mine && !covered && state.page === 'tutorial'")
        page.click("#begin")
        page.fill("#about-years", "9")
        page.fill("#reader", "ABC")
        page.click("#about .new-reader")
        assert page.inner_text("#cover-title") == "New reader?"
        assert axe(tablet) == []
        page.click("#cover-go")
        assert page.input_value("#about-years") == "9"
        page.click("#about .new-reader")
        page.click("#cover-new")
        tablet.until("state.page === 'tutorial' && viewers.practice.ready")
        page.click("#begin")
        assert page.input_value("#about-years") + page.input_value("#reader") == ""
        page.reload()
        tablet.until("mine")
        page.check("input[name=radiologist][value=no]")
        page.fill("#about-years", "3")
        page.click("#start")
        tablet.answer(1, "left")
        tablet.settled()
        # Nobody touches the tablet: it asks, and the question survives a reload. The clock waits.
        page.check("#linked")
        page.check("input[name=side][value=right]")
        tablet.js("study.idle = 1.5")
        tablet.until("covered === 'idle'")
        spent = tablet.js("seconds()")
        assert axe(tablet) == []
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "cover-go"
        page.wait_for_timeout(1500)
        assert tablet.js("seconds()") == spent
        page.route(
            "**/study.js",
            lambda route: route.fulfill(
                body=route.fetch().text().replace('"idle": 180', '"idle": 1.5'), content_type="text/javascript"
            ),
        )
        page.reload()
        tablet.until("covered === 'idle'")
        page.unroute("**/study.js")
        page.click("#cover-go")
        tablet.js("study.idle = 180")
        tablet.pair(2)
        assert page.is_checked("input[name=side][value=right]")
        # The next reader gets nothing of the last one, and the last answer is still sent.
        page.route("**/api/answers", lambda route: route.abort())
        page.click("#confirm")
        tablet.until("document.querySelector('#status').textContent.includes('kept here')")
        page.click("#pairs .new-reader")
        page.click("#cover-new")
        tablet.until("state.page === 'tutorial' && mine")
        kept = tablet.js("JSON.stringify([localStorage, sessionStorage, state])")
        assert "questionnaire" not in kept
        assert tablet.js("state.outbox.length") == 1
        page.unroute("**/api/answers")
        tablet.until("state.outbox.length === 0")
        assert not page.is_checked("#linked")
        tablet.fill()
        assert not page.is_checked("input[name=side][value=right]")
        tablet.answer(1, "right")
        tablet.settled()
        assert tablet.troubles == []
        tablet.context.close()
    assert answers(study) == [(1, 1, "left"), (1, 2, "right"), (2, 1, "right")]


def test_the_network_is_lost_in_the_middle(browser: Any, study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        tablet.fill()
        tablet.answer(1, "left")
        tablet.settled()
        tablet.until("state.pairs.flat().every((name) => progressOf(name).share === 1)")
        page.wait_for_timeout(300)
        tablet.context.set_offline(True)
        tablet.answer(2, "right")
        tablet.until("document.querySelector('#status').textContent.includes('kept here')")
        tablet.answer(3, "left")
        assert answers(study) == [(1, 1, "left")]
        tablet.context.set_offline(False)
        tablet.settled()
        # The reply is lost on its way, after the server kept the answer: it is sent again and kept once.
        lost = []

        def lose(route: Any) -> None:
            if not lost:
                lost.append(route.fetch().status)
                route.abort()
            else:
                route.continue_()

        page.route("**/api/answers", lose)
        tablet.answer(4, "right")
        page.wait_for_selector("#details", state="visible")
        assert lost == [200]
        assert page.inner_text("#status") == ""
        assert tablet.troubles == []
        tablet.context.close()
        log = (study.folder / "refused.log").read_text().splitlines()
        assert [json.loads(line)["refused"] for line in log] == ["repeated"]
    assert [row[1:] for row in answers(study)] == [(1, "left"), (2, "right"), (3, "left"), (4, "right")]


def test_without_a_server_from_a_file(browser: Any, store: Store, tmp_path: Path) -> None:
    study = build(
        store.path,
        store.path,
        tmp_path / "study",
        StudySettings(secret=1, pairs=PAIRS, browser=True, note="Phantoms only."),
    )
    index = study.folder / "public" / "index.html"
    tablet = Tablet(browser, index.as_uri())
    page = tablet.page
    assert page.inner_text("#note") == "Phantoms only."
    tablet.fill(radiologist=True)
    # What makes sense without a server is there: window, flip and pixels, by keys here.
    page.locator("#left .openseadragon-canvas").focus()
    for key in ("c", "h", "1"):
        page.keyboard.press(key)
    assert "contrast" in page.evaluate("document.querySelector('#left canvas').style.filter")
    assert page.is_visible("#left ~ .reset")
    assert not page.evaluate("navigator.serviceWorker && navigator.serviceWorker.controller")
    tablet.answer(1, "left")
    page.reload()
    for number, side in ((2, "right"), (3, "left"), (4, "right")):
        tablet.answer(number, side)
    page.wait_for_selector("#details", state="visible")
    with page.expect_download() as download:
        page.click("#download")
    table = read_responses(download.value.path())
    assert table["chosen_side"].tolist() == ["left", "right", "left", "right"]
    kept = json.loads(page.evaluate(f"localStorage.getItem('mammogan-study:{study.id}')"))
    pairs = study.session(int(kept["token"]))
    assert table["real_side"].tolist() == [pair.real_side for pair in pairs]
    assert table["synthetic_id"].tolist() == [pair.synthetic_id for pair in pairs]
    assert set(table["trainee"]) == {"yes"}
    assert (table["seconds"] > 0).all()
    assert page.inner_text("#score").startswith(f"You found the real image in {table['correct'].sum()} of")
    assert axe(tablet) == []
    assert tablet.troubles == []
    tablet.context.close()


def test_tiles_and_the_administrators_page(
    browser: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PLAIN", 24)
    monkeypatch.setattr(pictures, "TILE", 16)
    study = build(store.path, store.path, tmp_path / "study", StudySettings(secret=1, pairs=1))
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        tablet.js("study.pairs = 1")
        fetched: list[str] = []
        tablet.page.on("response", lambda reply: fetched.append(f"{reply.status} {reply.url}"))
        tablet.page.click("#begin")
        tablet.page.check("input[name=radiologist][value=no]")
        tablet.page.fill("#about-years", "0")
        tablet.page.click("#start")
        tablet.until("viewers.left && viewers.left.ready && viewers.right.ready")
        tablet.until("viewers.left.osd.world.getItemAt(0).getFullyLoaded()")
        tiles = [line for line in fetched if "/pictures/" in line]
        assert {line.split("/")[-2] for line in tiles} >= {"7"}
        assert all(line.startswith("200") for line in tiles)
        pair = study.session(1)[0]
        whole = Store.open(store.path).images()
        ids = Store.open(store.path).manifest["id"].tolist()
        expected = float((whole[ids.index(pair.real_id)] > 1000).mean())
        # The tiles are drawn where they belong: as large a share of the picture is bright on the screen.
        seen = tablet.js(
            f"""(() => {{ const d = viewers.{pair.real_side}.osd.drawer.canvas, o = document.createElement('canvas');
            o.width = d.width; o.height = d.height; const p = o.getContext('2d'); p.drawImage(d, 0, 0);
            const i = p.getImageData(0, 0, o.width, o.height).data; let n = 0;
            for (let k = 0; k < i.length; k += 4) n += i[k] > 62; return n / (o.height * o.height * 0.8); }})()"""
        )
        assert seen == pytest.approx(expected, abs=0.1)
        assert tablet.troubles == []
        tablet.context.close()
        context = browser.new_context(http_credentials={"username": "admin", "password": PASSWORD})
        page = context.new_page()
        page.goto(f"{address}/admin")
        assert page.locator("main table", has_text="Sessions begun").count() == 1
        assert [text for text in page.locator("main a").all_inner_texts() if "://" in text] == [f"{address}/"]
        assert page.evaluate("document.querySelector('main img').naturalWidth") > 100
        page.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())
        assert page.evaluate("axe.run({preload: false})")["violations"] == []
        context.close()
