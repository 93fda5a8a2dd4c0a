"""Many files -> one store: finds the sources, reads them on Dask, and notes for every one where it went or why not."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mammogan.data.dicom import Mammogram, Refused, read_mammogram
from mammogan.data.geometry import breast_mask, crop_letterbox, fit
from mammogan.data.store import Store, StoreWriter, pyramid

SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm"}


class IngestError(Exception):
    """The ingest cannot start or finish; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """What decides how a source becomes an image; kept in the store.

    Attributes:
        height, width: size of the finest level, pixels.
        bits: grey levels 0 ... 2^bits - 1.
        window: position or explanation of the VOI window to show; 0 is the hardware's default.
        laterality: "keep", or "left" to mirror right breasts so that every chest wall is at the left edge.
        allow_processing: take FOR PROCESSING images too.
        seed: of the split by patient.
    """

    height: int = 1280
    width: int = 1024
    bits: int = 12
    window: int | str = 0
    laterality: str = "keep"
    allow_processing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.laterality not in ("keep", "left"):
            raise IngestError(f"Laterality is kept or turned left, not {self.laterality!r}; choose keep or left.")


def walk(sources: list[Path]) -> Iterator[Path]:
    """Every file below the sources, in one order on every machine, without a list of them all.

    Hidden files and folders are passed over. Folders are listed one at a time.
    """
    for source in sources:
        if source.is_file():
            yield source
            continue
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            if not entry.name.startswith("."):
                yield from walk([Path(entry.path)])


def read_labels(table: Path) -> dict[str, dict[str, str]]:
    """Labels of pictures from a CSV: {file name: {"view", "laterality", "patient", "age", "density"}}.

    The CSV needs the columns file and view; side or laterality, patient, age and density are used where present.
    """
    columns = {"view": ("view",), "laterality": ("laterality", "side"), "patient": ("patient", "patient_id")}
    columns |= {"age": ("age",), "density": ("density",)}
    labels = {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            found = {key: next((row[n] for n in names if row.get(n)), "") for key, names in columns.items()}
            labels[Path(row["file"]).name] = found
    return labels


def is_labels(table: Path) -> bool:
    """True where a CSV has the columns that `read_labels` needs."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return {"file", "view"} <= set(header)


def read_picture(content: bytes, label: Mapping[str, str] | None) -> Mammogram:
    """Read a PNG (8 or 16 bits), JPEG, TIFF or PGM; its view and laterality come from the labels.

    Raises:
        Refused: no picture, a colour picture, or one without a label.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            mode = picture.mode
            values = np.asarray(picture)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused("not_an_image", f"The file cannot be read as a picture ({type(error).__name__}).") from None
    if mode not in ("L", "I", "I;16", "I;16B"):
        raise Refused("colour", f"The picture has mode {mode}; a mammogram is a grey picture of 8 or 16 bits.")
    if label is None:
        raise Refused("no_label", "The picture has no row in a labels CSV; give one with the columns file and view.")
    view = label["view"].strip().upper()
    if view not in ("CC", "MLO"):
        raise Refused("view", "The view is neither craniocaudal (CC) nor mediolateral oblique (MLO).")
    grey = crop_letterbox(values.astype(np.float32) / (255 if mode == "L" else 65535))
    side, age, density = label["laterality"].strip().upper()[:1], label["age"].strip(), label["density"].strip().upper()
    facts = {
        "view": view,
        "laterality": side if side in ("L", "R") else None,
        "age": float(age) if age.replace(".", "", 1).isdigit() else None,
        "density": density if density in ("A", "B", "C", "D") else None,
        "source_rows": int(values.shape[0]),
        "source_columns": int(values.shape[1]),
        "window_function": "PICTURE",
        "photometric": "MONOCHROME2",
    }
    key = hashlib.sha256(content).hexdigest()
    return Mammogram(grey, facts, label["patient"] or key, key)


def read_source(path: Path, label: Mapping[str, str] | None, settings: Settings) -> dict[str, Any]:
    """One file -> {"facts", and either "refused" or "levels" (the pyramid), "patient" and "instance"}."""
    facts: dict[str, Any] = {}
    try:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Refused("unreadable", f"The file cannot be read ({type(error).__name__}).") from None
        digest = hashlib.sha256(content).hexdigest()
        facts = {"source_sha256": digest, "id": digest[:16]}
        if path.suffix.lower() in PICTURES:
            mammogram = read_picture(content, label)
        else:
            mammogram = read_mammogram(content, window=settings.window, allow_processing=settings.allow_processing)
        facts |= mammogram.facts
        check_breast(mammogram.pixels)
    except Refused as refused:
        return {"facts": facts, "refused": (refused.reason, str(refused))}
    image = fit(mammogram.pixels, settings.height, settings.width)
    if settings.laterality == "left" and mammogram.facts["laterality"] == "R":
        image = image[:, ::-1]
    if facts.get("spacing_mm"):
        rows, columns = mammogram.pixels.shape
        facts["spacing_mm"] /= min(settings.height / rows, settings.width / columns)
    levels = pyramid(image, settings.bits)
    facts["pixels"] = hashlib.sha256(levels[-1]).hexdigest()[:16]
    return {"facts": facts, "levels": levels, "patient": mammogram.patient, "instance": mammogram.instance}


def check_breast(grey: np.ndarray) -> None:
    """Refuse images that show nothing, or no breast before a dark background.

    Raises:
        Refused: blank, or the largest bright region covers less than 2 % or more than 98 % of the image.
    """
    if min(grey.shape) < 64:
        raise Refused("too_small", "The image has a side shorter than 64 pixels.")
    if float(grey.std()) < 0.005:
        raise Refused("blank", "The image is blank.")
    step = max(min(grey.shape) // 256, 1)  # the share of the breast needs no more pixels than that
    share = float(breast_mask(grey[::step, ::step]).mean())
    if not 0.02 <= share <= 0.98:
        raise Refused("not_a_breast", f"The bright region covers {share:.0%} of the image, unlike a breast.")


def first_accepted(sources: list[Path], settings: Settings, suffixes: tuple[str, ...] = ("", ".dcm")) -> Path | None:
    """The first DICOM file among the sources that `read_source` takes; None where there is none."""
    for path in walk(sources):
        if path.suffix.lower() in suffixes and "levels" in read_source(path, None, settings):
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
def executor(workers: int, scheduler: str | None) -> Iterator[Callable[..., Iterator[Any]]]:
    """A map that keeps the order and looks only a few items ahead: in this process, or on a Dask cluster.

    Args:
        workers: processes of a local cluster; 0 works in this process.
        scheduler: address of a Dask scheduler that exists, "tcp://host:8786"; rules over `workers`.
    """
    if not workers and not scheduler:
        yield lambda function, items: (function(*item) for item in items)
        return
    import dask
    from distributed import Client, LocalCluster

    # The dashboard would open a port, and a worker's spill folder would land in the working directory.
    dask.config.set({"distributed.worker.memory.spill": False, "distributed.logging.distributed": "error"})
    cluster = scheduler or LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    )
    with Client(cluster) as client:
        ahead = 4 * max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)

        def mapped(function: Callable[..., Any], items: Iterator[tuple]) -> Iterator[Any]:
            items = iter(items)
            pending = deque(client.submit(function, *item, pure=False) for item in islice(items, ahead))
            while pending:
                yield pending.popleft().result()
                pending.extend(client.submit(function, *item, pure=False) for item in islice(items, 1))

        yield mapped
    if not scheduler:
        cluster.close()


