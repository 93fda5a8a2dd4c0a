"""The store: a Zarr pyramid of gray levels, and a manifest that says what each image is or why a file was refused.

Layout of a store (a folder)::

    zarr.json               the group: bits, sizes, how the images were made
    5x4/ 10x8/ ... HxW/     uint16 arrays (n, h, w), one image per chunk, `SHARD` images per file
    manifest.parquet        one row per source file, in the order of the sources
    manifest.parts/         part-000000.parquet ...: the manifest so far, while the store is being written

Images are written shard by shard, and a shard counts once the manifest part that describes it is in place. A kill at
any moment therefore loses at most the shard in work, and whoever continues starts after the last part.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from mammogan.atomic import lock, replacing, writing
from mammogan.data.averaging import quantize_and_halve
from mammogan.data.manifest import SCHEMA, Facts
from mammogan.data.shards import COMPRESSOR, Level, Shard, compress, path_of, write_shard
from mammogan.errors import ParameterError, StoreError
from mammogan.types import Size

SHARD = 64  # images per file: 168 MB at 1280 x 1024 before compression; a million images make 16,000 files per level
ROWS = 4096  # sources after which a part is written even if most were refused
GROUP = 65536  # rows per group of the finished manifest
FORMAT = "mammogan-store-2"
MANIFEST = "manifest.parquet"
PARTS = "manifest.parts"
LOCK = ".lock"
REPORT = "report"  # folder of the report on the sources
NAME = "{}x{}"  # of the array of a level
MAX_BASE = 16  # pixels of a side at which a GAN may begin to grow


def pyramid_sizes(height: int, width: int) -> list[Size]:
    """Return the sizes of a pyramid, coarse to fine, each twice the one before: 5 x 4, 10 x 8 ... 1280 x 1024.

    The coarsest is reached by halving while both sides are even and the shorter one is longer than 4; a side below 4 is
    a ParameterError.
    """
    if min(height, width) < 4:
        raise ParameterError(f"A size of {height} x {width} is too small; choose --height and --width of 4 or more.")
    sizes = [Size(height, width)]
    while height % 2 == width % 2 == 0 and min(height, width) > 4:
        height, width = height // 2, width // 2
        sizes.append(Size(height, width))
    return sizes[::-1]


def check_growth(height: int, width: int) -> None:
    """Check that a GAN can grow to a size: ParameterError unless halving leads down to `MAX_BASE` pixels or less."""
    base = pyramid_sizes(height, width)[0]
    if max(base) > MAX_BASE:
        raise ParameterError(
            f"{Size(height, width)} pixels halve only down to {base}, and a GAN grows from {MAX_BASE} or less; choose "
            "--height and --width of a few pixels doubled again and again, as 1280 and 1024."
        )


def quantize(image: np.ndarray, bits: int) -> np.ndarray:
    """Round gray values in [0, 1] to the grid 0 ... 2^bits - 1; uint16, values outside are clipped."""
    top = 2**bits - 1
    scaled = np.asarray(image) * np.asarray(image).dtype.type(top)
    scaled = np.rint(scaled, out=scaled) if scaled.ndim else np.rint(scaled)
    return np.clip(scaled, 0, top, out=scaled if scaled.ndim else None).astype(np.uint16)


def pyramid(image: np.ndarray, bits: int) -> list[np.ndarray]:
    """Return one image (h, w) of gray values in [0, 1] at all its sizes, coarse to fine, uint16 of `bits` bits.

    Each level is the mean of 2 x 2 pixels of the level above, computed before rounding, so that errors do not add up.
    """
    level, levels = np.asarray(image), []
    for _ in pyramid_sizes(*image.shape):
        gray, level = quantize_and_halve(level, bits)
        levels.append(gray)
    return levels[::-1]


@dataclass(frozen=True)
class Encoded:
    """One image as the store's files hold it."""

    sizes: list[tuple[int, ...]]  # of its levels, coarse to fine
    chunks: list[bytes] = field(repr=False)  # the levels, compressed
    pixels: str  # first 16 hexadecimal digits of the SHA-256 of the finest level


def encode(levels: Sequence[np.ndarray]) -> Encoded:
    """Compress a pyramid; processes that read images in parallel each compress their own."""
    pixels = hashlib.sha256(np.ascontiguousarray(levels[-1]).data).hexdigest()[:16]
    return Encoded([level.shape for level in levels], [compress(level) for level in levels], pixels)


def _in_schema(table: pa.Table) -> pa.Table:
    """Return a table with null in the columns that an earlier version did not have."""
    for name in SCHEMA.names:
        if name not in table.column_names:
            table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), SCHEMA.field(name).type))
    return table.select(SCHEMA.names)


