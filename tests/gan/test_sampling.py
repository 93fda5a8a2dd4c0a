"""Drawn images are functions of seed and index, in every format."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_runs import read_table
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mammogan.data.metadata import Labels, is_labels
from mammogan.data.pairs import view_pairs
from mammogan.data.segmentation import chest_side
from mammogan.data.store import Store
from mammogan.errors import ParameterError, RunError
from mammogan.gan.dataset import Kind, to_gray
from mammogan.gan.networks import Generator
from mammogan.gan.sampling import Sampler, drawn_kinds, sample, slerp
from mammogan.gan.writers import Draw


def test_images_do_not_depend_on_how_many_are_drawn(run: Path) -> None:
    sampler = Sampler.open(run)
    assert sampler.size == (20, 16)
    whole = np.stack(list(sampler.draw(2 * sampler.batch, 5)))
    for count, start in ((1, 0), (7, 3), (5, sampler.batch - 2)):
        np.testing.assert_array_equal(np.stack(list(sampler.draw(count, 5, start))), whole[start : start + count])
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(next(sampler.draw(1, 6)), whole[0])


def test_views_are_as_frequent_as_in_the_training_data(run: Path, store: Store) -> None:
    sampler = Sampler.open(run)
    real = store.manifest["view"].value_counts()
    assert {"CC", "MLO"} == {kind.view for kind in sampler.kinds}
    for view in ("CC", "MLO"):
        assert sum(kind.count for kind in sampler.kinds if kind.view == view) == real[view]
    kinds = drawn_kinds([Kind("CC", "A", 30), Kind("MLO", None, 10)], ("view",))
    facts = [replace(sampler, kinds=kinds).facts(1, index) for index in range(2000)]
    share = np.mean([fact["view"] == "CC" for fact in facts])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 2000)
    assert {fact["density"] for fact in facts} == {None}  # not a condition of the generator


def test_a_chosen_view_reaches_the_generator_and_keeps_the_vectors(run: Path) -> None:
    sampler = Sampler.open(run)
    z, labels = sampler.inputs(3, range(6))
    assert [("CC", "MLO")[row.argmax()] for row in labels.numpy()] == [sampler.facts(3, i)["view"] for i in range(6)]
    for view, expected in (("CC", [1.0, 0.0]), ("MLO", [0.0, 1.0])):
        chosen = sampler.only(view=view)
        same, labels = chosen.inputs(3, range(6))
        torch.testing.assert_close(same, z, rtol=0, atol=0)
        assert labels.tolist() == [expected] * 6
        assert {chosen.facts(3, i)["view"] for i in range(6)} == {view}
    cc, mlo = (np.stack(list(sampler.only(view=view).draw(4, 3))) for view in ("CC", "MLO"))
    assert not np.array_equal(cc, mlo)
    with pytest.raises(RunError, match="it was not trained with condition=density"):
        sampler.only(density="B")
    with pytest.raises(ParameterError, match="view must be CC or MLO, not 'ML'"):
        sampler.only(view="ML")


@pytest.mark.slow
def test_both_views_of_a_breast_come_from_one_vector(pair_run: Path, store: Store, tmp_path: Path) -> None:
    sampler = Sampler.open(pair_run)
    drawn = np.stack(list(sampler.draw(140, 5)))
    assert drawn.shape == (140, 20, 16)
    for count, start in ((1, 1), (3, 127), (2, 138)):  # also across the border of two minibatches, 64 vectors each
        np.testing.assert_array_equal(np.stack(list(sampler.draw(count, 5, start))), drawn[start : start + count])
    z, labels = sampler.inputs(5, range(64))
    both = sampler.generator(z, sampler.level, sampler.alpha, labels, sampler.noise(5, range(64)))
    np.testing.assert_array_equal(to_gray(both.numpy(), 12).reshape(128, 20, 16), drawn[:128])
    folder = sample(pair_run, tmp_path / "zarr", Draw(12, 5), "zarr")
    manifest = Store.open(folder).manifest
    np.testing.assert_array_equal(Store.open(folder).images()[:], drawn[:12])
    assert manifest["view"].tolist() == ["CC", "MLO"] * 6
    assert manifest["patient"].nunique() == 6
    pairs = view_pairs(Store.open(folder))
    assert pairs[["cc", "mlo"]].to_numpy().tolist() == [[2 * k, 2 * k + 1] for k in range(6)]
    assert manifest["density"].tolist()[::2] == manifest["density"].tolist()[1::2]
    assert {None} != set(manifest["density"]) <= set(store.manifest["density"])


def test_pairs_are_refused_where_they_make_no_sense(pair_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="two views of each breast; give an even --count and --first"):
        sample(pair_run, tmp_path / "a", Draw(3, 5))
    with pytest.raises(ParameterError, match="even --count and --first"):
        sample(pair_run, tmp_path / "a", Draw(2, 5, first=1))
    with pytest.raises(RunError, match="draws CC and MLO of each breast; omit --view"):
        sample(pair_run, tmp_path / "a", Draw(2, 5, view="CC"))
    assert not (tmp_path / "a").exists()


def test_facts_are_known_if_they_are_conditions_or_all_share_them() -> None:
    kinds = [Kind("MLO", "A", 1), Kind("MLO", "B", 3)]
    assert drawn_kinds(kinds, ()) == (Kind("MLO", None, 4),)
    assert drawn_kinds(kinds, ("density",)) == tuple(kinds)
    assert drawn_kinds([], ()) == (Kind(None, None, 1),)
    mixed = [Kind(None, "A", 1), Kind("CC", "A", 1)]
    assert drawn_kinds(mixed, ("view",)) == (Kind("CC", "A", 1), Kind(None, "A", 1))
    with pytest.raises(RunError, match="does not state what the real images were"):
        drawn_kinds([], ("view",))


@given(st.integers(0, 10**6), st.floats(0.01, 0.99), st.floats(0.2, 5))
def test_slerp_walks_the_great_circle(seed: int, t: float, scale: float) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, 16))
    b *= scale
    unit = [x / np.linalg.norm(x) for x in (a, slerp(a, b, t), b)]
    whole = np.arccos(unit[0] @ unit[2])
    assert np.arccos(unit[0] @ unit[1]) == pytest.approx(t * whole, abs=1e-6)
    assert np.arccos(unit[1] @ unit[2]) == pytest.approx((1 - t) * whole, abs=1e-6)
    lengths = [np.linalg.norm(x) for x in (a, slerp(a, b, t), b)]
    assert lengths[1] == pytest.approx((1 - t) * lengths[0] + t * lengths[2])


def test_slerp_of_known_vectors() -> None:
    half = slerp(np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), 0.5)
    np.testing.assert_allclose(half, [np.sqrt(2), np.sqrt(2), 0])
    a = np.array([1.0, 2, 3])
    np.testing.assert_allclose(slerp(a, a, 0.3), a)


def test_interpolation_passes_through_the_images_of_the_seed(run: Path) -> None:
    sampler = Sampler.open(run)
    between = replace(sampler, steps=4)
    plain, film = np.stack(list(sampler.draw(4, 9))), np.stack(list(between.draw(13, 9)))
    np.testing.assert_array_equal(film[::4], plain)
    jumps = np.abs(np.diff(film.astype(int), axis=0)).mean((1, 2))
    whole = np.abs(np.diff(plain.astype(int), axis=0)).mean((1, 2))
    assert jumps.max() < whole.max()
    views = [sampler.facts(9, i)["view"] for i in range(4)]
    assert len(set(views)) == 2
    for index, (first, second) in enumerate(pairwise(views)):
        assert between.facts(9, 4 * index)["view"] == first
        assert between.facts(9, 4 * index + 2)["view"] == (first if first == second else None)


def test_noise_between_two_images_is_a_mixture_of_theirs_of_the_same_strength(run: Path) -> None:
    sampler = Sampler.open(run)
    a, b = sampler.noise(9, range(2))(80, 64)
    first, middle, last = replace(sampler, steps=2).noise(9, range(3))(80, 64)
    assert torch.equal(first, a) and torch.equal(last, b)
    torch.testing.assert_close(middle, (a + b) / 2**0.5)


def test_formats_hold_the_same_gray_levels(run: Path, tmp_path: Path) -> None:
    drawn = Store.open(sample(run, tmp_path / "zarr", Draw(9, 5), "zarr"))
    assert (len(drawn), drawn.bits, drawn.sizes[-1]) == (9, 12, (20, 16))
    images = drawn.images()[:]
    np.testing.assert_array_equal(images, np.stack(list(Sampler.open(run).draw(9, 5))))
    folder = sample(run, tmp_path / "png", Draw(9, 5), "png")
    table = read_table(folder)
    assert [row["view"] for row in table] == drawn.manifest["view"].tolist()
    assert [row["laterality"] for row in table] == [chest_side(image) for image in images]
    for row, image in zip(table, images, strict=True):
        with Image.open(folder / row["file"]) as picture:
            assert picture.mode == "I;16"
            assert "shows no patient" in picture.text["Description"]
            np.testing.assert_array_equal(np.rint(np.asarray(picture) / 65535 * 4095), image)
    # Ingest reads the table by itself.
    assert is_labels(folder / "images.csv")
    labels = Labels([folder / "images.csv"])
    for row in table:
        facts = labels.get(folder / row["file"]) or {}
        assert (facts["view"], facts["laterality"]) == (row["view"], row["laterality"])


def test_dicom_needs_a_view(unconditional: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="trained with condition=view"):
        sample(unconditional, tmp_path / "a", Draw(2, 5), "dicom")
    with pytest.raises(RunError, match="train with condition=view"):
        sample(unconditional, tmp_path / "a", Draw(2, 5, view="MLO"), "dicom")
    with pytest.raises(RunError, match="add --view"):
        sample(run, tmp_path / "a", Draw(2, 5, steps=4), "dicom")
    assert not (tmp_path / "a").exists()
    folder = sample(run, tmp_path / "b", Draw(5, 5, steps=4, view="MLO"), "dicom")
    assert {row["view"] for row in read_table(folder)} == {"MLO"}


@pytest.mark.parametrize(("name", "value"), [("count", 0), ("seed", -1), ("first", -1), ("steps", -1)])
def test_images_that_cannot_be_drawn_are_refused(run: Path, tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ParameterError, match=f"The {name} of images to draw must be"):
        Draw(**{"count": 1, name: value})
    with pytest.raises(ParameterError, match="format must be png or zarr or dicom or film, not 'jpeg'"):
        sample(run, tmp_path / "a", Draw(1), "jpeg")


def test_minibatches_shrink_where_images_are_large(run: Path) -> None:
    sampler = Sampler.open(run)
    architecture = replace(sampler.generator.architecture, levels=9, fmap_max=1)
    large = replace(sampler, generator=Generator(architecture), level=8)
    assert (sampler.batch, large.batch) == (64, 4)


def peak(run: Path, out: Path, count: int, form: str) -> int:
    tracemalloc.start()
    try:
        sample(run, out, Draw(count, 5), form)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "zarr"])
def test_memory_does_not_grow_with_the_count(run: Path, tmp_path: Path, form: str) -> None:
    peak(run, tmp_path / "warm", 64, form)
    few, many = (peak(run, tmp_path / str(count), count, form) for count in (128, 640))
    # 512 more images of 20 x 16 would be 327 kB of gray levels alone.
    assert many - few < 150_000


def test_samples_depend_on_seed_and_index_alone(run: Path, tmp_path: Path) -> None:
    sampler = Sampler.open(run)
    assert sampler.size == (20, 16)
    few, many = list(sampler.draw(3, 5)), list(sampler.draw(7, 5))
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one, other)
    drawn = Store.open(sample(run, tmp_path / "s", Draw(7, 5)))
    assert (len(drawn), drawn.bits, drawn.sizes[-1]) == (7, 12, (20, 16))
    folder = sample(run, tmp_path / "png", Draw(2, 5), "png")
    assert len(list(folder.rglob("*.png"))) == 2
    with pytest.raises(RunError, match="no trained generator"):
        Sampler.open(tmp_path / "nothing")
