"""The store: a Zarr pyramid of grey levels, and a manifest that says what each image is or why a file was refused.

Layout of a store (a folder)::

    zarr.json               the group: bits, sizes, how the images were made
    5x4/ 10x8/ ... HxW/     uint16 arrays (n, h, w), one image a chunk, `SHARD` images a file
    manifest.parquet/       part-000000.parquet ...: one row a source file, in the order of the sources

Images are written shard by shard, and a shard counts once the manifest part that describes it is in place. A kill at
any moment therefore loses at most the shard in work, and whoever continues starts behind the last part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from zarr.codecs import BloscCodec

SHARD = 64  # images a file: 168 MB at 1280 x 1024 before compression, and a million images make 16,000 files a level
FORMAT = "mammogan-store-1"
MANIFEST = "manifest.parquet"

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),  # position among the sources, 0-based
        ("id", pa.string()),  # first 16 hexadecimal digits of the source's SHA-256, or the name of a generated image
        ("index", pa.int64()),  # row in the arrays; null where refused
        ("reason", pa.string()),  # null where accepted
        ("sentence", pa.string()),
        ("flags", pa.list_(pa.string())),  # accepted, but worth a look
        ("source_sha256", pa.string()),
        ("patient", pa.string()),  # salted hash
        ("instance", pa.string()),  # salted hash
        ("pixels", pa.string()),  # first 16 hexadecimal digits of the SHA-256 of the finest level
        ("split", pa.string()),
        ("view", pa.string()),
        ("laterality", pa.string()),
        ("age", pa.float64()),  # years
        ("density", pa.string()),  # BI-RADS A to D
        ("window_center", pa.float64()),
        ("window_width", pa.float64()),
        ("window_function", pa.string()),
        ("window_explanation", pa.string()),
        ("spacing_mm", pa.float64()),  # of one pixel of the largest size in the store, at the detector
        ("manufacturer", pa.string()),
        ("model", pa.string()),
        ("source_rows", pa.int64()),
        ("source_columns", pa.int64()),
        ("photometric", pa.string()),
        ("transfer_syntax", pa.string()),
    ]
)


def pyramid_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from coarse to fine that doubling leads through: (5, 4), (10, 8) ... (1280, 1024).

    The coarsest is reached by halving while both sides are even and the shorter one is longer than 4.

    Raises:
        ValueError: a side is shorter than 4.
    """
    if min(height, width) < 4:
        raise ValueError(f"A size of {height} x {width} is too small; choose sides of 4 pixels or more.")
    sizes = [(height, width)]
    while height % 2 == width % 2 == 0 and min(height, width) > 4:
        height, width = height // 2, width // 2
        sizes.append((height, width))
    return sizes[::-1]


def quantize(image: np.ndarray, bits: int) -> np.ndarray:
    """Round grey values in [0, 1] to the grid 0 ... 2^bits - 1; uint16, values outside are clipped."""
    top = 2**bits - 1
    return np.clip(np.rint(np.asarray(image, np.float64) * top), 0, top).astype(np.uint16)


def pyramid(image: np.ndarray, bits: int) -> list[np.ndarray]:
    """One image (h, w) of grey values in [0, 1] at all its sizes, coarse to fine, uint16 of `bits` bits.

    Each level is the mean of 2 x 2 pixels of the level above, taken before rounding, so that errors do not add up.
    """
    level = np.asarray(image, np.float64)
    levels = [quantize(level, bits)]
    for height, width in pyramid_sizes(*image.shape)[-2::-1]:
        level = level.reshape(height, 2, width, 2).mean(axis=(1, 3))
        levels.append(quantize(level, bits))
    return levels[::-1]


class StoreError(Exception):
    """A store cannot be opened or written; the message says what to do."""


@dataclass
class Store:
    """A store opened for reading.

    Attributes:
        path: its folder.
        bits: grey levels run from 0 to 2^bits - 1.
        sizes: (height, width) of its levels, coarse to fine.
        manifest: one row an image, in the order of the arrays.
        refused: one row a file that was refused.
    """

    path: Path
    bits: int
    sizes: list[tuple[int, int]]
    attributes: dict[str, Any]
    manifest: pd.DataFrame = field(repr=False)
    refused: pd.DataFrame = field(repr=False)
    _group: zarr.Group = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a finished store.

        Raises:
            StoreError: there is none at `path`, or it is not finished.
        """
        path = Path(path)
        if not (path / "zarr.json").is_file():
            raise StoreError(f"There is no store at {path}; make one with `mammogan ingest SOURCE --store {path}`.")
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
        if attributes.get("format") != FORMAT:
            raise StoreError(f"{path} is a Zarr group but not a store of mammogan; make one with `mammogan ingest`.")
        if not attributes.get("complete"):
            raise StoreError(f"The store {path} is not finished; run the command that makes it again to continue it.")
        rows = pq.read_table(path / MANIFEST, schema=SCHEMA).to_pandas()
        accepted = rows["reason"].isna()
        return cls(
            path=path,
            bits=attributes["bits"],
            sizes=[tuple(size) for size in attributes["sizes"]],
            attributes=attributes,
            manifest=rows[accepted].reset_index(drop=True),
            refused=rows[~accepted].reset_index(drop=True),
            _group=group,
        )

    def __len__(self) -> int:
        return len(self.manifest)

    def images(self, size: tuple[int, int] | None = None) -> zarr.Array:
        """The array (n, h, w), uint16, of one level; the finest by default.

        Raises:
            StoreError: the store has no such level.
        """
        size = tuple(size) if size else self.sizes[-1]
        if size not in self.sizes:
            have = ", ".join(f"{h} x {w}" for h, w in self.sizes)
            raise StoreError(f"The store {self.path} has no images of {size[0]} x {size[1]} pixels; it has {have}.")
        return self._group[f"{size[0]}x{size[1]}"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the store holds: grid, sizes and the hashes of the images at its finest level."""
        return self.attributes["fingerprint"]


