"""Inspections: seeded, blinded and ranked, and labeled in a browser."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted_damage import plant
from stacks import Drawn, peak_of
from typer.testing import CliRunner

from mammogan.__main__ import app
from mammogan.artifacts import labels
from mammogan.artifacts.detectors import DETECTORS
from mammogan.artifacts.facts import facts_table
from mammogan.artifacts.inspection import GAP, contact_sheet, make_inspection, read_key
from mammogan.data.images import Images
from mammogan.data.store import StoreWriter, quantize
from mammogan.errors import InspectionError, OutputError
from mammogan.report.labels import report
from mammogan.report.provenance import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def inspection(population: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 synthetic images of each view among 8 real ones; three of the synthetic are damaged."""
    rng = np.random.default_rng(0)
    synthetic = population.take(np.arange(0, 24))
    for k in (0, 1, 2):
        synthetic.pixels[k] = quantize(plant(synthetic.pixels[k] / 4095, "network_failure", rng), 12)
    out = tmp_path_factory.mktemp("inspection") / "out"
    page = make_inspection(synthetic, out, real=population.take(np.arange(24, 40)), count=10, controls=4, seed=2)
    assert page == out / "index.html"
    return out


def test_an_inspection_is_seeded_blinded_and_ranked(inspection: Path, population: Images, tmp_path: Path) -> None:
    key = read_key(inspection)
    assert key.groupby(["kind", "view"]).size().to_dict() == {
        ("real", "CC"): 4,
        ("real", "MLO"): 4,
        ("synthetic", "CC"): 10,
        ("synthetic", "MLO"): 10,
    }
    page = (inspection / "index.html").read_text()
    assert not any(text in page for text in ("synthetic", '"real"', "key.csv"))
    first = np.asarray(Image.open(inspection / "images" / "0001.png"))
    source = population.pixels[(24 if key["kind"][0] == "real" else 0) + key["index"][0]]
    assert key["kind"][0] == "real" or key["index"][0] > 2
    np.testing.assert_array_equal(first, np.rint(source * (255 / 4095)).astype(np.uint8))
    sheets = {p.stem for p in (inspection / "sheets").glob("*.png")}
    assert sheets == {"random_CC_01", "random_MLO_01", *(f"ranked_{d}" for d in (*DETECTORS, "any"))}
    scores = pd.read_csv(inspection / "candidates.csv").merge(key, on="number")
    damaged = scores["index"].isin([0, 1, 2])
    if damaged.any():
        assert scores.loc[damaged, "any"].min() > scores.loc[~damaged, "any"].median()
    again = make_inspection(
        population.take(np.arange(0, 24)),
        tmp_path / "b",
        real=population.take(np.arange(24, 40)),
        count=10,
        controls=4,
        seed=2,
    )
    pd.testing.assert_frame_equal(read_key(again.parent), key)
    with pytest.raises(InspectionError, match="is not empty"):
        make_inspection(population, inspection)
    with pytest.raises(OutputError, match=r"key\.csv cannot be written"):
        make_inspection(population, inspection / "key.csv")
    small = replace(population, pixels=population.pixels[:, ::2, ::2])
    with pytest.raises(InspectionError, match="two sets of one size"):
        make_inspection(population, tmp_path / "c", real=small)


def test_a_sheet_keeps_the_gray_levels() -> None:
    images = np.stack([np.full((80, 64), level, np.uint16) for level in (0, 2048, 4095)])
    sheet = np.asarray(contact_sheet(images, 12, ["a", "b", "c"], columns=3))
    assert {0, 128, 255} <= set(np.unique(sheet))


def test_a_sheet_of_large_images_shows_means_of_their_pixels() -> None:
    image = np.zeros((1, 2560, 2048), np.uint16)
    image[0, ::2] = 4095
    sheet = np.asarray(contact_sheet(image, 12, [""], columns=1))
    assert sheet.shape == (GAP + 12 + 1280 + GAP, 2 * GAP + 1024)
    assert set(np.unique(sheet[-GAP - 1280 : -GAP, GAP:-GAP])) <= {127, 128}