def ingest(
    sources: list[str | Path],
    store: str | Path,
    settings: Settings | None = None,
    *,
    labels: Path | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] = lambda done, accepted: None,
) -> Store:
    """Read every file below `sources` into a store; continue one that was cut off.

    Args:
        sources: folders or files: DICOM, or pictures with labels.
        store: folder of the store.
        settings: see `Settings`.
        labels: CSV of the pictures; without one, a CSV among the sources with the columns file and view is used.
        workers, scheduler: see `executor`.
        progress: called with the files done and the images accepted so far.

    Raises:
        IngestError: a source is missing, or not one usable image was found.
    """
    settings = settings or Settings()
    store = Path(store)
    paths = [Path(source) for source in sources]
    for path in paths:
        if not path.exists():
            raise IngestError(f"There is no file or folder {path}; give a folder of DICOM files or pictures.")
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise IngestError(f"The folder {path} cannot be read; check its permissions.")
    tables = [labels] if labels else [p for p in walk(paths) if p.suffix.lower() == ".csv" and is_labels(p)]
    label_rows = {name: row for table in tables for name, row in read_labels(table).items()}
    salt = salt_of(store)
    # The paths themselves may hold names of patients; their hash tells whether the same folders are meant.
    places = hashlib.sha256("\n".join(str(path.resolve()) for path in paths).encode()).hexdigest()[:16]
    made_by = {"by": "ingest", "sources": places, **vars(settings)}
    with StoreWriter(store, settings.height, settings.width, settings.bits, made_by) as writer:
        seen = _committed_keys(writer)
        items = (
            (path, label_rows.get(path.name), settings)
            for path in islice((p for p in walk(paths) if p not in tables), writer.sources, None)
        )
        done, accepted = writer.sources, writer.images
        with executor(workers, scheduler) as mapped:
            for outcome in mapped(read_source, items) if not writer.complete else ():
                if "levels" in outcome:
                    outcome["facts"] |= {
                        "patient": _hash(salt, outcome["patient"]),
                        "instance": _hash(salt, outcome["instance"]),
                        "split": split_of(outcome["patient"], settings.seed),
                    }
                    outcome = _refuse_duplicate(outcome, seen)
                if "refused" in outcome:
                    writer.refuse(*outcome["refused"], **outcome["facts"])
                else:
                    writer.accept(outcome["levels"], **outcome["facts"])
                    accepted += 1
                done += 1
                progress(done, accepted)
        if not accepted:
            reasons = ", ".join(f"{count} {reason}" for reason, count in _reasons(writer).most_common())
            detail = f" of {done} files ({reasons})" if done else ": the folder is empty"
            raise IngestError(f"No usable mammogram was found{detail}; give a folder that holds some.")
    return Store.open(store)


def _hash(salt: bytes, identifier: str) -> str:
    return hashlib.sha256(salt + identifier.encode()).hexdigest()[:16]


def _refuse_duplicate(outcome: dict[str, Any], seen: set[str]) -> dict[str, Any]:
    keys = {outcome["facts"]["instance"], outcome["facts"]["pixels"]}
    if keys & seen:
        return {"facts": outcome["facts"], "refused": ("duplicate", "The image was read before from another file.")}
    seen |= keys
    return outcome


def _committed_keys(writer: StoreWriter) -> set[str]:
    """What duplicates of the images already in the store are found by: SOP instances and pixels, as short hashes."""
    return {row[key] for row in writer.rows() if row["index"] is not None for key in ("instance", "pixels")}


def _reasons(writer: StoreWriter) -> Counter[str]:
    return Counter(row["reason"] for row in writer.rows() if row.get("reason"))
