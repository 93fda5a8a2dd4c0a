"""Pictures: a file does not tell which class it is of, and the image is still the image."""

from __future__ import annotations

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

from mammogan.data.store import Store
from mammogan.reader_study import build as building
from mammogan.reader_study import pictures
from mammogan.reader_study.build import StudySettings
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.pictures import equalized


def displayed(image: np.ndarray, bits: int, steps: int = 0, rng: np.random.Generator | None = None) -> np.ndarray:
    """Return a picture as the image is, uint8 (h, w), to measure `equalized` against."""
    return np.rint(image.astype(np.float32) * np.float32(255 / (2**bits - 1))).astype(np.uint8)


def test_large_pictures_are_tiled_and_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PLAIN", 64)
    monkeypatch.setattr(pictures, "TILE", 32)
    picture = np.random.default_rng(0).integers(0, 256, (100, 75), np.uint8)
    pictures.write_picture(picture, tmp_path, "name")
    whole = np.zeros_like(picture)
    for path in (tmp_path / "name" / "7").iterdir():
        column, row = map(int, path.stem.split("_"))
        part = np.asarray(Image.open(path))
        whole[row * 32 : row * 32 + part.shape[0], column * 32 : column * 32 + part.shape[1]] = part
    np.testing.assert_array_equal(whole, picture)
    assert sorted(int(p.name) for p in (tmp_path / "name").iterdir()) == list(range(8))
    # Another picture has tiles of the same lengths, though it is black and this one is noise.
    pictures.write_picture(np.zeros_like(picture), tmp_path, "other")
    lengths = [[p.stat().st_size for p in sorted((tmp_path / name).rglob("*.png"))] for name in ("name", "other")]
    assert lengths[0] != lengths[1]
    pictures.pad_pictures(tmp_path, np.random.default_rng(0))
    lengths = [[p.stat().st_size for p in sorted((tmp_path / name).rglob("*.png"))] for name in ("name", "other")]
    assert lengths[0] == lengths[1]
    assert np.asarray(Image.open(tmp_path / "other" / "7" / "0_0.png")).max() == 0
    assert Image.open(tmp_path / "name" / "0" / "0_0.png").size == (1, 1)
    assert Image.open(tmp_path / "name" / "6" / "0_0.png").size == (32, 32)
    assert Image.open(tmp_path / "name" / "6" / "1_1.png").size == (6, 18)


def file_features(path: Path) -> list[float]:
    """Return numbers of a file that ignore the breast: size, compression, noise, border, gray grid."""
    content = path.read_bytes()
    picture = np.asarray(Image.open(BytesIO(content)))
    inner = picture[20:-20, 20:-20].astype(np.int16)
    levels = np.bincount(picture.ravel(), minlength=256)
    used = np.flatnonzero(levels)
    # The corner that the breast does not reach is at one of the sides.
    corners = [picture[:12, :12], picture[:12, -12:], picture[-12:, :12], picture[-12:, -12:]]
    quiet = min((float(c.std()), float(c.mean())) for c in corners)
    edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    residual = inner[1:, 1:] - inner[:-1, 1:] - inner[1:, :-1] + inner[:-1, :-1]
    lit = inner[1:, 1:] > 40
    return [
        len(content),
        content.count(b"IDAT"),
        len(zlib.compress(picture[:16].tobytes())),
        len(zlib.compress(picture.tobytes())) / max((picture > 0).sum(), 1),
        *quiet,
        float(np.median(np.abs(residual[lit]))) if lit.any() else 0.0,
        float((residual[lit] == 0).mean()) if lit.any() else 0.0,
        *(float(edge.mean()) for edge in edges),
        max(float(edge.max()) for edge in edges),
        float((picture == 0).mean() == 0),
        len(used) / (used[-1] - used[0] + 1),
        float(levels[1::2].sum() / levels.sum()) if levels[0] == 0 else float(levels[1::2].sum() / levels[1:].sum()),
        float(np.gcd.reduce(used)),
        float(used[0]),
    ]


def auc(study: ReaderStudy) -> tuple[float, float]:
    """Return the cross-validated area under the curve of a random forest on the files, and its SD if they are alike."""
    labels = np.array([1] * len(study.real) + [0] * len(study.synthetic))
    files = [study.folder / "public/pictures" / f"{name}.png" for name, _ in (*study.real, *study.synthetic)]
    features = np.array([file_features(path) for path in files])
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0)
    scores = cross_val_predict(forest, features, labels, cv=8, method="predict_proba")[:, 1]
    n, m = (labels == 1).sum(), (labels == 0).sum()
    return float(roc_auc_score(labels, scores)), float(np.sqrt((n + m + 1) / (12 * n * m)))  # Mann & Whitney 1947


@pytest.fixture(scope="module")
def betraying(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two stores of like breasts; one as a detector delivers them, one with the file habits of a generator."""
    folder = tmp_path_factory.mktemp("betraying")
    rng = np.random.default_rng(0)
    breasts = ovals(96, 320, 256, smooth=3)
    rng.shuffle(breasts)
    real, images = breasts[:48], breasts[48:]
    synthetic = []
    for image in images:
        uneven = np.rint(image * 127) / 127  # a grid of 7 bits
        uneven = np.where(image < 0.02, rng.uniform(0, 0.012, image.shape), uneven)  # black that is not quite black
        uneven[:, -1] = uneven[-1] = 0.03  # padded convolutions
        synthetic.append(uneven)
    return made_store(folder / "real", real, "r"), made_store(folder / "synthetic", synthetic, "s")


@pytest.mark.slow
def test_files_do_not_betray_the_class(
    betraying: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(building, "equalized", displayed)
        plain = building.build(*betraying, tmp_path / "plain", StudySettings(secret=1))
    area, _ = auc(plain)
    assert area > 0.99  # the features are able to tell the classes apart
    equal = building.build(*betraying, tmp_path / "equal", StudySettings(secret=1))
    area, spread = auc(equal)
    assert area < 0.5 + 2.5 * spread, f"AUC {area:.2f}, SD {spread:.2f}"


def test_no_harmless_change_hides_a_picture_from_a_program() -> None:
    """Sessions send other bytes, not other pixels: whoever saves pictures finds them again whatever noise is added."""
    rng = np.random.default_rng(0)
    breasts = [equalized(np.rint(image * 4095).astype(np.uint16), 12, 4095, rng) for image in ovals(48, 320, 256, 3)]

    def thumbnails(noise: float) -> np.ndarray:
        noisy = (np.clip(b + noise * rng.standard_normal(b.shape), 0, 255).astype(np.uint8) for b in breasts)
        return np.array([np.asarray(Image.fromarray(b).resize((16, 20), Image.Resampling.BOX), float) for b in noisy])

    known = thumbnails(0)
    for noise in (1, 16):  # gray levels; 16 are plainly visible
        distances = ((thumbnails(noise)[:, None] - known) ** 2).sum((2, 3))
        assert (distances.argmin(1) == np.arange(48)).all()


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
    assert pictures.grid_steps([image.astype(np.uint16) for image in images], bits) == top


def test_few_pixels_are_no_coarse_grid() -> None:
    images = np.random.default_rng(0).integers(0, 4096, (2, 10, 10), np.uint16)
    assert pictures.grid_steps(images, 12) == 4095
    assert pictures.grid_steps(np.zeros((1, 4, 4), np.uint16), 12) == 4095
