"""A store is written on its grid, survives being cut off, and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mammogan.data.store import Store, StoreWriter, pyramid, pyramid_sizes, quantize
from mammogan.errors import ParameterError, StoreError


def test_pyramid_of_the_paper() -> None:
    sizes = pyramid_sizes(1280, 1024)
    assert sizes[0] == (5, 4)
    assert sizes[-1] == (1280, 1024)
    assert len(sizes) == 9


@given(arrays(np.float64, (40, 32), elements=st.floats(0, 1)), st.integers(1, 16))
@settings(max_examples=30, deadline=None)
def test_every_level_is_the_mean_of_the_image(image: np.ndarray, bits: int) -> None:
    for level in pyramid(image, bits):
        h, w = level.shape
        exact = image.reshape(h, 40 // h, w, 32 // w).mean(axis=(1, 3))
        assert np.abs(level / (2**bits - 1) - exact).max() <= 0.5 / (2**bits - 1) + 1e-12


@given(st.floats(-2, 3), st.integers(1, 16))
def test_quantize_stays_on_the_grid(value: float, bits: int) -> None:
    level = int(quantize(np.array(value), bits))
    assert 0 <= level < 2**bits
    assert abs(level / (2**bits - 1) - min(max(value, 0), 1)) <= 0.5 / (2**bits - 1) + 1e-12


def test_store_round_trip_and_refusals(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 4096, (7, 10, 8))
    with StoreWriter(tmp_path / "s", 10, 8, 12, {"by": "test"}, shard=3) as writer:
        for index, image in enumerate(images):
            writer.accept(image / 4095, id=str(index), view="CC")
            writer.refuse("blank", "The image is blank.")
    opened = Store.open(tmp_path / "s")
    np.testing.assert_array_equal(opened.images()[:], images)
    assert list(opened.manifest["id"]) == [str(index) for index in range(7)]
    assert list(opened.refused["number"]) == [1, 3, 5, 7, 9, 11, 13]
    with pytest.raises(StoreError, match="has no images of 3 x 3"):
        opened.images((3, 3))
    with pytest.raises(ParameterError, match="--bits"):
        StoreWriter(tmp_path / "t", 20, 16, 17, {})
    with pytest.raises(ParameterError, match="--height"):
        StoreWriter(tmp_path / "t", 20, 3, 12, {})
    with pytest.raises(StoreError, match="other settings"):
        StoreWriter(tmp_path / "s", 20, 16, 12, {"by": "test"}, shard=3)
    with pytest.raises(StoreError, match="no store"):
        Store.open(tmp_path / "nothing")


def test_cut_off_store_continues_to_the_same_bytes(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((8, 10, 8))

    def fill(writer: StoreWriter, start: int, stop: int) -> None:
        for image in images[start:stop]:
            writer.accept(image, id="x")

    with StoreWriter(tmp_path / "whole", 10, 8, 12, {}, shard=3) as writer:
        fill(writer, 0, 8)
    cut = StoreWriter(tmp_path / "cut", 10, 8, 12, {}, shard=3)
    fill(cut, 0, 5)  # never finished: two images wait in memory and are lost
    with pytest.raises(StoreError, match="Another process writes"):
        StoreWriter(tmp_path / "cut", 10, 8, 12, {}, shard=3)
    del cut
    with pytest.raises(StoreError, match="not finished"):
        Store.open(tmp_path / "cut")
    with StoreWriter(tmp_path / "cut", 10, 8, 12, {}, shard=3) as again:
        assert again.sources == again.images == 3
        fill(again, again.sources, 8)
    assert Store.open(tmp_path / "cut").fingerprint == Store.open(tmp_path / "whole").fingerprint
    for path in sorted((tmp_path / "whole").rglob("c/*/*/*")):
        assert path.read_bytes() == (tmp_path / "cut" / path.relative_to(tmp_path / "whole")).read_bytes()
