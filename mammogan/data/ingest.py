"""Ingest an archive: read every file in worker processes and record where it was stored or why it was refused."""

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path

import numpy as np
from pydicom.uid import BreastTomosynthesisImageStorage

from mammogan import parallel
from mammogan.atomic import temporary_databases
from mammogan.data.attributes import element
from mammogan.data.deidentify import salt_of, salted_hash, split_of
from mammogan.data.dicom import Mammogram, is_dicom, read_mammogram
from mammogan.data.examples import EXAMPLES, readable, refused_path, write_examples
from mammogan.data.film import clean_film
from mammogan.data.geometry import fit
from mammogan.data.manifest import Facts, Label
from mammogan.data.metadata import TABLES, Labels, LabelSource, is_labels, why_no_labels
from mammogan.data.plausibility import CERTAIN, DOUBTFUL, turning
from mammogan.data.quality import FLAGS, check_breast, check_image, flags_of
from mammogan.data.raster import SUFFIXES, read_picture
from mammogan.data.segmentation import side_of
from mammogan.data.store import Encoded, Store, StoreWriter, encode, pyramid
from mammogan.data.walk import Entry, dicom_files, survey, walk
from mammogan.errors import InputError, NothingAcceptedError, ParameterError, Reason, Refused
from mammogan.types import Progress, Size, counted, no_progress

MAX_BYTES = 2**29  # larger files are tomosyntheses or not images; they are not read into memory
HEAD = 32774  # bytes that tell archives
ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
    b"\x1f\x9d": "compress",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"MSCF": "cab",
}
PRELOAD = ("mammogan.data._preload",)  # loaded once for all children
ACCEPTED = "accepted"  # the outcome that is not a reason


@dataclass(frozen=True)
class Settings:
    """Settings that decide how a source becomes an image; kept in the store.

    Raises:
        ParameterError: a value outside of its range.
    """

    height: int = 1280  # of the finest level, pixels
    width: int = 1024
    bits: int = 12  # gray levels run from 0 to 2^bits - 1
    window: int | str = 0  # VOI window or LUT to show, see `display`; 0 is the hardware's default
    laterality: str = "keep"  # "left" mirrors images so that every chest wall is at the left edge
    allow_processing: bool = False  # accept FOR PROCESSING images too
    allow_synthetic: bool = False  # accept images that say that a program drew them
    refuse_flags: tuple[str, ...] = ()  # of `FLAGS`, to refuse images with; the paper left out clips and pacemakers
    picture_bits: int = 0  # gray values of pictures run from 0 to 2^picture_bits - 1; 0 means the depth of their format
    # Pictures have the store's size and depth and are stored unchanged, in the order of their names, unlabeled ones and
    # copies too. Generated images must be stored so, lest the bad ones are left out.
    prepared: bool = False
    fewer_bits: bool = False  # accept prepared pictures of fewer bits, whose gray levels are spread over the store's
    seed: int = 0  # random seed of the split by patient

    def record(self) -> dict[str, object]:
        """Return the settings as JSON; those that earlier versions lack only where they are not the default."""
        late = {"allow_synthetic": False, "fewer_bits": False}
        kept = {name: value for name, value in vars(self).items() if name not in late or value != late[name]}
        return {**kept, "refuse_flags": list(self.refuse_flags)}

    def __post_init__(self) -> None:
        if self.laterality not in ("keep", "left"):
            raise ParameterError(f"--laterality is keep or left, not {self.laterality!r}.")
        if unknown := set(self.refuse_flags) - set(FLAGS):
            raise ParameterError(f"There is no flag {sorted(unknown)[0]!r}; choose from {', '.join(FLAGS)}.")
        if not 0 <= self.picture_bits <= 16:
            raise ParameterError(f"A picture has 1 to 16 bits, not {self.picture_bits}; choose --picture-bits.")


@dataclass(frozen=True)
class Accepted:
    """A file that becomes an image of the store."""

    facts: Facts
    image: Encoded
    patient: str = field(repr=False)  # identifiers in the file: to be hashed, never to be written
    instance: str = field(repr=False)


