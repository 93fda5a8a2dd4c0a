"""Artifacts: detectors on planted damage, spots on planted discs, statistics of labels, the page in a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted_damage import DAMAGE, plant
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.inter_rater import cohens_kappa

from mammogan import errors
from mammogan.artifacts import labels
from mammogan.artifacts.blobs import compare_blobs, find_blobs
from mammogan.artifacts.classes import CLASSES, KEYS
from mammogan.artifacts.detectors import DETECTORS, Detectors, surprise
from mammogan.artifacts.facts import facts_table, grid_peak
from mammogan.artifacts.inspection import contact_sheet, make_inspection, read_key
from mammogan.data.images import Images, open_images
from mammogan.data.store import quantize
from mammogan.errors import InputError, InspectionError
from mammogan.report.labels import report
from mammogan.report.provenance import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = (80, 64)


def breast(rng: np.random.Generator, view: str) -> np.ndarray:
    """A half ellipse with a soft edge and cloudy tissue, and a bright triangle in an MLO: (80, 64) in [0, 1]."""
    rows, columns = np.indices(SIZE)
    y, height, depth = 40 + rng.normal(0, 2), rng.uniform(28, 36), rng.uniform(32, 48)
    edge = 1 / (1 + np.exp(4 * (np.hypot((rows - y) / height, columns / depth) - 1) * depth / 4))
    clouds = sum(s * ndimage.gaussian_filter(rng.standard_normal(SIZE), s) for s in (1, 2, 4, 8))
    gray = edge * np.clip(0.35 + 0.06 * clouds, 0.1, 0.9)
    if view == "MLO":
        muscle = 1 / (1 + np.exp(columns + 0.4 * rows - rng.uniform(14, 20)))
        gray = np.maximum(gray, rng.uniform(0.5, 0.6) * muscle)
    return np.clip(gray, 0, 1) * (edge > 0.02)


@pytest.fixture(scope="module")
def population() -> Images:
    """80 drawn breasts of 20 patients, 80 x 64; phantoms would take longer to draw than everything else here."""
    rng = np.random.default_rng(5)
    views = np.array(["CC", "MLO"] * 40)
    pixels = np.stack([quantize(breast(rng, view), 12) for view in views])
    names = np.arange(80).astype(str)
    return Images(pixels, 12, names, views, np.repeat(np.arange(20), 4), np.full(80, 2.75))


@pytest.fixture(scope="module")
def facts(population: Images) -> pd.DataFrame:
    return facts_table(population.pixels, 12)


def part(images: Images, rows: slice) -> Images:
    return Images(images.pixels[rows], 12, images.ids[rows], images.views[rows], images.patients[rows],
                  images.spacing_mm[rows])  # fmt: skip


def test_a_class_a_digit_and_a_damage() -> None:
    assert len(CLASSES) == 9
    assert set(DAMAGE) == set(KEYS)
    with pytest.raises(ValueError, match="no artifact 'nose'"):
        plant(np.zeros((80, 64)), "nose", np.random.default_rng(0))


def test_surprise_is_the_share_as_high_and_grows_beyond() -> None:
    rng = np.random.default_rng(0)
    reference, fresh = rng.exponential(size=4000), rng.exponential(size=4000)
    found = surprise(reference, fresh)
    # One in ten and one in a hundred of new images from the same source exceed 1 and 2.
    assert (found >= 1).mean() == pytest.approx(0.1, abs=0.015)
    assert (found >= 2).mean() == pytest.approx(0.01, abs=0.006)
    # An exponential tail goes on as it began: at 3 ln 10 above the upper tenth, three orders of magnitude more.
    far = np.quantile(reference, 0.9) + 5 * np.log(10)
    assert surprise(reference, np.array([far]))[0] == pytest.approx(6, rel=0.1)
    assert np.all(np.diff(surprise(reference, np.linspace(0, 30, 200))) >= -1e-12)
    small = rng.normal(size=60)
    assert (surprise(small) >= 2).mean() <= 2 / 60
    assert np.isfinite(surprise(np.zeros(20), np.array([0.0, 1.0]))).all()
    # Where all real images are alike, an image that differs is surprising, and not by millions.
    chance = surprise(np.zeros(200), floor=0.4343)
    assert 2 < surprise(chance, np.array([40.0]), 0.4343)[0] < 60


def test_grid_peak_knows_the_upsampling_periods(population: Images) -> None:
    image = population.pixels[0] / 4095
    clean = grid_peak(image)
    rows, columns = np.indices(image.shape)
    for period in (2, 4, 8):
        wave = np.cos(2 * np.pi * rows / period) * np.cos(2 * np.pi * columns / period)
        assert grid_peak(image * (1 + 0.15 * wave)) > clean + 0.25
    wave = np.cos(2 * np.pi * rows / 5) * np.cos(2 * np.pi * columns / 5)
    assert grid_peak(image * (1 + 0.15 * wave)) < clean + 0.25


# The detector that is made for a kind of damage must tell it from none; vessels, soft specks and copies hide from all.
@pytest.mark.parametrize(
    ("kind", "detector", "least"),
    [
        ("network_failure", "any", 0.95),
        ("outline", "outline", 0.65),
        ("implant", "saturation", 0.7),
        ("grid", "grid", 0.65),
        ("marker", "specks", 0.6),
        ("border", "outline", 0.7),
    ],
)
def test_planted_damage_is_found(
    population: Images, facts: pd.DataFrame, kind: str, detector: str, least: float
) -> None:
    reference = np.arange(len(population)) < 48  # twelve patients
    fitted = Detectors(facts[reference], population.patients[reference], population.views[reference])
    views = population.views[~reference]
    rng = np.random.default_rng(3)
    damaged = np.stack([quantize(plant(p / 4095, kind, rng), 12) for p in population.pixels[~reference]])
    clean = fitted.scores(facts[~reference], views)[detector]
    found = fitted.scores(facts_table(damaged, 12), views)[detector]
    assert roc_auc_score([0] * len(clean) + [1] * len(found), [*clean, *found]) >= least


def test_texture_along_the_axes_and_a_lit_background_are_found(population: Images, facts: pd.DataFrame) -> None:
    """What a small generator does everywhere, where planted damage is in one place: no pixel alone shows it."""
    fitted = Detectors(facts[:48], population.patients[:48], population.views[:48])
    rng = np.random.default_rng(4)
    later, views = population.pixels[48:] / 4095, population.views[48:]
    clean = fitted.scores(facts[48:], views)

    def scores(images: np.ndarray) -> pd.DataFrame:
        return fitted.scores(facts_table(np.stack([quantize(image, 12) for image in images]), 12), views)

    threads = rng.normal(size=(len(later), 80, 1)) + rng.normal(size=(len(later), 1, 64))
    woven = scores(np.clip(later * (1 + 0.05 * threads), 0, 1))
    hazy = scores(np.maximum(later, rng.uniform(0, 0.01, later.shape)))
    assert (clean[["grid", "background"]] >= 2).mean().max() < 0.2
    assert (woven["grid"] >= 2).all()
    assert (hazy["background"] >= 2).all() and (hazy["grid"] >= 2).mean() < 0.2


def test_no_image_is_its_own_neighbor(population: Images, facts: pd.DataFrame) -> None:
    fitted = Detectors(facts, population.patients, population.views)
    assert fitted.distance(facts).min() < fitted.distance(facts, fitted.patients).min()
    own = fitted.own_scores()
    assert list(own) == [*DETECTORS, "any"]
    assert (own["outline"] >= 2).mean() <= 0.05
    # A mirrored image shows the same: the detectors do not see laterality.
    mirrored = facts_table(population.pixels[:4, :, ::-1], 12)
    np.testing.assert_allclose(mirrored["area"], facts["area"][:4], rtol=0.02)


def test_planted_spots_are_counted_with_their_size_and_lines_are_not() -> None:
    rng = np.random.default_rng(0)
    h, w, mm = 320, 256, 0.5
    rows, columns = np.indices((h, w))
    breast = (np.hypot(rows - 160, columns) < 150).astype(np.float32)
    image = 0.3 * breast + 0.01 * rng.standard_normal((h, w)).astype(np.float32) * breast
    places = [(100, 60, 1.0), (200, 40, 1.5), (160, 90, 2.0), (240, 30, 1.0)]
    for y, x, radius in places:
        disc = np.clip(radius / mm - np.hypot(rows - y, columns - x) + 0.5, 0, 1)
        image = np.maximum(image, (0.3 + 0.4 * disc) * breast)
    image = np.maximum(
        image, breast * (0.3 + 0.4) * (np.abs(columns - 20 - 0.3 * rows) < 1.5) * (rows < 140)
    )  # a vessel
    found = find_blobs(np.clip(image, 0, 1), mm).sort_values("y_mm").reset_index(drop=True)
    assert len(found) == 4
    for (y, x, radius), row in zip(sorted(places), found.itertuples(), strict=True):
        assert row.y_mm == pytest.approx((y + 0.5) * mm, abs=mm)
        assert row.x_mm == pytest.approx((x + 0.5) * mm, abs=mm)
        assert row.diameter_mm == pytest.approx(2 * radius, rel=0.45)
        assert row.contrast == pytest.approx(0.4, abs=0.1)
    assert find_blobs(0.3 * breast, mm).empty
    assert find_blobs(np.zeros((h, w)), mm).empty


def test_spots_compared_by_patient() -> None:
    real = np.array([4, 4, 0, 0] * 20)
    table = compare_blobs(real, np.zeros(50, int), np.repeat(np.arange(40), 2), bootstraps=200)
    assert table.loc["real", "mean"] == 2
    assert table.loc["real", "mean_low"] < 2 < table.loc["real", "mean_high"]
    assert table.loc["ratio", "mean"] == 0
    assert table.loc["synthetic", "share_high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    # Two images of a patient that agree count as one: the interval is wider than that of independent images.
    alone = compare_blobs(real, np.zeros(50, int), bootstraps=2000)
    together = compare_blobs(real, np.zeros(50, int), np.repeat(np.arange(40), 2), bootstraps=2000)
    assert together.loc["real", "mean_high"] > alone.loc["real", "mean_high"]
    assert np.isnan(compare_blobs(np.zeros(9, int), np.ones(9, int)).loc["ratio", "mean"])


def write_labels(path: Path, observer: str, found: dict[int, str]) -> Path:
    rows = [f"{observer},{n},{kinds},1.5,2026-01-01T00:00:00Z\n" for n, kinds in found.items()]
    path.write_text("observer,number,artifacts,seconds,time\n" + "".join(rows))
    return path


def test_rates_against_the_papers_own_counts(tmp_path: Path) -> None:
    key = pd.DataFrame({"number": range(1, 2401), "kind": ["synthetic"] * 2000 + ["real"] * 400})
    key["view"] = ["CC"] * 1000 + ["MLO"] * 1000 + ["CC"] * 200 + ["MLO"] * 200
    found = dict.fromkeys(range(1, 2401), "")
    found |= dict.fromkeys(range(1, 65), "outline") | dict.fromkeys(range(1001, 1137), "vessel;grid")
    found |= dict.fromkeys(range(2001, 2005), "outline")
    table = labels.rates(labels.read_labels([write_labels(tmp_path / "a.csv", "A", found)], 2400), key)
    row = table.query("artifact == 'any' and view == 'MLO' and kind == 'synthetic'").iloc[0]
    assert (row.found, row.shown) == (136, 1000)
    assert (100 * row.low, 100 * row.high) == pytest.approx((11.5, 15.9), abs=0.06)
    assert row.excess == pytest.approx(0.136)  # no false alarm in MLO controls
    cc = table.query("artifact == 'any' and view == 'CC' and kind == 'synthetic'").iloc[0]
    assert cc.excess == pytest.approx((0.064 - 0.02) / 0.98)
    assert cc.excess_low < cc.excess < cc.excess_high
    compared = labels.views_compared(table).query("artifact == 'any'").iloc[0]
    assert compared.ratio == pytest.approx(2.125)
    assert compared.p == pytest.approx(9e-8, rel=0.1)


def test_kappa_and_its_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(400) < 0.3
    answers = {name: truth ^ (rng.random(400) < 0.08) for name in "AB"}
    files = [
        write_labels(tmp_path / f"{name}.csv", name, {k + 1: "grid" if a else "" for k, a in enumerate(answer)})
        for name, answer in answers.items()
    ]
    row = labels.agreement(labels.read_labels(files)).query("artifact == 'any'").iloc[0]
    counts = pd.crosstab(answers["A"], answers["B"]).to_numpy()
    oracle = cohens_kappa(counts)
    assert row.kappa == pytest.approx(oracle.kappa)
    assert row.low == pytest.approx(oracle.kappa_low, abs=0.02)
    assert row.high == pytest.approx(oracle.kappa_upp, abs=0.02)
    assert row.images == 400
    nobody = labels.agreement(labels.read_labels(files)).query("artifact == 'vessel'").iloc[0]
    assert np.isnan(nobody.kappa)


def test_excess_rate_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    p, f, inside = 0.10, 0.05, 0
    for _ in range(200):
        found = rng.binomial(1000, p + (1 - p) * f)
        _, low, high = labels.excess_rate(found, 1000, rng.binomial(200, f), 200)
        inside += low <= p <= high
    assert stats.binomtest(inside, 200, 0.95).pvalue > 1e-3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "no column 'observer'"),
        ("observer,number,artifacts\nA,1,nose\n", "unknown class 'nose'"),
        ("observer,number,artifacts\nA,99,\n", "an image that this inspection does not have"),
        ("observer,number,artifacts\n", "There are no labels"),
    ],
)
def test_foreign_labels_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(errors.TableError, match=sentence):
        labels.read_labels([path], 10)


@pytest.fixture(scope="module")
def inspection(population: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 synthetic images of each view among 8 real ones; three of the synthetic are damaged."""
    rng = np.random.default_rng(0)
    synthetic = part(population, slice(0, 24))
    synthetic.pixels = synthetic.pixels.copy()
    for k in (0, 1, 2):
        synthetic.pixels[k] = quantize(plant(synthetic.pixels[k] / 4095, "network_failure", rng), 12)
    out = tmp_path_factory.mktemp("inspection") / "out"
    page = make_inspection(synthetic, out, real=part(population, slice(24, 40)), count=10, controls=4, seed=2)
    assert page == out / "index.html"
    return out


