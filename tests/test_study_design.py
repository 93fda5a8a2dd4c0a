"""Building a study: what is drawn, what is left out, and that a file does not say which class it is of."""

from __future__ import annotations

import json
import stat
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from study import made_store, ovals

from mammogan.data.store import Store, StoreWriter
from mammogan.errors import StudyError
from mammogan.reader_study import design
from mammogan.reader_study.browser import write_demo
from mammogan.reader_study.design import Pair, ReaderStudy, build, displayed, equalized
from mammogan.report.provenance import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / "node_modules" / "openseadragon").is_dir(), reason="node_modules is missing: run make setup"
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """16 real images, eight of each view, and 16 synthetic ones of which no view is known."""
    folder = tmp_path_factory.mktemp("stores")
    with StoreWriter(folder / "real", 40, 32, 12, {"by": "test"}) as writer:
        for number, image in enumerate(ovals(16, 40, 32)):
            writer.accept(image, id=f"real-{number}", view="CC" if number % 2 else "MLO")
    return folder / "real", made_store(folder / "synthetic", ovals(16, 40, 32), "synthetic")


@pytest.fixture(scope="module")
def study(stores: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> ReaderStudy:
    return build(*stores, tmp_path_factory.mktemp("studies") / "study", seed=3)


def test_sessions_are_functions_of_the_seed_and_balanced(
    study: ReaderStudy, stores: tuple[Path, Path], tmp_path: Path
) -> None:
    again = build(*stores, tmp_path / "study", seed=3)
    other = build(*stores, tmp_path / "other", seed=4)
    assert [again.session(n) for n in range(5)] == [study.session(n) for n in range(5)]
    assert [other.session(n) for n in range(5)] != [study.session(n) for n in range(5)]
    pairs = [pair for n in range(400) for pair in study.session(n)]
    assert len(pairs) == 4000
    names = {side: dict(pool) for side, pool in (("real", study.real), ("synthetic", study.synthetic))}
    for pair in pairs[:200]:
        real, synthetic = (pair.left, pair.right) if pair.real_side == "left" else (pair.right, pair.left)
        assert (names["real"][real], names["synthetic"][synthetic]) == (pair.real_id, pair.synthetic_id)
    # Half of the pairs lie either way round, at every position, and each of the 16 images is drawn equally often.
    for chosen, chance in (
        ([p.real_side == "left" for p in pairs], 1 / 2),
        ([p.real_side == "left" for p in pairs[::10]], 1 / 2),
        *(([p.real_id == image for p in pairs], 1 / 16) for image in names["real"].values()),
    ):
        assert abs(np.mean(chosen) - chance) < 4.5 * np.sqrt(chance * (1 - chance) / len(chosen))
    # With replacement: among ten draws of sixteen, most sessions show an image twice.
    repeats = [len({p.real_id for p in study.session(n)}) < 10 for n in range(400)]
    expected = 1 - np.prod(1 - np.arange(10) / 16)
    assert abs(np.mean(repeats) - expected) < 0.05


def test_what_a_browser_may_load_holds_no_truth(study: ReaderStudy) -> None:
    public = study.folder / "public"
    assert stat.S_IMODE((study.folder / "study.json").stat().st_mode) == 0o600
    files = [path for path in public.rglob("*") if path.is_file()]
    text = "".join(
        p.read_text(encoding="utf-8") for p in files if p.suffix in (".js", ".html") and "seadragon" not in p.name
    )
    for name, image in (*study.real, *study.synthetic):
        assert image not in text
        assert name not in text
    pictures = list((public / "pictures").iterdir())
    assert {p.stem for p in pictures} == {name for name, _ in (*study.real, *study.synthetic)}
    assert len({(p.stat().st_size, p.stat().st_mtime) for p in pictures}) == 1
    for path in pictures[:4]:
        assert Image.open(path).info == {}
        assert Image.open(path).size == (32, 40)


def test_a_study_for_a_browser_alone_holds_its_sessions(stores: tuple[Path, Path], tmp_path: Path) -> None:
    import base64

    made = build(*stores, tmp_path / "study", seed=3, pairs=4, browser=True, note="hello")
    known = json.loads((tmp_path / "study/public/study.js").read_text().removeprefix("window.STUDY = ").rstrip(";\n"))
    sessions = json.loads(base64.b64decode(known["sessions"]))
    assert known["note"] == "hello"
    assert [Pair(**pair) for pair in sessions[7]] == made.session(7)


def test_exclusions_are_recorded(stores: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (Store.open(path).manifest["id"].tolist() for path in stores)
    labels, hand = tmp_path / "labels.csv", tmp_path / "hand.txt"
    labels.write_text(
        f"id,label\n{second[0]},implausible outline\n{second[1]},none\n{second[2]},vessels\n{second[2]},grid\n"
    )
    hand.write_text(f"# by one observer\n{first[3]},motion\n{second[5]}\n")
    made = build(*stores, tmp_path / "study", labels=[labels], exclude=[hand], pool=12)
    record = json.loads((made.folder / "study.json").read_text())["excluded"]
    assert record == [
        {"set": "real", "id": first[3], "reason": "by hand: motion"},
        {"set": "synthetic", "id": second[0], "reason": "label implausible outline"},
        {"set": "synthetic", "id": second[2], "reason": "label vessels; label grid"},
        {"set": "synthetic", "id": second[5], "reason": "by hand"},
    ]
    assert len(made.real) == len(made.synthetic) == 12
    assert not {row["id"] for row in record} & {image for _, image in (*made.real, *made.synthetic)}
    only = build(*stores, tmp_path / "only", labels=[labels], exclude_labels=["grid"], view="MLO")
    record = json.loads((only.folder / "study.json").read_text())["excluded"]
    assert {row["id"] for row in record if row["reason"].startswith("label")} == {second[2]}
    assert {row["set"] for row in record if row["reason"] == "view is not MLO"} == {"real"}
    assert len(only.real) == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pool": 99}, "A pool of 99 cannot be drawn"),
        ({"pairs": 0}, "choose 1 or more pairs"),
        ({"view": "XCCL"}, "No real image is left"),
        ({"size": (7, 7)}, "do not both have the size 7 x 7"),
    ],
)
def test_what_cannot_be_built(stores: tuple[Path, Path], tmp_path: Path, options: dict, sentence: str) -> None:
    with pytest.raises(Exception, match=sentence):
        build(*stores, tmp_path / "study", **options)
    assert not (tmp_path / "study").exists()


