"""Write and read the files of a Zarr v3 array of images in microseconds per image, not milliseconds.

Zarr itself needs about a millisecond of Python per chunk of a shard, more than the compression of a whole image. The
format is plain (Zarr v3 specification, codec `sharding_indexed`): the chunks one after the other, then the offset and
length of each as little-endian unsigned 64-bit integers, then the CRC-32C of that index. Zarr reads these files as it
reads its own.
"""

import mmap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
from numcodecs import blosc
from numpy.typing import DTypeLike
from zarr.codecs import BloscCodec

from mammogan.atomic import replacing
from mammogan.errors import StoreError

# LZ4 takes half the time of zstd to write and to read, in exchange for a seventh more space.
LEVEL = 5
COMPRESSOR = BloscCodec(cname="lz4", clevel=LEVEL, shuffle="bitshuffle")
MISSING = 2**64 - 1  # offset and length of a chunk that is missing: an image of zeros
OPEN = 256  # shards of an array that stay open

blosc.use_threads = False  # one image per process: threads would compete for the cores


def compress(image: np.ndarray) -> bytes:
    """Compress one image, uint16, to a chunk."""
    # numcodecs makes the same bytes, and a semaphore that the end of a child may leave over.
    array: Any = np.ascontiguousarray(image)  # the type is taken from an array alone, whatever the stubs say
    return bytes(imagecodecs.blosc_encode(array, LEVEL, compressor="lz4", shuffle="bitshuffle", numthreads=1))


def path_of(array: Path, number: int) -> Path:
    """Return the file of a shard of a 3-D array, in the default chunk key encoding."""
    return array / "c" / str(number) / "0" / "0"


def write_shard(path: Path, chunks: Sequence[bytes], capacity: int) -> None:
    """Write the first chunks of a shard of `capacity` chunks, as a whole file; see `replacing`."""
    index = np.full((capacity, 2), MISSING, "<u8")
    lengths = np.array([len(chunk) for chunk in chunks], "<u8")
    index[: len(chunks)] = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
    index[: len(chunks)][lengths == 0] = MISSING
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside, aside.open("wb") as file:
        file.writelines([*chunks, index.tobytes(), google_crc32c.value(index.tobytes()).to_bytes(4, "little")])


class Shard:
    """One shard, opened for reading; a StoreError says that its index is damaged."""

    def __init__(self, path: Path, capacity: int) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        index = self._bytes[-16 * capacity - 4 : -4]
        if google_crc32c.value(index).to_bytes(4, "little") != self._bytes[-4:]:
            raise StoreError(f"The file {path} is damaged: its index has another checksum; make the store again.")
        self._index = np.frombuffer(index, "<u8").reshape(capacity, 2).tolist()

    def chunk(self, position: int) -> bytes:
        """Return the compressed image at a position; empty where there is none."""
        offset, length = self._index[position]
        return b"" if offset == MISSING else self._bytes[offset : offset + length]


class Level:
    """The images of one level of a store, uint16 (n, h, w), read when they are indexed: an `ImageStack`.

    An integer gives one image; a slice, or integers in any order, give several. Nothing is kept in memory. `path` is
    the folder of the Zarr array, of which each file holds `shard` images.
    """

    dtype, ndim = np.dtype(np.uint16), 3

    def __init__(self, path: Path, shape: tuple[int, int, int], shard: int) -> None:
        self.path, self.shape, self.shard = path, shape, shard
        self._open = lru_cache(OPEN)(lambda number: Shard(path_of(path, number), shard))

    def __reduce__(self) -> tuple:
        return Level, (self.path, self.shape, self.shard)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | np.ndarray | list[int], /) -> np.ndarray:
        rows = np.asarray(np.arange(len(self))[key])
        images = np.empty((rows.size, *self.shape[1:]), np.uint16)
        for image, row in zip(images, rows.ravel().tolist(), strict=True):
            chunk = self._open(row // self.shard).chunk(row % self.shard)
            if chunk:
                blosc.decompress(chunk, image)
            else:
                image.fill(0)
        return images.reshape(*rows.shape, *self.shape[1:])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)
