"""Many files -> one store: finds the sources, reads them on Dask, and notes for every one where it went or why not."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mammogan.data import guard
from mammogan.data.dicom import TOMOSYNTHESIS, Mammogram, read_mammogram
from mammogan.data.display import Refused
from mammogan.data.foreign import FLAGS, flags_of, remove_labels
from mammogan.data.geometry import breast_mask, chest_side, crop_letterbox, crop_white_border, fit, overview
from mammogan.data.pictures import SUFFIXES, Labels, is_labels, read_picture
from mammogan.data.store import Store, StoreWriter, encode, pyramid

SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
MAX_BYTES = 2**29  # larger files are tomosyntheses or no images; they are not read into memory
AHEAD = 3  # files in work or waiting for each process


class IngestError(Exception):
    """The ingest cannot start or finish; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """What decides how a source becomes an image; kept in the store.

    Attributes:
        height, width: size of the finest level, pixels.
        bits: grey levels 0 ... 2^bits - 1.
        window: VOI window or LUT to show, see `display`; 0 is the hardware's default.
        laterality: "keep" leaves each chest wall at its own edge; "left" mirrors images so that all are at the left.
        allow_processing: take FOR PROCESSING images too.
        refuse_flags: flags (`FLAGS`) with which an image is refused; the paper left out clips and pacemakers.
        picture_bits: grey values of pictures run from 0 to 2^picture_bits - 1; 0 takes the depth of their format.
        prepared: pictures are of the store's size and depth and are taken as they are, in the order of their names:
            unlabelled ones too, copies too, nothing cropped, turned or judged. Generated images must be taken so, lest
            the bad ones are left out.
        seed: of the split by patient.

    Raises:
        IngestError: a value that means nothing.
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
            raise IngestError(f"Laterality is kept or turned left, not {self.laterality!r}; choose keep or left.")
        if unknown := set(self.refuse_flags) - set(FLAGS):
            raise IngestError(f"There is no flag {sorted(unknown)[0]!r}; the flags are {', '.join(FLAGS)}.")
        if not 0 <= self.picture_bits <= 16:
            raise IngestError(f"A picture has 1 to 16 bits, not {self.picture_bits}; choose --picture-bits.")


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
            mammogram = read_picture(content, label, settings.picture_bits, unlabelled=settings.prepared)
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
        return {"facts": facts, "refused": ("unexpected", sentence)}
    facts["pixels"] = image.pixels
    return {"facts": facts, "image": image, "patient": mammogram.patient, "instance": mammogram.instance}


def _content(path: Path) -> tuple[bytes, str]:
    """A file's bytes and their SHA-256."""
    try:
        with path.open("rb") as file:
            # Asked for more than there is, Python first clears as much memory.
            content = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except OSError as error:
        raise Refused("unreadable", f"The file cannot be read ({type(error).__name__}).") from None
    if len(content) > MAX_BYTES:
        if TOMOSYNTHESIS.encode() in content[:65536]:
            raise Refused("tomosynthesis", "The file holds a breast tomosynthesis, not a full-field mammogram.")
        raise Refused("too_large", f"The file is larger than {MAX_BYTES >> 20} MiB.")
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
    grey, flags = mammogram.pixels, list(facts["flags"])
    if mammogram.film:
        check_breast(grey)
        grey, removed = remove_labels(crop_letterbox(crop_white_border(grey)))
        flags += ["label_removed"] * bool(removed)
    check_breast(grey)
    if facts.get("spacing_mm"):
        facts["spacing_mm"] /= min(settings.height / grey.shape[0], settings.width / grey.shape[1])
    side = chest_side(overview(grey))
    image = fit(grey, settings.height, settings.width, side)
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
        raise Refused("geometry", f"The picture has another size than the {settings.height} x {settings.width} pixels.")
    if mammogram.depth < settings.bits:
        raise Refused("depth", f"The picture has {mammogram.depth} bits, fewer than the {settings.bits} of the others.")
    return pyramid(mammogram.pixels, settings.bits)


def check_breast(grey: np.ndarray) -> None:
    """Refuse images that show nothing, or no breast before a dark background.

    Raises:
        Refused: blank, or the largest bright region covers less than 2 % or more than 98 % of the image.
    """
    if min(grey.shape) < 64:
        raise Refused("too_small", "The image has a side shorter than 64 pixels.")
    small = overview(grey)
    if float(small.std()) < 0.005:
        raise Refused("blank", "The image is blank.")
    share = float(breast_mask(small).mean())
    if not 0.02 <= share <= 0.98:
        raise Refused("not_a_breast", f"The bright region covers {share:.0%} of the image, unlike a breast.")


def read_guarded(path: Path, label: Mapping[str, Any] | None, settings: Settings) -> dict[str, Any]:
    """`read_source` in a child process of this one: whatever the file does, an outcome comes back."""
    return _outcome(guard.submit(guard.own_pool(), read_source, path, label, settings))


def _outcome(call: Any) -> dict[str, Any]:
    try:
        return guard.outcome(call)
    except Refused as refused:
        return {"facts": {}, "refused": (refused.reason, str(refused))}