def test_a_study_with_responses_or_a_full_folder_stays(stores: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="is not empty"):
        build(*stores, tmp_path)
    (tmp_path / "responses.sqlite").write_text("")
    with pytest.raises(StudyError, match="holds responses"):
        build(*stores, tmp_path)
    hand = tmp_path / "hand.txt"
    hand.write_text("nobody\n")
    with pytest.raises(StudyError, match="names 'nobody'"):
        build(*stores, tmp_path / "study", exclude=[hand])
    with pytest.raises(StudyError, match="no study"):
        ReaderStudy.open(tmp_path)


def test_folders_are_ingested(phantoms: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        drawn = np.zeros((160, 128), np.uint16)
        yy, xx = np.mgrid[:160, :128]
        drawn[(yy - 80) ** 2 / 60**2 + xx**2 / (80 + number) ** 2 < 1] = 30000 + 500 * number
        Image.fromarray(drawn).save(pictures / f"{number}.png")
    made = build(phantoms, pictures, tmp_path / "study", size=(80, 64))
    assert len(made.real) == 16
    assert len(made.synthetic) == 3
    assert not (made.folder / ".ingest").exists()


def test_large_pictures_are_tiled_and_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design, "PLAIN", 64)
    monkeypatch.setattr(design, "TILE", 32)
    shown = np.random.default_rng(0).integers(0, 256, (100, 75), np.uint8)
    design.write_picture(shown, tmp_path, "name")
    whole = np.zeros_like(shown)
    for path in (tmp_path / "name" / "7").iterdir():
        column, row = map(int, path.stem.split("_"))
        part = np.asarray(Image.open(path))
        whole[row * 32 : row * 32 + part.shape[0], column * 32 : column * 32 + part.shape[1]] = part
    np.testing.assert_array_equal(whole, shown)
    assert sorted(int(p.name) for p in (tmp_path / "name").iterdir()) == list(range(8))
    assert Image.open(tmp_path / "name" / "0" / "0_0.png").size == (1, 1)
    assert Image.open(tmp_path / "name" / "6" / "0_0.png").size == (32, 32)
    assert Image.open(tmp_path / "name" / "6" / "1_1.png").size == (6, 18)


def file_features(path: Path) -> list[float]:
    """What a program can say of a file without looking at the breast: size, compression, noise, border, gray grid."""
    content = path.read_bytes()
    shown = np.asarray(Image.open(BytesIO(content)))
    inner = shown[20:-20, 20:-20].astype(np.int16)
    levels = np.bincount(shown.ravel(), minlength=256)
    seen = np.flatnonzero(levels)
    # The corner that the breast does not reach lies at one of the sides.
    corners = [shown[:12, :12], shown[:12, -12:], shown[-12:, :12], shown[-12:, -12:]]
    quiet = min((float(c.std()), float(c.mean())) for c in corners)
    edges = [shown[0], shown[-1], shown[:, 0], shown[:, -1]]
    residual = inner[1:, 1:] - inner[:-1, 1:] - inner[1:, :-1] + inner[:-1, :-1]
    lit = inner[1:, 1:] > 40
    return [
        len(content),
        content.count(b"IDAT"),
        len(zlib.compress(shown[:16].tobytes())),
        len(zlib.compress(shown.tobytes())) / max((shown > 0).sum(), 1),
        *quiet,
        float(np.median(np.abs(residual[lit]))) if lit.any() else 0.0,
        float((residual[lit] == 0).mean()) if lit.any() else 0.0,
        *(float(edge.mean()) for edge in edges),
        max(float(edge.max()) for edge in edges),
        float((shown == 0).mean() == 0),
        len(seen) / (seen[-1] - seen[0] + 1),
        float(levels[1::2].sum() / levels.sum()) if levels[0] == 0 else float(levels[1::2].sum() / levels[1:].sum()),
        float(np.gcd.reduce(seen)),
        float(seen[0]),
    ]