class Seen:
    """SOP instances and pixels of the images so far, as short hashes in a temporary database on disk."""

    def __init__(self) -> None:
        self._keys = sqlite3.connect("")
        self._keys.execute("CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID")
        self.close = self._keys.close

    def before(self, facts: Mapping[str, object]) -> bool:
        """Return True if an image of the same instance or the same pixels was here before; else record this one."""
        keys = [(facts["instance"],), (facts["pixels"],)]
        if any(self._keys.execute("SELECT 1 FROM keys WHERE key = ?", key).fetchone() for key in keys):
            return True
        self._keys.executemany("INSERT OR IGNORE INTO keys VALUES (?)", keys)
        return False


def read_source(
    path: Path, label: Label | None, settings: Settings, refused: Refused | None = None
) -> Accepted | Refused:
    """Read one file into an image of the store, or return why not, with the facts known so far.

    Args:
        path: the file.
        label: facts from a table.
        settings: settings of the ingest.
        refused: why the file is not read, where that is known already.
    """
    if refused:
        return refused
    facts: Facts = {}
    try:
        content = read_content(path)
        digest = digest_of(content)
        facts.update({"source_sha256": digest, "id": digest[:16]})
        is_picture = path.suffix.lower() in SUFFIXES and not is_dicom(content)
        if is_picture:
            mammogram = read_picture(
                content,
                label,
                settings.picture_bits,
                unlabeled=settings.prepared,
                allow_synthetic=settings.allow_synthetic,
            )
        else:
            mammogram = read_mammogram(
                content,
                window=settings.window,
                allow_processing=settings.allow_processing,
                allow_synthetic=settings.allow_synthetic,
                label=label,
            )
        facts.update(mammogram.facts)
        unchanged = settings.prepared and is_picture
        image = encode(unchanged_pyramid(mammogram, settings) if unchanged else pyramid_of(mammogram, settings, facts))
        for flag in FLAGS:
            if flag in facts["flags"] and flag in settings.refuse_flags:
                raise Refused(flag, f"The image has the flag {flag} ({FLAGS[flag]}), which --refuse-flag excludes.")
    except Refused as refused:
        return Refused(refused.reason, refused.sentence, facts)
    except MemoryError:
        raise
    except Exception as error:  # one odd file among a million must not end the run; its reason is counted like others
        sentence = f"The image cannot be brought to the grid of the store ({type(error).__name__})."
        return Refused(Reason.UNEXPECTED, sentence, facts)
    facts["pixels"] = image.pixels
    return Accepted(facts, image, mammogram.patient, mammogram.instance)


def archive_kind(head: bytes) -> str:
    """Return the kind of a compressed archive, by its first bytes; "" for any other file."""
    if head[257:262] == b"ustar" or head[32769:] == b"CD001":
        return "tar" if head[257:262] == b"ustar" else "CD or DVD"
    return next((kind for magic, kind in ARCHIVES.items() if head.startswith(magic)), "")


