"""Measures detect the damage that they should, and no damage where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from damage_sensitivity import DAMAGES, Damage, detectable, power_of, quantized, sensitivity
from scipy.ndimage import gaussian_filter

from mammogan.errors import ParameterError

BY_NAME = {damage.name: damage for damage in DAMAGES}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(160, 40, 32)), (0, 1.5, 1.5))
    return quantized(0.4 + rng.normal(0, 0.05, (160, 1, 1)) + 0.1 * noise / noise.std())


@pytest.fixture(scope="module")
def table(images: np.ndarray):
    names = ("blur", "gain", "copies", "collapse to 20 images")
    chosen = [BY_NAME[name] for name in names]
    chosen[0] = replace(chosen[0], nominal=1.0)  # these images are smooth: half a pixel more hardly shows
    effects = sensitivity(images, n=60, draws=6, factors=(0.2, 1.0, 1.5), damages=chosen)
    return effects.set_index(["damage", "measure"])


@pytest.mark.slow
def test_each_damage_is_seen_where_it_should_be(table) -> None:
    effect = table["effect"]
    assert effect["blur", "SWD finest, real scale"] > 2 and effect["blur", "spectrum, dB"] > 2
    assert abs(effect["blur", "SWD coarsest, own scale"]) < effect["blur", "SWD finest, real scale"] / 3
    assert effect["copies", "authenticity"] < -3 and effect["copies", "precision"] > 0
    assert effect["copies", "SWD finest, real scale"] < 0
    assert effect["collapse to 20 images", "coverage"] < -3
    assert table["largest"].groupby("damage").first().to_dict() == {
        "blur": 1.5,
        "gain": 7.5,
        "copies": 100,
        "collapse to 20 images": 100,
    }
    row = table.loc["copies", "authenticity"]
    assert row["damaged"] == 0 and row["power"] > 0.99 and 0 < row["detectable"] <= 100


@pytest.mark.slow
def test_no_damage_is_detected_where_none_was_done(images: np.ndarray) -> None:
    nothing = Damage("nothing", "", 1.0, apply=lambda pictures, strength, rng: pictures)
    effects = sensitivity(images, n=60, draws=6, factors=(1.0,), damages=[nothing])
    np.testing.assert_allclose(effects["damaged"], effects["undamaged"])
    assert effects["power"].median() < 0.15


def test_too_few_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="is 160; give 162 or more"):
        sensitivity(images, n=81)


def test_every_damage_does_what_its_name_says(images: np.ndarray) -> None:
    rng, gray = np.random.default_rng(1), images[:8].astype(np.float32) / 4095
    done = {d.name: d.apply(gray, d.nominal, rng) for d in DAMAGES if d.apply}
    assert done["gain"].mean() == pytest.approx(1.05 * gray.mean(), rel=1e-5)
    assert len(np.unique(done["bits lost of 12"])) <= 64
    assert np.diff(done["blur"]).std() < 0.95 * np.diff(gray).std()
    residue = gray - gaussian_filter(gray, (0, 2, 2))
    np.testing.assert_allclose(gray - done["texture removed"], 0.2 * residue, atol=1e-6)
    np.testing.assert_allclose(done["window shifted"], gray - 0.05, atol=1e-6)
    curve = BY_NAME["another vendor's curve"].apply(np.array([[[0.0, 0.5, 1.0, 0.25]]]), 100, rng)
    np.testing.assert_allclose(curve[0, 0, :3], [0, 0.5, 1], atol=1e-9)
    assert curve[0, 0, 3] < 0.25
    own, reference = np.arange(50), np.arange(50, 100)
    assert len(np.unique(BY_NAME["collapse to 20 images"].choose(own, reference, 100, rng))) <= 20
    assert set(BY_NAME["copies"].choose(own, reference, 100, rng)) == set(reference)
    assert BY_NAME["copies"].choose(own, reference, 0, rng).tolist() == own.tolist()


def test_power_is_that_of_the_normal_test() -> None:
    chance = np.random.default_rng(0).normal(0, 2.0, 40_000)
    assert power_of(chance, 2.0) == pytest.approx(0.05, abs=0.003)
    # 2.8 standard deviations are detected with 80 % power at the 5 % level.
    assert power_of(chance + 2.8016 * 2.0, 2.0) == pytest.approx(0.80, abs=0.01)
    assert power_of(np.full(3, 9.0), 1.0) == 1


@pytest.mark.parametrize(
    ("power", "expected"),
    [((0.05, 0.8), 2.0), ((0.8, 1.0), 1.0), ((0.6, 1.0), 1.5), ((0.1, 0.2), np.inf), ((1.0, 1.0), 0.75 / 0.95)],
)
def test_detectable_strength_is_interpolated(power: tuple[float, float], expected: float) -> None:
    assert detectable((1.0, 2.0), power) == pytest.approx(expected)
