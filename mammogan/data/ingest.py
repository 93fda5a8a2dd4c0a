"""Many files -> one store: finds the sources, reads them on Dask, and notes for every one where it went or why not."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mammogan import parallel
from mammogan.data.attributes import TOMOSYNTHESIS
from mammogan.data.deidentify import salt_of, salted_hash, split_of
from mammogan.data.dicom import Mammogram, read_mammogram
from mammogan.data.geometry import crop_letterbox, crop_white_border, fit, overview
from mammogan.data.metadata import Labels, is_labels
from mammogan.data.quality import FLAGS, check_breast, flags_of, remove_labels
from mammogan.data.raster import SUFFIXES, read_picture
from mammogan.data.segmentation import chest_side
from mammogan.data.store import Store, StoreWriter, encode, pyramid
from mammogan.errors import InputError, Reason, Refused
from mammogan.types import Progress, no_progress

MAX_BYTES = 2**29  # larger files are tomosyntheses or no images; they are not read into memory
PRELOAD = ("mammogan.data.ingest",)  # loaded once for all children


@dataclass(frozen=True)
class Settings:
    """What decides how a source becomes an image; kept in the store.

    Attributes:
        height, width: size of the finest level, pixels.
        bits: gray levels 0 ... 2^bits - 1.
        window: VOI window or LUT to show, see `display`; 0 is the hardware's default.
        laterality: "keep" leaves each chest wall at its own edge; "left" mirrors images so that all are at the left.
        allow_processing: take FOR PROCESSING images too.
        refuse_flags: flags (`FLAGS`) with which an image is refused; the paper left out clips and pacemakers.
        picture_bits: gray values of pictures run from 0 to 2^picture_bits - 1; 0 takes the depth of their format.
        prepared: pictures are of the store's size and depth and are taken as they are, in the order of their names:
            unlabeled ones too, copies too, nothing cropped, turned or judged. Generated images must be taken so, lest
            the bad ones are left out.
        seed: of the split by patient.

    Raises:
        InputError: a value that means nothing.
    """

    height: int = 1280
    width: int = 1024
    bits: int = 12
    window: int | str = 0
    laterality: str = "keep"
    allow_processing: bool = False
    refuse_flags: tuple[str, ...] = ()
    picture_bits: int = 0
    prepared: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.laterality not in ("keep", "left"):
            raise InputError(f"Laterality is kept or turned left, not {self.laterality!r}; choose keep or left.")
        if unknown := set(self.refuse_flags) - set(FLAGS):
            raise InputError(f"There is no flag {sorted(unknown)[0]!r}; the flags are {', '.join(FLAGS)}.")
        if not 0 <= self.picture_bits <= 16:
            raise InputError(f"A picture has 1 to 16 bits, not {self.picture_bits}; choose --picture-bits.")


def walk(sources: Iterable[Path]) -> Iterator[Path]:
    """Every file below the sources, in one order on every machine.

    Hidden files and folders are passed over. The names in a folder are put in order in a temporary database on disk,
    so that a folder of a million files takes no memory.
    """
    for source in sources:
        if source.is_file():
            yield source
            continue
        # A walk that is broken off may be closed by another thread.
        with closing(sqlite3.connect("", check_same_thread=False)) as names:
            names.execute("CREATE TABLE names (name BLOB PRIMARY KEY) WITHOUT ROWID")
            with os.scandir(source) as entries:
                shown = ((os.fsencode(entry.name),) for entry in entries if not entry.name.startswith("."))
                names.executemany("INSERT INTO names VALUES (?)", shown)
            for (name,) in names.execute("SELECT name FROM names ORDER BY name"):
                path = source / os.fsdecode(name)
                if path.is_file() or path.is_dir():
                    yield from walk([path])


def read_source(path: Path, label: Mapping[str, Any] | None, settings: Settings) -> dict[str, Any]:
    """One file -> {"facts", and either "refused" or "image" (encoded), "patient" and "instance"}."""
    facts: dict[str, Any] = {}
    try:
        content, digest = _content(path)
        facts = {"source_sha256": digest, "id": digest[:16]}
        if path.suffix.lower() in SUFFIXES:
            mammogram = read_picture(content, label, settings.picture_bits, unlabeled=settings.prepared)
        else:
            mammogram = read_mammogram(
                content, window=settings.window, allow_processing=settings.allow_processing, label=label
            )
        facts |= mammogram.facts
        as_it_is = settings.prepared and path.suffix.lower() in SUFFIXES
        image = encode(prepared(mammogram, settings) if as_it_is else place(mammogram, settings, facts))
        if flagged := set(facts["flags"]) & set(settings.refuse_flags):
            flag = next(flag for flag in FLAGS if flag in flagged)
            raise Refused(flag, f"The image was flagged and flagged ones are refused: {FLAGS[flag]}.")
    except Refused as refused:
        return {"facts": facts, "refused": (refused.reason, str(refused))}
    except MemoryError:
        raise
    except Exception as error:  # one odd file among a million must not end the run; its reason is counted like others
        sentence = f"The image cannot be brought to the store's grid ({type(error).__name__})."
        return {"facts": facts, "refused": (Reason.UNEXPECTED, sentence)}
    facts["pixels"] = image.pixels
    return {"facts": facts, "image": image, "patient": mammogram.patient, "instance": mammogram.instance}


def _content(path: Path) -> tuple[bytes, str]:
    """A file's bytes and their SHA-256."""
    try:
        with path.open("rb") as file:
            # Asked for more than there is, Python first clears as much memory.
            content = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except OSError as error:
        raise Refused(Reason.UNREADABLE, f"The file cannot be read ({type(error).__name__}).") from None
    if len(content) > MAX_BYTES:
        if TOMOSYNTHESIS.encode() in content[:65536]:
            raise Refused(Reason.TOMOSYNTHESIS, "The file holds a breast tomosynthesis, not a full-field mammogram.")
        raise Refused(Reason.TOO_LARGE, f"The file is larger than {MAX_BYTES >> 20} MiB.")
    return content, hashlib.sha256(content).hexdigest()


