"""Minibatches of real images."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mammogan.data.store import Store
from mammogan.errors import RunError, StoreError
from mammogan.gan.dataset import RealImages, dequantize, from_gray, population, rows_of, to_gray


def test_gray_levels_are_scaled_as_numpy_does() -> None:
    for bits in (8, 12, 16):
        gray = np.arange(2**bits, dtype=np.uint16)
        scaled = gray.astype(np.float32)
        scaled *= 2 / (2**bits - 1)
        scaled -= 1
        assert torch.equal(from_gray(torch.from_numpy(gray), bits), torch.from_numpy(scaled))
        assert np.array_equal(to_gray(scaled, bits), gray)


def test_every_epoch_has_every_image_once(store: Store) -> None:
    reals = RealImages(store, (5, 4), "", seed=3)
    epoch = torch.cat([reals.batch(start, 4)[0] for start in range(0, 16, 4)])
    assert epoch.min() >= -1
    assert epoch.max() <= 1
    expected = store.images((5, 4))[:].astype(np.float32) * (2 / 4095) - 1
    order = np.lexsort(expected.reshape(16, -1).T)
    images = epoch[:, 0].numpy()
    np.testing.assert_allclose(images[np.lexsort(images.reshape(16, -1).T)], expected[order], rtol=1e-6)
    assert not torch.equal(reals.batch(16, 16)[0], epoch)
    torch.testing.assert_close(reals.batch(14, 4)[0][:2], epoch[14:])
    with pytest.raises(StoreError, match="no images in the split 'none'; name another split"):
        RealImages(store, (5, 4), "none", seed=3)


def test_a_pair_is_cc_and_mlo_of_one_breast(store: Store) -> None:
    reals = RealImages(store, (5, 4), "", seed=3, conditions={"density": tuple("ABCD")}, views="pair")
    images, labels = reals.batch(0, 8)
    assert images.shape == (8, 2, 5, 4)
    manifest, gray = store.manifest, from_gray(torch.from_numpy(store.images((5, 4))[:]), store.bits)
    seen = []
    for pair, label in zip(images, labels, strict=True):
        cc, mlo = (manifest.iloc[int((gray == image).all((1, 2)).nonzero())] for image in pair)
        assert (cc["view"], mlo["view"]) == ("CC", "MLO")
        assert (cc["patient"], cc["laterality"]) == (mlo["patient"], mlo["laterality"])
        assert "ABCD"[int(label.argmax())] == cc["density"]
        seen.append((cc["patient"], cc["laterality"]))
    assert len(set(seen)) == 8
    assert not torch.equal(reals.batch(8, 8)[0], images)


def test_views_without_the_other_are_left_out(store: Store) -> None:
    def rows(manifest: pd.DataFrame, split: str = "") -> list[list[int]]:
        return rows_of(replace(store, manifest=manifest), split, "pair").tolist()

    whole = rows(store.manifest)
    assert len(whole) == 8
    (first, second), rest = whole[0], whole[1:]
    assert rows(store.manifest.assign(view=store.manifest["view"].mask(store.manifest.index == second, None))) == rest
    assert rows(store.manifest.assign(split=np.where(store.manifest.index == first, "train", "test")), "test") == rest
    # Both turned alike are a pair, as in an archive that shows all breasts from the other side.
    for turned, expected in (([first], rest), ([first, second], whole)):
        flags = [["side"] if row in turned else [] for row in range(len(store))]
        assert rows(store.manifest.assign(flags=flags)) == expected
    for lacking in ("patient", "laterality"):
        with pytest.raises(RunError, match=r"No breast of .*store has both a CC and an MLO; ingest both views"):
            rows(store.manifest.assign(**{lacking: None}))
    with pytest.raises(RunError, match="of the split 'test' has both"):
        rows(store.manifest.assign(split=np.where(store.manifest["view"] == "CC", "train", "test")), "test")


def test_population_counts_pairs_once(store: Store) -> None:
    kinds = population(store, "", "pair")["kinds"]
    assert {kind["view"] for kind in kinds} == {None}
    assert sum(kind["count"] for kind in kinds) == 8


def test_population_counts_the_split(store: Store) -> None:
    counted = population(store, "train")
    manifest = store.manifest[store.manifest["split"] == "train"]
    assert sum(kind["count"] for kind in counted["kinds"]) == len(manifest)
    assert counted["height_mm"] == pytest.approx(220, abs=0.01)
    json.dumps(counted, allow_nan=False)


def test_dequantized_images_round_to_the_same_gray_levels() -> None:
    gray = np.arange(16).repeat(200).reshape(2, 1, 40, 40)
    noisy = dequantize(torch.from_numpy(gray / 7.5 - 1), 4, torch.tensor([5, 6]))
    assert np.array_equal(to_gray(noisy.numpy(), 4), gray)
    assert noisy.min() >= -1 and noisy.max() <= 1
    steps = (noisy.numpy() + 1) * 7.5 - gray
    inner = steps[(gray > 0) & (gray < 15)]
    assert abs(inner.mean()) < 0.03
    assert inner.std() == pytest.approx(12**-0.5, rel=0.05)


def test_gray_grid() -> None:
    np.testing.assert_array_equal(to_gray(np.array([-2.0, -1, 0, 1, 3]), 12), [0, 0, 2048, 4095, 4095])