def auc(study: ReaderStudy) -> tuple[float, float]:
    """Cross-validated area under the curve of a random forest on `file_features`, and its SD under no difference."""
    labels = np.array([1] * len(study.real) + [0] * len(study.synthetic))
    files = [study.folder / "public/pictures" / f"{name}.png" for name, _ in (*study.real, *study.synthetic)]
    features = np.array([file_features(path) for path in files])
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0)
    scores = cross_val_predict(forest, features, labels, cv=8, method="predict_proba")[:, 1]
    n, m = (labels == 1).sum(), (labels == 0).sum()
    return float(roc_auc_score(labels, scores)), float(np.sqrt((n + m + 1) / (12 * n * m)))  # Mann & Whitney 1947


@pytest.fixture(scope="module")
def betraying(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sets, alike as breasts; one as a detector delivers them, one with a generator's file habits."""
    folder = tmp_path_factory.mktemp("betraying")
    rng = np.random.default_rng(0)
    drawn = ovals(96, 320, 256, smooth=3)
    rng.shuffle(drawn)
    real, images = drawn[:48], drawn[48:]
    synthetic = []
    for image in images:
        uneven = np.rint(image * 127) / 127  # a grid of 7 bits
        uneven = np.where(image < 0.02, rng.uniform(0, 0.012, image.shape), uneven)  # black that is not quite black
        uneven[:, -1] = uneven[-1] = 0.03  # padded convolutions
        synthetic.append(uneven)
    return made_store(folder / "real", real, "r"), made_store(folder / "synthetic", synthetic, "s")


def test_files_do_not_betray_the_class(betraying: tuple[Path, Path], tmp_path: Path) -> None:
    plain = build(*betraying, tmp_path / "plain", seed=1, picture=displayed)
    found, _ = auc(plain)
    assert found > 0.99  # the features are able to tell the classes apart
    equal = build(*betraying, tmp_path / "equal", seed=1, picture=equalized)
    found, spread = auc(equal)
    assert found < 0.5 + 2.5 * spread, f"AUC {found:.2f}, SD {spread:.2f}"


def test_the_picture_stays_the_picture(stores: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(0)
    for image in np.asarray(Store.open(stores[0]).images()[:8]):
        plain, equal = displayed(image, 12).astype(int), equalized(image, 12, 4095, rng).astype(int)
        inside = ndimage.binary_erosion(plain > 0, iterations=3)
        assert inside.sum() > 100
        # Nothing but the noise of one gray level: 1.04 with the rounding.
        difference = (equal - plain)[inside]
        assert abs(difference.mean()) < 0.2
        assert 0.7 < difference.std() < 1.4


@pytest.mark.parametrize(("bits", "source"), [(12, 12), (12, 8), (12, 7), (12, 10), (8, 8), (16, 12)])
def test_the_gray_grid_of_a_store_is_found(bits: int, source: int) -> None:
    rng = np.random.default_rng(0)
    top = 2**source - 1
    images = [np.rint(np.rint(rng.beta(2, 4, (200, 160)) * top) / top * (2**bits - 1)) for _ in range(8)]
    assert design.grid_steps([image.astype(np.uint16) for image in images], bits) == top


def test_few_pixels_are_no_coarse_grid() -> None:
    images = np.random.default_rng(0).integers(0, 4096, (2, 10, 10), np.uint16)
    assert design.grid_steps(images, 12) == 4095
    assert design.grid_steps(np.zeros((1, 4, 4), np.uint16), 12) == 4095


def test_the_page_of_the_book_says_what_its_generator_was_trained_on(stores: tuple[Path, Path], tmp_path: Path) -> None:
    real, synthetic = stores
    write_demo(real, synthetic, tmp_path / "page", "mammograms of somewhere")
    told = [p for p in (tmp_path / "page").rglob("*.js") if "trained on mammograms of somewhere" in p.read_text()]
    assert len(told) == 1
    assert (tmp_path / "page" / "index.html").is_file()