def place(mammogram: Mammogram, settings: Settings, facts: dict[str, Any]) -> list[np.ndarray]:
    """A displayed image in the store's grid; notes in `facts` what was done to it and what to look at.

    Args:
        mammogram: as read.
        settings: of the store.
        facts: of the image; flags, mirrored and spacing_mm are brought up to date.

    Returns:
        Its pyramid, uint16, coarse to fine.

    Raises:
        Refused: it shows no breast.
    """
    gray, flags = mammogram.pixels, list(facts["flags"])
    if mammogram.film:
        check_breast(gray)
        gray, removed = remove_labels(crop_letterbox(crop_white_border(gray)))
        flags += ["label_removed"] * bool(removed)
    check_breast(gray)
    if facts.get("spacing_mm"):
        facts["spacing_mm"] /= min(settings.height / gray.shape[0], settings.width / gray.shape[1])
    side = chest_side(overview(gray))
    image = fit(gray, settings.height, settings.width, side)
    if facts["laterality"] not in (side, None):
        flags.append("side")
    facts["mirrored"] = settings.laterality == "left" and side == "R"
    levels = pyramid(image[:, ::-1] if facts["mirrored"] else image, settings.bits)
    # A level of about 640 rows resolves a clip and spares three quarters of the work.
    finest = next((level for level in levels if level.shape[0] >= 512), levels[-1])
    flags += flags_of(finest.astype(np.float32) / (2**settings.bits - 1))
    facts["flags"] = [flag for flag in FLAGS if flag in flags]
    return levels


def prepared(mammogram: Mammogram, settings: Settings) -> list[np.ndarray]:
    """The pyramid of a picture that is of the store's size and depth already.

    Raises:
        Refused: it is not.
    """
    h, w = mammogram.pixels.shape
    if (h, w) != (settings.height, settings.width):
        raise Refused(
            Reason.GEOMETRY, f"The picture has another size than the {settings.height} x {settings.width} pixels."
        )
    if mammogram.depth < settings.bits:
        raise Refused(
            Reason.DEPTH, f"The picture has {mammogram.depth} bits, fewer than the {settings.bits} of the others."
        )
    return pyramid(mammogram.pixels, settings.bits)


def read_guarded(path: Path, label: Mapping[str, Any] | None, settings: Settings) -> dict[str, Any]:
    """`read_source` in a child process of this one: whatever the file does, an outcome comes back."""
    return _outcome(parallel.submit_guarded(parallel.worker_pool(PRELOAD), read_source, path, label, settings))


def _outcome(call: Any) -> dict[str, Any]:
    try:
        return parallel.guarded_result(call)
    except Refused as refused:
        return {"facts": {}, "refused": (refused.reason, str(refused))}


def first_accepted(sources: list[Path], settings: Settings) -> Path | None:
    """The first DICOM file among the sources that `read_source` takes; None where there is none."""
    for path in walk(sources):
        if path.suffix.lower() in ("", ".dcm") and "image" in read_guarded(path, None, settings):
            return path
    return None


@contextmanager
def reader(workers: int, scheduler: str | None) -> Iterator[Callable[[Iterable[tuple]], Iterator[dict[str, Any]]]]:
    """`read_source` over many files: keeps their order and looks only a few files ahead.

    Args:
        workers: child processes on this machine.
        scheduler: address of a Dask scheduler, "tcp://host:8786", whose workers see the same files; or "local" for a
            Dask cluster of `workers` on this machine. Without one the children are asked directly, which spares each
            image two passages through a network protocol.
    """
    if not scheduler:
        children = parallel.guarded_pool(workers, PRELOAD)
        try:
            yield lambda items: parallel.ordered_map(
                lambda item: parallel.submit_guarded(children, read_source, *item), _outcome, items, workers
            )
        finally:
            children.stop()
            children.join()
        return
    with parallel.dask_client(workers, "" if scheduler == "local" else scheduler) as client, ExitStack() as stack:
        stack.callback(client.run, parallel.close_worker_pool, PRELOAD)
        yield lambda items: parallel.ordered_map(
            lambda item: client.submit(read_guarded, *item, pure=False),
            lambda call: call.result(),
            items,
            parallel.count_workers(client),
        )