class StoreWriter:
    """Writes a store, or continues one that was cut off; use it as a context manager.

    Args:
        path: folder of the store.
        height, width: finest size, in pixels.
        bits: grey levels run from 0 to 2^bits - 1; at most 16.
        made_by: what makes the store, JSON-able: a store is continued only by the same maker with the same settings.
        shard: images a file.

    Raises:
        StoreError: `path` holds something else, or a store made otherwise.
    """

    def __init__(
        self, path: str | Path, height: int, width: int, bits: int, made_by: dict[str, Any], shard: int = SHARD
    ) -> None:
        if not 1 <= bits <= 16:
            raise StoreError(f"A store holds 1 to 16 bits a pixel, not {bits}; choose --bits between 1 and 16.")
        self.path = Path(path)
        self.bits = bits
        self.sizes = pyramid_sizes(height, width)
        self.shard = shard
        attributes = {
            "format": FORMAT,
            "bits": bits,
            "sizes": [list(size) for size in self.sizes],
            "shard": shard,
            "made_by": made_by,
        }
        if (self.path / "zarr.json").is_file():
            self._group = zarr.open_group(self.path, mode="r+")
            if {key: self._group.attrs.get(key) for key in attributes} != attributes:
                raise StoreError(
                    f"{self.path} holds a store made with other settings; give another folder or add --force."
                )
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and holds no store; give another folder.")
        else:
            self._group = zarr.open_group(self.path, mode="w")
            self._group.attrs.update(attributes)
        self.complete = bool(self._group.attrs.get("complete"))
        self._arrays = [self._array(h, w) for h, w in self.sizes]
        self._parts = self.path / MANIFEST
        self._parts.mkdir(exist_ok=True)
        self._images: list[Sequence[np.ndarray]] = []
        self._rows: list[dict[str, Any]] = []
        self._hash = hashlib.sha256(f"{FORMAT} {bits} {self.sizes}".encode())
        self._resume()

    def _array(self, h: int, w: int) -> zarr.Array:
        name = f"{h}x{w}"
        if name in self._group:
            return self._group[name]
        return self._group.create_array(
            name,
            shape=(0, h, w),
            dtype="uint16",
            chunks=(1, h, w),
            shards=(self.shard, h, w),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            fill_value=0,
        )

    def _resume(self) -> None:
        """Count what is committed; images behind the last part are dropped, they are written again."""
        self.sources = self.images = 0
        self._next_part = 0
        for part in self._committed_parts():
            rows = pq.read_table(part, columns=["index"]).column("index")
            self.sources += len(rows)
            self.images += len(rows) - rows.null_count
            self._next_part += 1
        if not self.complete:
            for array in self._arrays:
                array.resize((self.images, *array.shape[1:]))
            finest = self._arrays[-1]
            for start in range(0, self.images, self.shard):
                self._hash.update(np.ascontiguousarray(finest[start : start + self.shard]))

    def rows(self) -> Iterator[dict[str, Any]]:
        """The manifest so far, row by row: what is committed and what waits for its shard."""
        for part in self._committed_parts():
            yield from pq.read_table(part, schema=SCHEMA).to_pylist()
        yield from self._rows

    def _committed_parts(self) -> list[Path]:
        return sorted(self._parts.glob("part-*.parquet"))

    def accept(self, image: np.ndarray | Sequence[np.ndarray], **facts: Any) -> None:
        """Add one image: grey values (h, w) in [0, 1], or its finished pyramid (uint16, coarse to fine)."""
        levels = pyramid(image, self.bits) if isinstance(image, np.ndarray) else image
        shapes = [level.shape for level in levels]
        if shapes != self.sizes:
            raise StoreError(f"An image of {shapes[-1]} pixels does not fit a store of {self.sizes[-1]} pixels.")
        index = self.images + len(self._images)
        self._rows.append({"number": self.sources + len(self._rows), "index": index, **facts})
        self._images.append(levels)
        if len(self._images) == self.shard:
            self._commit()

    def refuse(self, reason: str, sentence: str, **facts: Any) -> None:
        """Note one source that was refused: a short machine-readable reason and a sentence."""
        number = self.sources + len(self._rows)
        self._rows.append({"number": number, "reason": reason, "sentence": sentence, **facts})

    def _commit(self) -> None:
        start, stop = self.images, self.images + len(self._images)
        for level, array in enumerate(self._arrays):
            if stop > start:
                block = np.stack([levels[level] for levels in self._images])
                array.resize((stop, *array.shape[1:]))
                array[start:stop] = block
                if level == len(self._arrays) - 1:
                    self._hash.update(block)
        part = self._parts / f"part-{self._next_part:06d}.parquet"
        aside = part.with_name(f".{part.name}.aside")
        pq.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA), aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(part)
        self.sources += len(self._rows)
        self.images = stop
        self._next_part += 1
        self._rows, self._images = [], []

    def finish(self) -> None:
        """Write what is left and mark the store as complete."""
        if self.complete:
            return
        if self._rows:
            self._commit()
        self._group.attrs.update({"fingerprint": self._hash.hexdigest(), "complete": True})
        self.complete = True

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.finish()