def first_accepted(sources: list[Path], settings: Settings) -> Path | None:
    """The first DICOM file among the sources that `read_source` takes; None where there is none."""
    for path in walk(sources):
        if path.suffix.lower() in ("", ".dcm") and "image" in read_guarded(path, None, settings):
            return path
    return None


def split_of(patient: str, seed: int) -> str:
    """Split of a patient: a pure function of identifier and seed, so that new images of a patient follow the old."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}:{patient}".encode()).digest()[:8], "big") / 2**64
    for name, share in SPLITS:
        if draw < share:
            return name
        draw -= share
    return SPLITS[-1][0]


def salt_path(store: Path) -> Path:
    """Where the secret of a store's hashes lies: beside it, so that the store can be handed on without it."""
    return store.with_name(f"{store.name}.salt")


def salt_of(store: Path) -> bytes:
    """The secret that patient hashes are salted with; made once, readable to its owner alone."""
    path = salt_path(store)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
    return path.read_text().encode()


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
        children = guard.pool(workers)
        try:
            yield lambda items: _in_order(
                lambda item: guard.submit(children, read_source, *item), _outcome, items, workers
            )
        finally:
            children.stop()
            children.join()
        return
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if scheduler == "local":
            # The dashboard would open a port, and a worker's spill folder would land in the working directory.
            dask.config.set({"distributed.worker.memory.spill": False, "distributed.logging.distributed": "error"})
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
            scheduler = stack.enter_context(cluster).scheduler_address
        client = stack.enter_context(Client(scheduler))
        stack.callback(client.run, guard.close_own_pool)
        processes = max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
        yield lambda items: _in_order(
            lambda item: client.submit(read_guarded, *item, pure=False), lambda call: call.result(), items, processes
        )


def _in_order(
    submit: Callable[[tuple], Any], result: Callable[[Any], dict[str, Any]], items: Iterable[tuple], processes: int
) -> Iterator[dict[str, Any]]:
    items = iter(items)
    pending = deque(submit(item) for item in islice(items, AHEAD * processes))
    while pending:
        done = result(pending.popleft())
        pending.extend(submit(item) for item in islice(items, 1))
        yield done


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
    progress: Callable[[int, int], None] = lambda done, accepted: None,
) -> Store:
    """Read every file below `sources` into a store; continue one that was cut off.

    Args:
        sources: folders or files: DICOM, or pictures with labels.
        store: folder of the store.
        settings: see `Settings`.
        labels: CSV of the pictures; without one, CSVs among the sources that look like one are used.
        columns, assume: names of its columns, and facts that hold for all; see `Labels`.
        workers, scheduler: see `reader`.
        progress: called with the files done and the images accepted so far.

    Raises:
        IngestError: a source is missing, has changed since the store was begun, or holds no usable image.
    """
    settings = settings or Settings()
    store = Path(store)
    roots = [Path(source) for source in sources]
    for path in roots:
        if not path.exists():
            raise IngestError(f"There is no file or folder {path}; give a folder of DICOM files or pictures.")
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise IngestError(f"The folder {path} cannot be read; check its permissions.")
    tables = [labels] if labels else [p for p in walk(roots) if p.suffix.lower() == ".csv" and is_labels(p)]
    table = Labels(tables, columns, assume)
    salt = salt_of(store)
    # The paths themselves may hold names of patients; their hash tells whether the same folders are meant.
    places = hashlib.sha256("\n".join(str(path.resolve()) for path in roots).encode()).hexdigest()[:16]
    made_by = {"by": "ingest", "sources": places, **vars(settings), "refuse_flags": list(settings.refuse_flags)}
    with StoreWriter(store, settings.height, settings.width, settings.bits, made_by) as writer:
        files = (
            (_hash(salt, f"{number}/{path.relative_to(root)}"), path)
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
                            "patient": _hash(salt, found["patient"]),
                            "instance": _hash(salt, found["instance"]),
                            "split": split_of(found["patient"], settings.seed),
                        }
                        if seen.before(found["facts"]) and not settings.prepared:
                            found["refused"] = ("duplicate", "The image was read before from another file.")
                    if "refused" in found:
                        writer.refuse(*found["refused"], **found["facts"])
                        reasons[found["refused"][0]] += 1
                    else:
                        writer.accept(found["image"], **found["facts"])
                        accepted += 1
                    done += 1
                    progress(done, accepted)
        if not accepted:
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            detail = f" of {done} files ({counts})" if done else ": the folder is empty"
            raise IngestError(f"No usable mammogram was found{detail}; give a folder that holds some.")
    return Store.open(store)


def _skip_committed(writer: StoreWriter, files: Iterator[tuple[str, Path]], seen: _Seen) -> Counter[str]:
    """Pass over the files that the store holds already, and learn what duplicates of them are known by.

    Returns:
        The reasons of those that were refused.

    Raises:
        IngestError: the files are not those that the store was begun with.
    """
    changed = IngestError(
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


def _hash(salt: bytes, identifier: str) -> str:
    return hashlib.sha256(salt + identifier.encode(errors="surrogateescape")).hexdigest()[:16]