def read_content(path: Path) -> bytes:
    """Return the bytes of a file; refuse one that cannot be read or is larger than `MAX_BYTES`."""
    try:
        with path.open("rb") as file:
            if kind := archive_kind(file.read(HEAD)):
                raise Refused(Reason.ARCHIVE, f"The file is a {kind} archive; unpack it.")
            file.seek(0)
            # Asked for more than there is, Python first clears as much memory.
            content = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except OSError as error:
        raise Refused(Reason.UNREADABLE, f"The file cannot be read ({type(error).__name__}).") from None
    if len(content) <= MAX_BYTES:
        return content
    if BreastTomosynthesisImageStorage.encode() in content[:65536]:
        raise Refused(Reason.TOMOSYNTHESIS, f"{element('SOPClassUID')} is that of a breast tomosynthesis.")
    raise Refused(Reason.TOO_LARGE, f"The file is larger than {MAX_BYTES >> 20} MiB.")


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a file; on processors with instructions for it no other digest of hashlib is as fast."""
    return hashlib.sha256(content).hexdigest()


def pyramid_of(mammogram: Mammogram, settings: Settings, facts: Facts) -> list[np.ndarray]:
    """Bring a displayed image to the store's grid, or refuse one that does not show a breast.

    Returns:
        Its pyramid, uint16, coarse to fine; the facts flags, mirrored and spacing_mm are updated.
    """
    gray, flags = mammogram.image, list(facts["flags"])
    fill = 0.0
    if mammogram.film and gray.shape != (settings.height, settings.width):
        check_image(mammogram.pixels)
        gray, removed, fill = clean_film(mammogram.pixels)
        flags += ["label_removed"] * bool(removed)
    breast = check_breast(gray)
    if spacing := facts.get("spacing_mm"):
        facts["spacing_mm"] = spacing / min(settings.height / gray.shape[0], settings.width / gray.shape[1])
    turn = turning(breast)
    if turn > CERTAIN:
        raise Refused(Reason.TURNED, "The chest wall is at the top or bottom of the image; turn it.")
    flags += ["direction"] * (turn > DOUBTFUL)
    side = side_of(breast)
    image = fit(gray, settings.height, settings.width, side, fill)
    if facts["laterality"] not in (side, None):
        flags.append("side")
    facts["mirrored"] = settings.laterality == "left" and side == "R"
    levels = pyramid(image[:, ::-1] if facts["mirrored"] else image, settings.bits)
    # A level of about 640 rows resolves a clip and spares three quarters of the work.
    finest = next((level for level in levels if level.shape[0] >= 512), levels[-1])
    flags += flags_of(finest.astype(np.float32) / (2**settings.bits - 1))
    facts["flags"] = [flag for flag in FLAGS if flag in flags]
    return levels


def unchanged_pyramid(mammogram: Mammogram, settings: Settings) -> list[np.ndarray]:
    """Return the pyramid of a picture; refuse one of another size than the store's, or of fewer bits unless allowed."""
    (height, width), size = mammogram.pixels.shape, Size(settings.height, settings.width)
    if (height, width) != size:
        raise Refused(Reason.GEOMETRY, f"The picture has {height} x {width} pixels, the store {size}.")
    if mammogram.depth < settings.bits and not settings.fewer_bits:
        raise Refused(Reason.DEPTH, f"The picture has {mammogram.depth} bits per pixel, the store {settings.bits}.")
    return pyramid(mammogram.pixels, settings.bits)


def first_accepted(sources: list[Path], settings: Settings) -> Path | None:
    """Return the first DICOM file among the sources that the ingest accepts; None without one."""
    for path in dicom_files(sources):
        if isinstance(parallel.guarded_call(PRELOAD, read_source, path, None, settings), Accepted):
            return path
    return None


@temporary_databases()
def ingest(
    sources: Sequence[str | Path],
    store: str | Path,
    settings: Settings | None = None,
    *,
    labels: LabelSource | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
    task: str = "files",
) -> Store:
    """Read every file below `sources` into a store; continue one that was cut off.

    Args:
        sources: folders or files: DICOM, or pictures with labels.
        store, settings: folder of the store, and its settings.
        labels: source of the labels of pictures; CSVs among the sources that look like labels by default.
        workers, scheduler: see `parallel.guarded_map`.
        progress, task: counts files under the name `task`.

    Raises:
        InputError: a source is missing, has changed since the store was begun, or holds no usable image.
        OutputError: the store cannot be written, or the disk of temporary files is full.
    """
    settings, labels, store = settings or Settings(), labels or LabelSource(), Path(store)
    roots = [Path(source) for source in sources]
    _check_sources(roots)
    tables = [labels.table] if labels.table else tables_below(roots, store, labels)
    table, salt = Labels(tables, labels.columns, labels.assume, pass_over=not labels.table), salt_of(store)
    # The paths themselves may hold names of patients; their hash tells whether the same folders are meant.
    paths = hashlib.sha256(b"\n".join(os.fsencode(os.path.realpath(path)) for path in roots)).hexdigest()[:16]
    made_by = {"by": "ingest", "sources": paths, **settings.record()}
    with StoreWriter(store, settings.height, settings.width, settings.bits, made_by) as writer, closing(Seen()) as seen:
        files = (
            (
                salted_hash(salt, f"{entry.number}/{entry.path.relative_to(roots[entry.number])}"),
                _without_table(entry, labels, table.unused),
            )
            for entry in survey(roots, skip=[store])
            if entry.path not in tables or entry.path in table.unused
        )
        examples: dict[str, list[str]] = {}

        def note(reason: str, entry: Entry) -> None:
            names = examples.setdefault(reason, [])
            if reason != ACCEPTED and len(names) < EXAMPLES:
                root = roots[entry.number]
                name = entry.path.relative_to(root) if entry.path != root else Path(root.name)
                names.append(readable(name))

        write_examples(refused_path(store), Counter(), {})  # fails now if it cannot be written, not after hours
        counts = _skip_committed(writer, files, seen, note)
        # The files are read ahead of their outcomes, which come in the same order.
        unread, places = tee(files)
        calls = (
            (entry.path, None if entry.refused else table.get(entry.path), settings, entry.refused)
            for _, entry in unread
        )
        scheduler = None if writer.complete else scheduler  # nothing is left to read
        with closing(parallel.guarded_map(read_source, calls, workers, scheduler, PRELOAD)) as outcomes:
            for outcome, (place, entry) in zip(outcomes, places, strict=False):
                reason = _record(writer, seen, settings, salt, place, outcome)
                counts[reason] += 1
                note(reason, entry)
                progress(task, counts.total(), 0, f"{counts[ACCEPTED]} accepted")
        write_examples(refused_path(store), counts, examples)
        if not counts[ACCEPTED]:
            writer.abandon()
            raise _nothing_accepted(store, counts)
    return Store.open(store)