def ingest(
    sources: list[str | Path],
    store: str | Path,
    settings: Settings | None = None,
    *,
    labels: Path | None = None,
    columns: Mapping[str, str] | None = None,
    assume: Mapping[str, str] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
    task: str = "files",
) -> Store:
    """Read every file below `sources` into a store; continue one that was cut off.

    Args:
        sources: folders or files: DICOM, or pictures with labels.
        store: folder of the store.
        settings: see `Settings`.
        labels: CSV of the pictures; without one, CSVs among the sources that look like one are used.
        columns, assume: names of its columns, and facts that hold for all; see `Labels`.
        workers, scheduler: see `reader`.
        progress, task: counts files under the name `task`.

    Raises:
        InputError: a source is missing, has changed since the store was begun, or holds no usable image.
    """
    settings = settings or Settings()
    store = Path(store)
    roots = [Path(source) for source in sources]
    for path in roots:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}; give a folder of DICOM files or pictures.")
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"The folder {path} cannot be read; check its permissions.")
    tables = [labels] if labels else [p for p in walk(roots) if p.suffix.lower() == ".csv" and is_labels(p)]
    table = Labels(tables, columns, assume)
    salt = salt_of(store)
    # The paths themselves may hold names of patients; their hash tells whether the same folders are meant.
    places = hashlib.sha256("\n".join(str(path.resolve()) for path in roots).encode()).hexdigest()[:16]
    made_by = {"by": "ingest", "sources": places, **vars(settings), "refuse_flags": list(settings.refuse_flags)}
    with StoreWriter(store, settings.height, settings.width, settings.bits, made_by) as writer:
        files = (
            (salted_hash(salt, f"{number}/{path.relative_to(root)}"), path)
            for number, root in enumerate(roots)
            for path in walk([root])
            if path not in tables
        )
        with closing(_Seen()) as seen:
            reasons = _skip_committed(writer, files, seen)
            done, accepted = writer.sources, writer.images
            waiting: deque[str] = deque()

            def items() -> Iterator[tuple]:
                for place, path in files:
                    waiting.append(place)
                    yield path, table.get(path), settings

            with reader(workers, scheduler) if not writer.complete else nullcontext(lambda items: ()) as read:
                for found in read(items()):
                    found["facts"]["place"] = waiting.popleft()
                    if "image" in found:
                        found["facts"] |= {
                            "patient": salted_hash(salt, found["patient"]),
                            "instance": salted_hash(salt, found["instance"]),
                            "split": split_of(found["patient"], settings.seed),
                        }
                        if seen.before(found["facts"]) and not settings.prepared:
                            found["refused"] = (Reason.DUPLICATE, "The image was read before from another file.")
                    if "refused" in found:
                        writer.refuse(*found["refused"], **found["facts"])
                        reasons[found["refused"][0]] += 1
                    else:
                        writer.accept(found["image"], **found["facts"])
                        accepted += 1
                    done += 1
                    progress(task, done, 0, f"{accepted} accepted")
        if not accepted:
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            detail = f" of {done} files ({counts})" if done else ": the folder is empty"
            raise InputError(f"No usable mammogram was found{detail}; give a folder that holds some.")
    return Store.open(store)


def _skip_committed(writer: StoreWriter, files: Iterator[tuple[str, Path]], seen: _Seen) -> Counter[str]:
    """Pass over the files that the store holds already, and learn what duplicates of them are known by.

    Returns:
        The reasons of those that were refused.

    Raises:
        InputError: the files are not those that the store was begun with.
    """
    changed = InputError(
        f"The sources have changed since {writer.path} was begun; give another folder, or --force to begin again."
    )
    reasons: Counter[str] = Counter()
    for row in writer.rows():
        if next(files, (None,))[0] != row["place"]:
            raise changed
        if row["index"] is None:
            reasons[row["reason"]] += 1
        else:
            seen.before(row)
    if writer.complete and next(files, None):
        raise changed
    return reasons


class _Seen:
    """SOP instances and pixels of the images so far, as short hashes in a temporary database on disk."""

    def __init__(self) -> None:
        self._keys = sqlite3.connect("")
        self._keys.execute("CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID")

    def before(self, facts: Mapping[str, Any]) -> bool:
        """True where an image of the same instance or the same pixels was there before; else note this one."""
        keys = [(facts["instance"],), (facts["pixels"],)]
        if any(self._keys.execute("SELECT 1 FROM keys WHERE key = ?", key).fetchone() for key in keys):
            return True
        self._keys.executemany("INSERT OR IGNORE INTO keys VALUES (?)", keys)
        return False

    def close(self) -> None:
        self._keys.close()
