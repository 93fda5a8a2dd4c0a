"""The store: a Zarr pyramid of gray levels, and a manifest that says what each image is or why a file was refused.

Layout of a store (a folder)::

    zarr.json               the group: bits, sizes, how the images were made
    5x4/ 10x8/ ... HxW/     uint16 arrays (n, h, w), one image a chunk, `SHARD` images a file
    manifest.parquet        one row a source file, in the order of the sources
    manifest.parts/         part-000000.parquet ...: the manifest as far as it is, while the store is being written

Images are written shard by shard, and a shard counts once the manifest part that describes it is in place. A kill at
any moment therefore loses at most the shard in work, and whoever continues starts behind the last part.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from mammogan.data.shards import COMPRESSOR, Level, Shard, compress, path_of, write_shard
from mammogan.errors import StoreError

SHARD = 64  # images a file: 168 MB at 1280 x 1024 before compression, and a million images make 16,000 files a level
ROWS = 4096  # sources after which a part is written even if most were refused
GROUP = 65536  # rows a group of the finished manifest
FORMAT = "mammogan-store-2"
MANIFEST = "manifest.parquet"
PARTS = "manifest.parts"
LOCK = ".lock"

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),  # position among the sources, 0-based
        ("id", pa.string()),  # first 16 hexadecimal digits of the source's SHA-256, or the name of a generated image
        ("index", pa.int64()),  # row in the arrays; null where refused
        ("reason", pa.string()),  # null where accepted
        ("sentence", pa.string()),
        ("flags", pa.list_(pa.string())),  # accepted, but worth a look
        ("source_sha256", pa.string()),
        ("place", pa.string()),  # salted hash of the source's path
        ("patient", pa.string()),  # salted hash
        ("instance", pa.string()),  # salted hash
        ("pixels", pa.string()),  # first 16 hexadecimal digits of the SHA-256 of the finest level
        ("split", pa.string()),
        ("view", pa.string()),
        ("laterality", pa.string()),  # of the breast, also where the image was mirrored
        ("mirrored", pa.bool_()),  # the chest wall was brought to the left edge
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
    """Round gray values in [0, 1] to the grid 0 ... 2^bits - 1; uint16, values outside are clipped."""
    top = 2**bits - 1
    scaled = np.asarray(image) * np.asarray(image).dtype.type(top)
    scaled = np.rint(scaled, out=scaled) if scaled.ndim else np.rint(scaled)
    return np.clip(scaled, 0, top, out=scaled if scaled.ndim else None).astype(np.uint16)


def pyramid(image: np.ndarray, bits: int) -> list[np.ndarray]:
    """One image (h, w) of gray values in [0, 1] at all its sizes, coarse to fine, uint16 of `bits` bits.

    Each level is the mean of 2 x 2 pixels of the level above, taken before rounding, so that errors do not add up.
    """
    level = np.asarray(image)
    levels = [quantize(level, bits)]
    for _ in pyramid_sizes(*image.shape)[1:]:
        rows = level[::2] + level[1::2]
        level = (rows[:, ::2] + rows[:, 1::2]) / 4
        levels.append(quantize(level, bits))
    return levels[::-1]


@dataclass(frozen=True)
class Encoded:
    """One image as the store's files hold it.

    Attributes:
        sizes: of its levels, coarse to fine.
        chunks: the levels, compressed.
        pixels: hash of the finest level, see `hash_of`.
    """

    sizes: list[tuple[int, ...]]
    chunks: list[bytes] = field(repr=False)
    pixels: str


def encode(levels: Sequence[np.ndarray]) -> Encoded:
    """Compress a pyramid; where images are read side by side, each process does it for its own."""
    return Encoded([level.shape for level in levels], [compress(level) for level in levels], hash_of(levels[-1]))


@dataclass
class Store:
    """A store opened for reading.

    Attributes:
        path: its folder.
        bits: gray levels run from 0 to 2^bits - 1.
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
        rows = pq.read_table(path / MANIFEST).to_pandas()
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

    def images(self, size: tuple[int, int] | None = None) -> Level:
        """The images (n, h, w), uint16, of one level; the finest by default. Index them like an array's first axis.

        Raises:
            StoreError: the store has no such level.
        """
        size = (size[0], size[1]) if size else self.sizes[-1]
        if size not in self.sizes:
            have = ", ".join(f"{h} x {w}" for h, w in self.sizes)
            raise StoreError(f"The store {self.path} has no images of {size[0]} x {size[1]} pixels; it has {have}.")
        name = f"{size[0]}x{size[1]}"
        return Level(self.path / name, self._group[name].shape, self.attributes["shard"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the store holds: grid, sizes and the hashes of the images at its finest level."""
        return self.attributes["fingerprint"]


class StoreWriter:
    """Writes a store, or continues one that was cut off; use it as a context manager.

    Args:
        path: folder of the store.
        height, width: finest size, in pixels.
        bits: gray levels run from 0 to 2^bits - 1; at most 16.
        made_by: what makes the store, JSON-able: a store is continued only by the same maker with the same settings.
        shard: images a file.

    Attributes:
        sources, images: rows and images that are committed.
        complete: the store is finished; nothing can be added.

    Raises:
        StoreError: `path` holds something else, or a store made otherwise, or another process writes to it.
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
        exists = (self.path / "zarr.json").is_file()
        if not exists and self.path.is_dir() and any(entry.name != LOCK for entry in self.path.iterdir()):
            raise StoreError(f"{self.path} is not empty and holds no store; give another folder.")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"Another process writes to {self.path}; wait for it or stop it.") from None
        if exists:
            self._group = zarr.open_group(self.path, mode="r+")
            if {key: self._group.attrs.get(key) for key in attributes} != attributes:
                raise StoreError(
                    f"{self.path} holds a store made with other settings; give another folder or add --force."
                )
        else:
            # One call: a kill between group and attributes would leave a group that belongs to nobody.
            self._group = zarr.create_group(self.path, attributes=attributes)
        self.complete = bool(self._group.attrs.get("complete"))
        self._arrays = [self._array(h, w) for h, w in self.sizes]
        self._parts = self.path / PARTS
        self._images: list[Encoded] = []
        self._rows: list[dict[str, Any]] = []
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
            compressors=COMPRESSOR,
            fill_value=0,
        )

    def _resume(self) -> None:
        """Count what is committed; images behind the last part are dropped, they are written again."""
        self.sources = self.images = 0
        if self.complete:
            shutil.rmtree(self._parts, ignore_errors=True)
        else:
            self._parts.mkdir(exist_ok=True)
        self._part = 0 if self.complete else len(self._committed_parts())
        for table in self._tables(["index"]):
            self.sources += len(table)
            self.images += len(table) - table.column("index").null_count
        if not self.complete:
            for array in self._arrays:
                array.resize((self.images, *array.shape[1:]))

    def rows(self) -> Iterator[dict[str, Any]]:
        """The committed manifest, row by row."""
        for table in self._tables():
            yield from table.to_pylist()

    def _tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The committed manifest piece by piece, so that a long one is never in memory as a whole."""
        if self.complete:
            for batch in pq.ParquetFile(self.path / MANIFEST).iter_batches(GROUP, columns=columns):
                yield pa.Table.from_batches([batch])
        else:
            for part in self._committed_parts():
                yield pq.read_table(part, columns=columns)

    def _committed_parts(self) -> list[Path]:
        return sorted(self._parts.glob("part-*.parquet"))

    def accept(self, image: np.ndarray | Encoded, **facts: Any) -> None:
        """Add one image: gray values (h, w) in [0, 1], or what `encode` made of its pyramid."""
        encoded = image if isinstance(image, Encoded) else encode(pyramid(image, self.bits))
        if encoded.sizes != self.sizes:
            raise StoreError(f"An image of {encoded.sizes[-1]} pixels does not fit a store of {self.sizes[-1]} pixels.")
        index = self.images + len(self._images)
        row = {"number": self.sources + len(self._rows), "index": index, "pixels": encoded.pixels, **facts}
        self._rows.append(row)
        self._images.append(encoded)
        # A shard is written once, whole, unless a long row of refusals comes in between.
        if (index + 1) % self.shard == 0 or len(self._rows) >= ROWS:
            self._commit()

    def refuse(self, reason: str, sentence: str, **facts: Any) -> None:
        """Note one source that was refused: a short machine-readable reason and a sentence."""
        number = self.sources + len(self._rows)
        self._rows.append({"number": number, "reason": reason, "sentence": sentence, **facts})
        if len(self._rows) >= ROWS:
            self._commit()

    def _commit(self) -> None:
        start, stop = self.images, self.images + len(self._images)
        if stop > start:
            number, there = divmod(start, self.shard)
            for level, array in enumerate(self._arrays):
                path = path_of(self.path / array.basename, number)
                # What lies behind the committed images was left by a kill.
                before = [Shard(path, self.shard).chunk(place) for place in range(there)] if there else []
                write_shard(path, [*before, *(image.chunks[level] for image in self._images)], self.shard)
                array.resize((stop, *array.shape[1:]))
        _write_aside(pa.Table.from_pylist(self._rows, schema=SCHEMA), self._parts / f"part-{self._part:06d}.parquet")
        self._part += 1
        self.sources += len(self._rows)
        self.images = stop
        self._rows, self._images = [], []

    def finish(self) -> None:
        """Write what is left, join the parts of the manifest and mark the store as complete."""
        if self.complete:
            return
        if self._rows:
            self._commit()
        fingerprint = hashlib.sha256(f"{FORMAT} {self.bits} {self.sizes}".encode())
        for table in self._tables(["index", "pixels"]):
            fingerprint.update("".join(row["pixels"] for row in table.to_pylist() if row["index"] is not None).encode())
        _write_aside(_regrouped(self._tables()), self.path / MANIFEST)
        self._group.attrs.update({"fingerprint": fingerprint.hexdigest(), "complete": True})
        self.complete = True
        shutil.rmtree(self._parts)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._lock.close()


def hash_of(image: np.ndarray) -> str:
    """First 16 hexadecimal digits of the SHA-256 of an image's gray levels."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()[:16]


def _regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in groups of `GROUP`, wherever the parts were cut."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, GROUP)
            waiting = [joined.slice(GROUP)]
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _write_aside(tables: pa.Table | Iterator[pa.Table], path: Path) -> None:
    """Write a Parquet file that is either whole or absent, whenever the process is killed."""
    aside = path.with_name(f".{path.name}.aside")
    with pq.ParquetWriter(aside, SCHEMA) as writer:
        for table in [tables] if isinstance(tables, pa.Table) else tables:
            writer.write_table(table)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
