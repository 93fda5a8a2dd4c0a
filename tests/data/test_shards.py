"""Shards are Zarr's own: zarr reads what is written here, and what zarr writes is read here; damage is noticed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr

from mammogan.data.shards import COMPRESSOR, Level, Shard, compress, path_of, write_shard
from mammogan.data.store import Store, StoreWriter
from mammogan.errors import StoreError

IMAGES = np.random.default_rng(0).integers(0, 4096, (7, 40, 32)).astype(np.uint16)


@pytest.fixture
def array(tmp_path: Path) -> zarr.Array:
    """An array of seven images in shards of three, written by zarr; the fifth image is black."""
    group = zarr.create_group(tmp_path / "group")
    array = group.create_array(
        "a", shape=(7, 40, 32), chunks=(1, 40, 32), shards=(3, 40, 32), dtype="uint16", compressors=COMPRESSOR
    )
    array[:] = IMAGES * (np.arange(7) != 4)[:, None, None].astype(np.uint16)
    return array


def test_what_zarr_writes_is_read(array: zarr.Array, tmp_path: Path) -> None:
    level = Level(tmp_path / "group" / "a", (7, 40, 32), 3)
    expected = array[:]
    assert expected[4].max() == 0
    for key in (0, 4, -1, np.int64(5), slice(None), slice(1, 6, 2), slice(5, None), [6, 0, 0, 4], np.array([[1], [2]])):
        np.testing.assert_array_equal(level[key], expected[key])
    np.testing.assert_array_equal(np.asarray(level), expected)
    np.testing.assert_array_equal(np.stack(list(level)), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(level))[3], expected[3])
    for key in (7, -8, [0, 7]):
        with pytest.raises(IndexError):
            level[key]


def test_zarr_reads_what_is_written_and_both_write_the_same_bytes(array: zarr.Array, tmp_path: Path) -> None:
    by_zarr = [path_of(tmp_path / "group" / "a", number).read_bytes() for number in range(3)]
    chunks = [compress(image) if image.any() else b"" for image in array[:]]
    for number in range(3):
        write_shard(path_of(tmp_path / "group" / "a", number), chunks[3 * number : 3 * number + 3], 3)
    np.testing.assert_array_equal(array[:], IMAGES * (np.arange(7) != 4)[:, None, None])
    for number in range(3):
        own = path_of(tmp_path / "group" / "a", number)
        assert len(own.read_bytes()) == len(by_zarr[number])
        assert [Shard(own, 3).chunk(place) for place in range(3)] == [*chunks, b"", b""][3 * number : 3 * number + 3]


def test_a_damaged_shard_is_noticed(array: zarr.Array, tmp_path: Path) -> None:
    path = path_of(tmp_path / "group" / "a", 1)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    level = Level(tmp_path / "group" / "a", (7, 40, 32), 3)
    np.testing.assert_array_equal(level[0], array[0])
    with pytest.raises(StoreError, match="damaged"):
        level[3]


def test_a_store_is_a_zarr_group(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", 40, 32, 12, {"by": "test"}, shard=3) as writer:
        for image in IMAGES:
            writer.accept(image / 4095)
    store = Store.open(tmp_path / "s")
    group = zarr.open_group(tmp_path / "s", mode="r")
    for size in store.sizes:
        array = group[f"{size[0]}x{size[1]}"]
        assert array.shape == (7, *size)
        np.testing.assert_array_equal(store.images(size)[:], array[:])
    np.testing.assert_array_equal(store.images()[:], IMAGES)
    np.testing.assert_array_equal(store.images()[[5, 1]], IMAGES[[5, 1]])