def _rows_of(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the rows of a manifest that were accepted, and those that were refused."""
    rows = _in_schema(pq.read_table(path / MANIFEST)).to_pandas()
    return (rows[rows["reason"].isna() == kept].reset_index(drop=True) for kept in (True, False))


@dataclass
class Store:
    """A store opened for reading."""

    path: Path
    bits: int  # gray levels run from 0 to 2^bits - 1
    sizes: list[Size]  # of its levels, coarse to fine
    attributes: dict[str, Any]  # JSON of the Zarr group; "made_by" says how the images were made
    manifest: pd.DataFrame = field(repr=False)  # one row per image, in the order of the arrays
    refused: pd.DataFrame = field(repr=False)  # one row per file that was refused

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store; a StoreError says that there is none, or none that is finished."""
        path = Path(path)
        if not (path / "zarr.json").is_file():
            raise StoreError(f"There is no store at {path}; make one with `mammogan ingest SOURCE --store {path}`.")
        attributes = dict(zarr.open_group(path, mode="r").attrs)
        if attributes.get("format") != FORMAT:
            raise StoreError(f"{path} is a Zarr group but not a store of mammogan; make one with `mammogan ingest`.")
        if not attributes.get("complete"):
            raise StoreError(f"The store {path} is not finished; run the command that makes it again to continue it.")
        sizes = [Size(*size) for size in attributes["sizes"]]
        return cls(path, attributes["bits"], sizes, attributes, *_rows_of(path))

    @classmethod
    def without_images(cls, path: str | Path) -> Self:
        """Open the manifest of an ingest that accepted nothing; the store has no images, sizes or attributes."""
        return cls(Path(path), 0, [], {}, *_rows_of(Path(path)))

    def __len__(self) -> int:
        return len(self.manifest)

    def images(self, size: tuple[int, int] | None = None) -> Level:
        """Return the images (n, h, w), uint16, of one level, the finest by default; StoreError if it has none such."""
        level = Size(*size) if size else self.sizes[-1]
        if level not in self.sizes:
            sizes = ", ".join(map(str, self.sizes))
            raise StoreError(f"The store {self.path} has no images of {level} pixels; choose from {sizes}.")
        return Level(self.path / NAME.format(*level), (len(self), *level), self.attributes["shard"])

    def in_split(self, split: str) -> np.ndarray:
        """Return True for the images of a split, (n,), of all for ""; StoreError if there are none."""
        members = (self.manifest["split"] == split).to_numpy() if split else np.ones(len(self), bool)
        if not members.any():
            raise StoreError(f"The store {self.path} has no images in the split {split!r}; name another split.")
        return members

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the store holds: grid, sizes and the hashes of the images at its finest level."""
        return self.attributes["fingerprint"]


class StoreWriter:
    """Writer of a store, which continues one that was cut off; a context manager.

    Args:
        path: folder of the store.
        height, width: size of the finest level, pixels.
        bits: gray levels run from 0 to 2^bits - 1; at most 16.
        made_by: what makes the store, as JSON: a store is continued only by the same maker with the same settings.
        shard: images per file.

    Attributes:
        sources, images: number of committed rows and images.
        complete: True where the store is finished and nothing can be added.

    Raises:
        ParameterError: more than 16 bits, or a side shorter than 4.
        StoreError: `path` holds something else, or a store made otherwise, or another process writes to it.
        OutputError: `path` cannot be written.
    """

    def __init__(
        self, path: str | Path, height: int, width: int, bits: int, made_by: Mapping[str, object], shard: int = SHARD
    ) -> None:
        if not 1 <= bits <= 16:
            raise ParameterError(f"A store holds 1 to 16 bits per pixel, not {bits}; choose --bits between 1 and 16.")
        self.path, self.bits, self.shard, self.sizes = Path(path), bits, shard, pyramid_sizes(height, width)
        sizes = [list(size) for size in self.sizes]
        attributes = {"format": FORMAT, "bits": bits, "sizes": sizes, "shard": shard, "made_by": made_by}
        exists = (self.path / "zarr.json").is_file()
        if not exists and self.path.is_dir() and {e.name for e in self.path.iterdir()} - {LOCK, MANIFEST, REPORT}:
            raise StoreError(f"{self.path} is not empty and not a store; give another folder.")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("w")
            lock(self._lock, StoreError(f"Another process writes to {self.path}; wait for it or stop it."))
            if not exists:
                # One call: a kill between group and attributes would leave a group that belongs to nobody.
                self._group = zarr.create_group(self.path, attributes=attributes)
            else:
                self._group = zarr.open_group(self.path, mode="r+")
                if {key: self._group.attrs.get(key) for key in attributes} != attributes:
                    raise StoreError(f"{self.path} was made with other settings; give another folder.")
            self.complete = bool(self._group.attrs.get("complete"))
            self._arrays, self._parts = [self._array(size) for size in self.sizes], self.path / PARTS
            self._images: list[Encoded] = []
            self._rows: list[dict[str, object]] = []
            self._resume()

    def _array(self, size: Size) -> zarr.Array:
        name, chunk, shard = NAME.format(*size), (1, *size), (self.shard, *size)
        if name in self._group:
            return self._group[name]
        return self._group.create_array(
            name, shape=(0, *size), dtype="uint16", chunks=chunk, shards=shard, compressors=COMPRESSOR, fill_value=0
        )

    def _resume(self) -> None:
        """Count what is committed; images after the last part are dropped, they are written again."""
        if self.complete:
            shutil.rmtree(self._parts, ignore_errors=True)
        else:
            self._parts.mkdir(exist_ok=True)
        self._part = 0 if self.complete else len(self._committed())
        self.sources = self.images = 0
        for table in self._tables(["index"]):
            self.sources += len(table)
            self.images += len(table) - table.column("index").null_count
        if not self.complete:
            for array in self._arrays:
                array.resize((self.images, *array.shape[1:]))

    def rows(self) -> Iterator[Facts]:
        """Yield the committed manifest, row by row."""
        for table in self._tables():
            yield from table.to_pylist()

    def _tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the committed manifest in pieces, so that a long one is never in memory as a whole."""
        if self.complete:
            batches = pq.ParquetFile(self.path / MANIFEST).iter_batches(GROUP, columns=columns)
            yield from (pa.Table.from_batches([batch]) for batch in batches)
        else:
            parts = (pq.read_table(part, columns=columns) for part in self._committed())
            yield from (parts if columns else map(_in_schema, parts))

    def _committed(self) -> list[Path]:
        return sorted(self._parts.glob("part-*.parquet"))

    def accept(self, image: np.ndarray | Encoded, **facts: object) -> None:
        """Add one image: gray values (h, w) in [0, 1], or an encoded pyramid; `facts` are columns of `Facts`."""
        encoded = image if isinstance(image, Encoded) else encode(pyramid(image, self.bits))
        if encoded.sizes != self.sizes:
            raise StoreError(f"An image of {Size(*encoded.sizes[-1])} pixels does not fit a store of {self.sizes[-1]}.")
        self._images.append(encoded)
        self._add({"index": self.images + len(self._images) - 1, "pixels": encoded.pixels, **facts})

    def refuse(self, reason: str, sentence: str, **facts: object) -> None:
        """Record one source that was refused: a short machine-readable reason and a sentence."""
        self._add({"reason": reason, "sentence": sentence, **facts})

    def _add(self, row: dict[str, object]) -> None:
        self._rows.append({"number": self.sources + len(self._rows), **row})
        # A shard is written once, whole, unless a long row of refusals comes in between.
        shard_is_full = "index" in row and (self.images + len(self._images)) % self.shard == 0
        if shard_is_full or len(self._rows) >= ROWS:
            self._commit()

    def _commit(self) -> None:
        start, stop = self.images, self.images + len(self._images)
        with writing(self.path):
            number, committed = divmod(start, self.shard)
            for level, array in enumerate(self._arrays if stop > start else ()):
                path = path_of(self.path / array.basename, number)
                # What follows the committed images was left by a kill.
                before = [Shard(path, self.shard).chunk(k) for k in range(committed)] if committed else []
                write_shard(path, [*before, *(image.chunks[level] for image in self._images)], self.shard)
                array.resize((stop, *array.shape[1:]))
            rows = pa.Table.from_pylist(self._rows, schema=SCHEMA)
            _write_rows([rows], self._parts / f"part-{self._part:06d}.parquet")
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
        sizes = [tuple(size) for size in self.sizes]
        fingerprint = hashlib.sha256(f"{FORMAT} {self.bits} {sizes}".encode())
        for table in self._tables(["index", "pixels"]):
            fingerprint.update("".join(row["pixels"] for row in table.to_pylist() if row["index"] is not None).encode())
        with writing(self.path):
            _write_rows(_regrouped(self._tables()), self.path / MANIFEST)
            self._group.attrs.update({"fingerprint": fingerprint.hexdigest(), "complete": True})
            self.complete = True
            shutil.rmtree(self._parts)

    def abandon(self) -> None:
        """Keep only the manifest of a store without images; another store can then be made in its place."""
        self.finish()
        for path in (*(self.path / array.basename for array in self._arrays), self.path / "zarr.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._lock.close()


def _regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in groups of `GROUP`, wherever the parts were cut."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, GROUP)
            waiting = [joined.slice(GROUP)]
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _write_rows(tables: Iterable[pa.Table], path: Path) -> None:
    """Write a Parquet file that is either whole or absent, whenever the process is killed."""
    with replacing(path) as aside, pq.ParquetWriter(aside, SCHEMA) as writer:
        for table in tables:
            writer.write_table(table)
