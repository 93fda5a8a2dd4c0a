"""Pages of designed studies in a real browser: consent, display, own questions, confidence, single images, German."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from study import PASSWORD, answer_rows, needs_viewer, ovals, served
from tablet import SIZES, Tablet, axe, needs_chromium

from mammogan.data.store import StoreWriter
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.export import responses
from mammogan.reader_study.protocol import StudyProtocol
from mammogan.report.provenance import ROOT
from mammogan.stats.responses import read_responses

pytestmark = [pytest.mark.slow, needs_viewer, needs_chromium]
PROTOCOL = """\
show: SHOW
confidence: yes
practice: 1
repeats: 1
checks: 1
replace: no
strata: [view]
comments: yes
feedback: yes
display: yes
language: LANGUAGE
consent: {version: "3", text: "One paragraph.\\n\\nAnother one."}
questionnaire:
  - name: profession
    text: Profession
    choices: {radiologist: Radiologist, nurse: Nurse}
  - {name: ward, when: {profession: nurse}, text: Ward, length: 20}
  - {name: start, text: Start, number: [0, 9]}  # names that the page itself has
  - {name: item, text: Item, length: 9}
"""


def designed(folder: Path, show: str, language: str, browser: bool = False) -> ReaderStudy:
    """Build a study of two scored questions with all that a protocol offers."""
    for name in ("real", "early", "late"):
        with StoreWriter(folder / name, 80, 64, 12, {"by": "test"}) as writer:
            for number, image in enumerate(ovals(8)):
                writer.accept(image, id=f"{name}-{number}", view="CC" if number % 2 else "MLO")
    file = folder / "study.yaml"
    file.write_text(PROTOCOL.replace("SHOW", show).replace("LANGUAGE", language))
    settings = StudySettings(pairs=2, secret=1, idle=0, browser=browser, protocol=StudyProtocol.read(file))
    return build(folder / "real", [folder / "early", folder / "late"], folder / "study", settings)


def prepare(tablet: Tablet, check: bool) -> None:
    """Go from the introduction to the first question; with `check`, look at each page with axe."""
    page = tablet.page
    page.locator("#practice[aria-busy=false]").wait_for()
    pages = ["tutorial", "consent", "display", "questionnaire"]
    for number, name in enumerate(pages):
        page.wait_for_selector(f"#{name}", state="visible")
        if check:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert axe(tablet) == [], name
        if name == "consent":
            assert page.locator("#consent-text p").all_inner_texts() == ["One paragraph.", "Another one."]
            page.click("#consenting .primary")  # refused by the browser: the box is not checked
            assert page.is_visible("#consent")
            page.check("#agreed")
        elif name == "display":
            # Where the squares are, as a reader sees them: brighter in the dark field, darker in the bright one.
            for field, sign in (("dark", 1), ("bright", -1)):
                side = page.evaluate(
                    f"""(() => {{ const p = document.getElementById('{field}').getContext('2d');
                    const at = (x) => p.getImageData(x, 100, 1, 1).data[0];
                    return {sign} * (at(200) - at(600)) > 0 ? 'left' : 'right'; }})()"""
                )
                page.check(f"input[name={field}][value=at_{side}]")
        elif name == "questionnaire":
            assert page.is_hidden("#about-ward")
            page.check("input[value=nurse]")
            page.fill("#about-ward", "A, 3")
            page.fill("#about-start", "3")
            page.fill("#about-item", "=1+1")
        page.locator(f"#{pages[number]} .primary").click()


def choose(tablet: Tablet, number: int) -> None:
    page = tablet.page
    page.locator(f"#progress[value='{number}']").wait_for(state="attached")
    page.locator("#confirm").wait_for()
    page.locator("#left[aria-busy=false]").wait_for()
    page.locator("#choice .side label").first.click()
    assert page.is_disabled("#confirm")
    page.locator("#certain label").nth(number).click()
    page.fill("#comment", f"vessels, {number}")
    page.locator("#confirm:not([disabled])").wait_for()


def answer_all(tablet: Tablet, check: bool, first: int = 0, count: int = 5) -> None:
    page = tablet.page
    for number in range(first, count):
        choose(tablet, number)
        if check and number < 2:
            size = page.viewport_size
            for element in page.locator("#choice label, #choice button, #comment, #pairs .new-reader").all():
                if element.is_visible() and (box := element.bounding_box()):
                    assert box["x"] >= 0
                    assert box["x"] + box["width"] <= size["width"] + 1
                    assert box["y"] + box["height"] <= size["height"] + 1
                    assert box["height"] >= 40
            assert axe(tablet) == []
        page.click("#confirm")
        page.wait_for_timeout(650)
        page.click("#next")
    page.wait_for_selector("#details", state="visible")


@pytest.mark.parametrize(
    ("show", "language", "device"),
    [
        ("pairs", "en", "iPad"),
        ("images", "de", "phone"),
        ("pairs", "de", "phone on its side"),
        ("images", "en", "Split View"),
    ],
)
def test_every_page(browser: Any, tmp_path: Path, show: str, language: str, device: str) -> None:
    study = designed(tmp_path, show, language)
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/", SIZES[device], touch=True)
        page = tablet.page
        prepare(tablet, check=True)
        page.locator("#pairs-title", has_text={"en": "Practice", "de": "Übungs"}[language]).wait_for()
        page.reload()  # the choice, its confidence and its comment survive
        tablet.until("viewers.left && viewers.left.ready")
        page.locator("#choice .side label").first.click()
        page.fill("#comment", "soft")
        page.reload()
        tablet.until("viewers.left && viewers.left.ready")
        assert page.input_value("#comment") == "soft"
        answer_all(tablet, check=True)
        # Only what counts is shown, with its pictures: a frame around each real one.
        rows = page.locator("#answers tr")
        assert rows.count() == 2
        scored = [question for question in study.session(1) if question.role == "scored"]
        for row, question in zip(rows.all(), scored, strict=True):
            framed = [image.get_attribute("class").endswith("real") for image in row.locator("img").all()]
            expected = [question.truth == side for side in ("left", "right")]
            assert framed == (expected if show == "pairs" else [question.truth == "real"])
        tablet.until("[...document.images].every((image) => image.naturalWidth > 0)")
        right = sum(question.truth in ("left", "real") for question in scored)
        begins = {
            ("pairs", "en"): f"You found the real image in {right} of 2",
            ("pairs", "de"): f"Sie haben das echte Bild in {right} von 2",  # codespell:ignore
            ("images", "en"): f"You were right about {right} of 2",
            ("images", "de"): f"Sie lagen bei {right} von 2",  # codespell:ignore
        }
        assert page.inner_text("#score").startswith(begins[show, language])
        assert page.get_attribute("html", "lang") == language
        assert axe(tablet) == []
        assert tablet.troubles == []
        tablet.context.close()
    table = responses(study)
    assert table["question"].tolist() == [1, 2]
    assert set(table["ward"]) == {"A, 3"}
    assert set(table["display_dark"]) == set(table["display_bright"]) == {"yes"}
    assert set(table["consent_version"]) == {"3"}
    assert set(table["complete"]) == {"yes"}
    assert (table["consented_at"] <= table["started_at"]).all()
    assert table["comment"].str.startswith("vessels, ").all()
    assert sorted(table["again_answer"].notna()) == [False, True]
    assert set(table["start"]) == {3}
    assert set(table["item"]) == {"'=1+1"}  # for spreadsheets


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_designed_study(browser: Any, tmp_path: Path) -> None:
    study = designed(tmp_path, "pairs", "de")
    with served(study.folder) as (address, process):
        tablet = Tablet(browser, f"{address}/", SIZES["iPad"], touch=True)
        page = tablet.page
        prepare(tablet, check=False)
        tablet.until("state.pairs.flat().every((name) => progressOf(name).share === 1)")
        for number in range(2):
            choose(tablet, number)
            page.click("#confirm")
            if number == 1:
                process.kill()  # while the answer is under way
            page.wait_for_timeout(650)
            page.click("#next")
        choose(tablet, 2)
        page.click("#confirm")
        page.locator("#status", has_text="Keine Verbindung").wait_for()
        assert process.wait() == -9
    stored = answer_rows(study)
    with served(study.folder, int(address.rpartition(":")[2])):
        page.reload()
        tablet.until("state.locked && viewers.left && viewers.left.ready")  # where the reader was
        tablet.settled()
        page.click("#next")
        answer_all(tablet, check=False, first=3)
        assert tablet.troubles == []
        tablet.context.close()
    rows = answer_rows(study)
    assert rows[: len(stored)] == stored
    assert [row[:2] for row in rows] == [(1, question) for question in range(1, 6)]
    session = study.session(1)
    scored = [question for question in session if question.role == "scored"]
    table = responses(study)
    assert table["question"].tolist() == [1, 2]
    assert table["confidence"].tolist() == [session.index(question) + 1 for question in scored]
    assert table["comment"].tolist() == [f"vessels, {session.index(question)}" for question in scored]
    assert table["left"].tolist() == [question.left for question in scored]
    assert set(table["chosen_side"]) == {"left"}
    assert table["correct"].tolist() == [question.real_side == "left" for question in scored]
    repeat = next(question for question in session if question.role == "repeat")
    again = table.set_index("question").loc[repeat.number]
    assert again["again_answer"] == ("left" if again["left"] == repeat.left else "right")
    assert again["again_confidence"] == session.index(repeat) + 1
    assert set(table["consent_version"]) == {"3"}
    assert set(table["ward"]) == {"A, 3"}
    assert set(table["complete"]) == {"yes"}


def test_the_demonstration_writes_the_table_of_the_server(browser: Any, tmp_path: Path) -> None:
    study = designed(tmp_path, "images", "en", browser=True)
    tablet = Tablet(browser, (study.folder / "public" / "index.html").as_uri())
    prepare(tablet, check=False)
    answer_all(tablet, check=False)
    with tablet.page.expect_download() as download:
        tablet.page.click("#download")
    text = Path(download.value.path()).read_text()
    assert text.splitlines()[0].split(",") == list(study.columns)
    table = read_responses(download.value.path())
    kept = json.loads(tablet.page.evaluate(f"localStorage.getItem('mammogan-study:{study.id}')"))
    session = study.session(int(kept["token"]))
    scored = [question for question in session if question.role == "scored"]
    assert table["image_id"].tolist() == [question.image_id for question in scored]
    assert table["answer"].tolist() == ["real", "real"]
    assert table["confidence"].tolist() == [session.index(question) + 1 for question in scored]
    assert table["comment"].tolist() == [f"vessels, {session.index(question)}" for question in scored]
    assert set(table["ward"]) == {"A, 3"}
    assert set(table["checks_answered"]) == {1}
    assert set(table["item"]) == {"'=1+1"}
    assert sorted(table["again_answer"]) == ["", "real"]
    assert tablet.troubles == []
    tablet.context.close()


def test_zoom_window_and_changes_are_counted(browser: Any, tmp_path: Path) -> None:
    study = designed(tmp_path, "pairs", "en")
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        prepare(tablet, check=False)
        tablet.until("viewers.left && viewers.left.ready && viewers.right.ready")
        page.check("#linked")
        page.locator("#left .openseadragon-canvas").focus()
        page.keyboard.press("+")
        tablet.until("state.looked.zooms === 1")
        page.keyboard.press("c")
        tablet.until("state.looked.windows === 1")
        for side in ("left", "right", "left"):
            page.check(f"input[name=side][value={side}]")
        looked = tablet.js("state.looked")
        assert looked.pop("zoom") == pytest.approx(1.25, abs=0.01)
        assert looked == {"zooms": 1, "windows": 1, "changes": 2}
        page.locator("#certain label").nth(1).click()
        page.click("#confirm")
        page.wait_for_timeout(650)
        page.click("#next")
        tablet.until("viewers.left.ready && viewers.right.ready && state.answers.length === 1 && !state.locked")
        assert tablet.js("state.looked") == {"zoom": 1, "zooms": 0, "windows": 0, "changes": 0}
        page.locator("#left .openseadragon-canvas").focus()
        page.keyboard.press("+")
        tablet.until("state.looked.zooms === 1")  # the same zoom of another picture counts
        assert tablet.js("state.looked.zoom") == pytest.approx(1.25, abs=0.01)
        assert tablet.troubles == []
        tablet.context.close()


def test_the_administrator_closes_voids_and_downloads(browser: Any, tmp_path: Path) -> None:
    study = designed(tmp_path, "pairs", "en")
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        prepare(tablet, check=False)
        answer_all(tablet, check=False)
        context = browser.new_context(http_credentials={"username": "admin", "password": PASSWORD})
        page = context.new_page()
        page.goto(f"{address}/admin")
        page.get_by_role("button", name="Close the study").click()
        page.get_by_role("button", name="Open it again").wait_for()
        tablet.page.click("#again")
        # The next reader is told so, and begins when it is open again.
        tablet.until("state.page === 'tutorial' && viewers.practice && viewers.practice.ready")
        prepare(tablet, check=False)
        tablet.page.locator("#status", has_text="The study is closed").wait_for()
        page.get_by_role("button", name="Open it again").click()
        page.get_by_role("button", name="Close the study").wait_for()
        tablet.page.click("#start")
        tablet.until("state.page === 'pairs'")
        page.get_by_role("button", name="Void S00001").click()
        page.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())
        assert page.evaluate("axe.run({preload: false})")["violations"] == []
        page.fill("#reason", "a visitor")
        page.get_by_role("button", name="Void it").click()
        page.get_by_text("void: a visitor").wait_for()
        page.get_by_text("S00002").first.wait_for()  # the page renews itself
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the answers").click()
        assert Path(download.value.path()).read_text().splitlines()[0].split(",") == list(study.columns)
        context.close()
        tablet.context.close()