def test_an_inspection_is_seeded_blinded_and_ranked(inspection: Path, population: Images, tmp_path: Path) -> None:
    key = read_key(inspection)
    assert key.groupby(["kind", "view"]).size().to_dict() == {
        ("real", "CC"): 4, ("real", "MLO"): 4, ("synthetic", "CC"): 10, ("synthetic", "MLO"): 10,
    }  # fmt: skip
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
    again = make_inspection(part(population, slice(0, 24)), tmp_path / "b", real=part(population, slice(24, 40)),
                            count=10, controls=4, seed=2)  # fmt: skip
    pd.testing.assert_frame_equal(read_key(again.parent), key)
    with pytest.raises(InspectionError, match="is not empty"):
        make_inspection(population, inspection)
    small = Images(population.pixels[:, ::2, ::2], *[getattr(population, n) for n in
                   ("bits", "ids", "views", "patients", "spacing_mm")])  # fmt: skip
    with pytest.raises(InspectionError, match="two sets of one size"):
        make_inspection(population, tmp_path / "c", real=small)


def test_a_folder_of_pictures_is_read_whatever_it_shows(population: Images, phantoms: Path, tmp_path: Path) -> None:
    for k in range(3):
        Image.fromarray((population.pixels[k].astype(np.uint32) * 65535 // 4095).astype(np.uint16)).save(
            tmp_path / f"{k}.png"
        )
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "3.png")  # black: no ingest would take it
    found = open_images(tmp_path)
    assert len(found) == 4
    assert set(found.views) == {""}
    np.testing.assert_array_equal(found.pixels[:3], population.pixels[:3])
    (tmp_path / "labels.csv").write_text("file,view\n0.png,CC\n1.png,MLO\n2.png,CC\n")
    assert list(open_images(tmp_path).views) == ["CC", "MLO", "CC", ""]
    dicom = open_images(phantoms, (40, 32))
    assert dicom.size == (40, 32)
    assert set(dicom.views) == {"CC", "MLO"}
    assert len(set(dicom.patients)) == 4
    (tmp_path / "empty").mkdir()
    for folder, sentence in (("empty", "no image in"), ("nowhere", "no folder")):
        with pytest.raises(InputError, match=sentence):
            open_images(tmp_path / folder)


def test_a_sheet_keeps_the_gray_levels() -> None:
    images = [np.full((80, 64), level, np.uint16) for level in (0, 2048, 4095)]
    sheet = np.asarray(contact_sheet(images, 12, ["a", "b", "c"], columns=3))
    assert {0, 128, 255} <= set(np.unique(sheet))


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_labeling_in_a_browser(inspection: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    page_url = (inspection / "index.html").as_uri()
    outside, errors = [], []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=CHROMIUM, accept_downloads=True,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )  # fmt: skip
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

        # The picture is shown as it is, enlarged in squares; axe finds nothing.
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
        "rates.csv", "views.csv", "agreement.csv", "detection.csv",
    }  # fmt: skip