def _nothing_accepted(store: Path, counts: Counter[str]) -> NothingAcceptedError:
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common() if count)
    detail = f" of {counted(counts.total(), 'file')} ({reasons}); {refused_path(store)} names files of each reason"
    found = detail if reasons else ": the folder is empty"
    return NothingAcceptedError(f"No usable mammogram was found{found}; give a folder that holds some.")


def tables_below(roots: Sequence[Path], store: Path, labels: LabelSource) -> list[Path]:
    """Return the tables of labels among the sources of a store."""
    return [path for path in walk(roots, skip=[store]) if is_labels(path, labels)]


def _check_sources(roots: Sequence[Path]) -> None:
    for path in roots:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}; give a folder of DICOM files or pictures.")
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"The folder {path} cannot be read; correct its permissions.")


def _without_table(entry: Entry, labels: LabelSource, unused: Mapping[Path, str]) -> Entry:
    """Return an entry of the sources, refused if it is a table that is not used."""
    if entry.refused or entry.path.suffix.lower() not in TABLES:
        return entry
    why = unused.get(entry.path) or why_no_labels(entry.path, labels) or "--labels names another table."
    return entry._replace(refused=Refused(Reason.TABLE, why))


def _skip_committed(
    writer: StoreWriter, files: Iterator[tuple[str, Entry]], seen: Seen, note: Callable[[str, Entry], None]
) -> Counter[str]:
    """Skip the files that the store holds, learn to recognize duplicates of them, and count them by outcome."""
    changed = InputError(f"The sources have changed since {writer.path} was begun; give another folder for the store.")
    counts: Counter[str] = Counter()
    for row in writer.rows():
        place, entry = next(files, ("", Entry(Path())))
        if place != row["place"]:
            raise changed
        counts[row["reason"] or ACCEPTED] += 1
        note(row["reason"] or ACCEPTED, entry)
        if row["index"] is not None:
            seen.before(row)
    if writer.complete and next(files, None):
        raise changed
    return counts


def _record(
    writer: StoreWriter, seen: Seen, settings: Settings, salt: bytes, place: str, outcome: Accepted | Refused
) -> str:
    """Write one outcome to the store; return `ACCEPTED` or the reason of the refusal."""
    facts = {**outcome.facts, "place": place}
    if isinstance(outcome, Accepted):
        facts["patient"] = salted_hash(salt, outcome.patient)
        facts["instance"] = salted_hash(salt, outcome.instance)
        facts["split"] = split_of(outcome.patient, settings.seed)
        if not seen.before(facts) or settings.prepared:
            writer.accept(outcome.image, **facts)
            return ACCEPTED
        outcome = Refused(Reason.DUPLICATE, "The image was read before from another file.")
    writer.refuse(outcome.reason, outcome.sentence, **facts)
    return outcome.reason