@pytest.mark.slow
def test_images_of_2560_x_2048_are_read_one_at_a_time(tmp_path: Path) -> None:
    def inspect(count: int) -> None:
        images = Drawn(count, (2560, 2048))
        names = np.arange(count).astype(str)
        views, spacing = np.full(count, "CC"), np.full(count, 0.1)
        make_inspection(Images(images, 12, names, views, names, spacing), tmp_path / str(count))
        assert images.most == 1

    few, many = (peak_of(lambda count=count: inspect(count)) for count in (2, 5))
    assert many - few < 2560 * 2048 * 2


@pytest.mark.slow
def test_facts_of_images_of_2560_x_2048_need_a_few_images_of_memory() -> None:
    images = Drawn(3, (2560, 2048))
    table = facts_table(images, 12)
    assert len(table) == 3
    assert images.most == 1


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_labeling_in_a_browser(inspection: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    page_url = (inspection / "index.html").as_uri()
    outside, errors = [], []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"),
            executable_path=CHROMIUM,
            accept_downloads=True,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        view = context.new_page()
        view.on(
            "request", lambda r: outside.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None
        )
        view.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        view.on("pageerror", lambda e: errors.append(str(e)))

        def count() -> str:
            return view.locator("#count").inner_text()

        def press(*keys: str) -> None:
            for key in keys:
                view.keyboard.press(key)

        view.goto(page_url)
        press("0")
        assert "Give your name" in view.locator("#warning").inner_text() or view.locator("#observer").input_value()
        view.fill("#observer", "Ada, L.")
        view.keyboard.press("Enter")
        order = view.evaluate("order")
        assert sorted(order) == list(range(1, 29))
        # Nothing, one class, two classes of which one is unmarked again, nothing by the space bar.
        press("0", "1", "Enter", "2", "7", "2", "Enter", " ")
        assert count() == "4 of 28"
        kept = view.evaluate("order.slice(0, 4).map(n => labels[n].artifacts.join(';'))")
        assert kept == ["", "network_failure", "grid", ""]
        press("u", "u")
        assert count() == "2 of 28"
        assert view.evaluate("at") == 2
        press("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight")
        assert count() == "2 of 28"
        assert view.locator(".class[aria-pressed=true]").inner_text().startswith("1")
        press("n")
        assert view.evaluate("at") == 2
        press("9", "Enter")

        # A reload, and a new page in the same browser, go on where it was; undo still knows its history.
        view.reload()
        assert count() == "3 of 28"
        assert view.input_value("#observer") == "Ada, L."
        assert view.evaluate("order") == order
        press("u")
        assert count() == "2 of 28"
        press("9", "Enter")

        with view.expect_download() as download:
            view.click("#download")
        file = tmp_path / "ada.csv"
        download.value.save_as(file)
        table = labels.read_labels([file], 28)
        assert set(table["observer"]) == {"Ada, L."}
        assert table.set_index("number").loc[order[2], "border"]
        assert table["any"].sum() == 2

        # A second observer sees another order and none of the first one's labels.
        view.fill("#observer", "Bo")
        view.keyboard.press("Enter")
        assert count() == "0 of 28"
        assert view.evaluate("order") != order
        for _ in range(28):
            press("0")
        assert "All images are labeled" in view.locator("#warning").inner_text()
        with view.expect_download() as download:
            view.click("#download")
        download.value.save_as(tmp_path / "bo.csv")

        # The picture is not changed, only enlarged in squares; axe reports nothing.
        style = view.locator("#image").evaluate("e => [getComputedStyle(e).imageRendering, getComputedStyle(e).filter]")
        assert style == ["pixelated", "none"]
        view.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())
        violations = view.evaluate("axe.run({preload: false})")["violations"]
        assert not violations, [(v["id"], [n["html"][:100] for n in v["nodes"]]) for v in violations]
        context.close()

        # Another browser continues from the file, and refuses what is none.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page()
        view.on("pageerror", lambda e: errors.append(str(e)))
        view.goto(page_url)
        (tmp_path / "wrong.csv").write_text("observer,number,artifacts\nX,99,grid\n")
        view.set_input_files("#upload", tmp_path / "wrong.csv")
        view.wait_for_function("document.getElementById('warning').textContent !== ''")
        assert "not one observer's labels" in view.locator("#warning").inner_text()
        view.set_input_files("#upload", file)
        view.wait_for_function("document.getElementById('count').textContent === '3 of 28'")
        assert view.input_value("#observer") == "Ada, L."
        assert view.evaluate("order") == order
        browser.close()
    assert not outside
    assert not errors
    text = report(inspection, [file, tmp_path / "bo.csv"], tmp_path / "report")
    assert "Bo: 0 of 20 synthetic images with an artifact" in text
    assert {p.name for p in (tmp_path / "report").iterdir()} == {
        "rates.csv",
        "views.csv",
        "agreement.csv",
        "detection.csv",
    }


