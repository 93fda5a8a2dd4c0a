"""Minibatches of real images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mammogan.data.store import Store
from mammogan.errors import StoreError
from mammogan.gan.dataset import RealImages, dequantize, from_gray, population, to_gray


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