@pytest.mark.slow
def test_both_views_of_a_breast_are_next_to_each_other_on_the_sheets(tmp_path: Path) -> None:
    """Images are drawn as one gray per breast and view, so that a sheet tells which image is where."""
    with StoreWriter(tmp_path / "store", 80, 64, 12, {"by": "test"}) as writer:
        for number, view in enumerate(["MLO", "CC"] * 8):
            image = np.full((80, 64), (16 * (number + 1)) / 4095 * 16)
            facts = {"patient": str(number // 2), "laterality": "L", "view": view}
            writer.accept(image, id=str(number), **facts)
        writer.accept(np.zeros((80, 64)), id="single", patient="single", laterality="L", view="CC")
    arguments = ["inspect", str(tmp_path / "store"), "--count", "5", "--pairs", "--out"]
    assert CliRunner().invoke(app, [*arguments, str(tmp_path / "out")]).exit_code == 0
    key = read_key(tmp_path / "out")
    assert len(key) == 10 and "single" not in set(key["id"])
    assert json.loads((tmp_path / "out" / "inspection.json").read_text())["breasts"] == 5
    assert key["breast"].value_counts().tolist() == [2] * 5
    assert [path.name for path in (tmp_path / "out" / "sheets").iterdir()] == ["random_pairs_01.png"]
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheets" / "random_pairs_01.png"))
    step, factor = contact_sheet(np.zeros((1, 80, 64), np.uint16), 12, [""], 1).width, 2
    grays = sheet[GAP + 12 + 80, [GAP + (step - GAP) * place + 64 * factor // 2 for place in range(10)]]
    shown = (grays.astype(int) * 4095 / 255 / 256).round().astype(int) - 1  # number of the image
    assert (shown[::2] % 2 == 1).all() and (shown[1::2] == shown[::2] - 1).all()
    (tmp_path / "labels.csv").write_text(
        "observer,number,artifacts\n" + "".join(f"Ada,{n},{'grid' if n == 1 else ''}\n" for n in key["number"])
    )
    text = report(tmp_path / "out", [tmp_path / "labels.csv"], tmp_path / "report")
    assert "Ada: 1 of 10 synthetic images with an artifact" in text
    assert "Ada: 1 of 5 synthetic breasts with an artifact" in text


@pytest.mark.slow
def test_the_surprising_view_of_a_breast_brings_the_other_to_the_front(population: Images, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    synthetic = population.take(np.arange(24))
    synthetic.pixels[5] = quantize(plant(synthetic.pixels[5] / 4095, "network_failure", rng), 12)
    synthetic.pairs = np.arange(24).reshape(12, 2)
    make_inspection(synthetic, tmp_path / "out", real=population.take(np.arange(24, 80)), count=12, controls=4)
    key = read_key(tmp_path / "out").set_index("number")
    scores = pd.read_csv(tmp_path / "out" / "candidates.csv").assign(row=lambda t: t["number"].map(key["index"]))
    highest = scores.groupby(scores["row"] // 2)["any"].max()
    assert highest.idxmax() == 2
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheets" / "ranked_any.png"))
    for place, row in enumerate((4, 5)):
        left = GAP + place * (2 * 64 + GAP)
        expected = np.rint(synthetic.pixels[row] * (255 / 4095)).astype(np.uint8)
        np.testing.assert_array_equal(sheet[GAP + 12 : GAP + 12 + 160 : 2, left : left + 128 : 2], expected)


def test_an_inspection_of_pairs_needs_pairs(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", 80, 64, 12, {"by": "test"}) as writer:
        writer.accept(np.zeros((80, 64)), id="0", patient="0", laterality="L", view="CC")
    answer = CliRunner().invoke(app, ["inspect", str(tmp_path / "store"), "--pairs", "--out", str(tmp_path / "out")])
    assert answer.exit_code != 0 and "no pair of views, since all views are CC" in str(answer.exception)
    assert not (tmp_path / "out").exists()
