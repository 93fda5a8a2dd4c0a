"""Building a reader study from two sets of images: curated pools, blinded pictures, and the application."""

from __future__ import annotations

import csv
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammogan.atomic import replacing_folder, write_json, writing
from mammogan.data.ingest import Settings, ingest
from mammogan.data.pairs import compare_stores, open_pair
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.errors import InputError, ParameterError, StudyError, TableError
from mammogan.reader_study.browser import write_application
from mammogan.reader_study.design import FORMAT, PICTURES, PUBLIC, RESPONSES, SECRET, ReaderStudy
from mammogan.reader_study.pictures import equalized, grid_steps, pad_pictures, write_picture
from mammogan.types import Progress, Size, no_progress

GRID = 64  # images of each set that the gray grid is estimated from
INGEST = ".ingest"  # stores of folders, until the pictures are written
HARMLESS = {"", "none", "no"}  # labels of images without an artifact
DEMO_POOL = 48  # pictures of each class at most: a page that is sent by mail must stay small
DEMO_SEED = 0
DEMO_NOTE = (
    'This copy runs in your browser alone and sends nothing. Its "real" images are phantoms, drawn by a program, not '
    "taken of patients; the others come from the generator of this book, trained on {trained}. Your answers stay here "
    "until you download them."
)


@dataclass(frozen=True)
class StudySettings:
    """Settings of a study.

    Raises:
        ParameterError: a number is out of range.
    """

    pairs: int = 10  # questions per session
    pool: int = 0  # images of each class to draw from, chosen at random among those that are not excluded; 0 keeps all
    seed: int | None = None  # random seed of the choice of images for the pools, which does not tell the truth
    secret: int | None = None  # seed of names, sides and sessions, which does; None draws one; give one in tests only
    attempts: int = 3  # sessions per reader's code; 0 sets no limit
    idle: float = 180  # seconds without a touch after which a tablet asks whether the reader is still there; 0: never
    size: Size | None = None  # of pictures; None is the largest that both stores have (1280 x 1024 without a store)
    bits: int = 0  # of folders; 0 means those they have
    view: str = ""  # use only images of this view; a store without views is used whole
    labels: Sequence[Path] = ()  # CSV files, columns id and label; an image with a label other than "none" is excluded
    exclude_labels: Sequence[str] = ()  # exclude only these labels, whatever their case
    exclude: Sequence[Path] = ()  # text files with one id per line, optionally followed by a comma and a reason
    title: str = "Which mammogram is real?"  # text above the instructions, as is the note
    note: str = ""
    browser: bool = False  # make a study that runs without a server; the truth is in public/study.js, hardly hidden

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.pool < 0:
            raise ParameterError(
                f"Sessions of {self.pairs} pairs from pools of {self.pool} are impossible; choose 1 or more pairs, and "
                "a pool of 0 or more."
            )
        for name in ("seed", "secret", "attempts", "idle"):
            if (number := getattr(self, name) or 0) < 0:
                raise ParameterError(f"The value {number} of {name} is negative; choose 0 or more.")


def build(
    real: str | Path, synthetic: str | Path, out: str | Path, settings: StudySettings, progress: Progress = no_progress
) -> ReaderStudy:
    """Build a study; the folder appears when it is whole, and not before.

    Args:
        real, synthetic: a store, or a folder of DICOM files or pictures, which is ingested first.
        out: folder of the study.
        settings: settings of the study.
        progress: counts "pictures".

    Raises:
        StudyError: the folder is not empty, an id is unknown, or a pool is empty.
        InputError: the sets differ in bit depth, window or laterality, or have no such size in common; a table of
            labels or a list of exclusions cannot be read.
        OutputError: the folder cannot be written.
    """
    out = Path(out)
    with writing(out):
        if (out / RESPONSES).exists():
            raise StudyError(f"{out} holds responses; export them and give another folder.")
        if out.exists() and any(out.iterdir()):
            raise StudyError(f"The folder {out} is not empty; give another folder.")
    seed = secrets.randbits(128) if settings.secret is None else settings.secret
    with replacing_folder(out) as aside:
        aside.chmod(0o700)  # nobody else may watch the pictures of a class being written
        # Pictures of fewer bits are welcome: `equalized` rounds both sets to the coarser of their gray grids.
        sets = aside / INGEST / "set"
        stores = open_pair(real, synthetic, sets, size=settings.size, bits=settings.bits, fewer_bits=True)
        size = compare_stores(*stores, settings.size)
        by_class = dict(zip(("real", "synthetic"), stores, strict=True))
        pools, excluded = _draw_pools(by_class, settings, seed if settings.seed is None else settings.seed)
        pictures = _write_pictures(by_class, pools, size, seed, aside / PUBLIC / PICTURES, progress)
        shutil.rmtree(aside / INGEST, ignore_errors=True)
        secret = {
            "format": FORMAT,
            "title": settings.title,
            "note": settings.note,
            "seed": seed,
            "pool_seed": settings.seed,
            "attempts": settings.attempts,
            "idle": settings.idle,
            "pairs": settings.pairs,
            "size": list(size),
            "view": settings.view,
            "stores": {name: store.fingerprint for name, store in by_class.items()},
            "summary": _summary(by_class, pools, excluded, size, settings),
            "excluded": excluded,
            "pools": pictures,
        }
        write_json(aside / SECRET, secret)
        (aside / SECRET).chmod(0o600)
        write_application(ReaderStudy.open(aside), aside / PUBLIC, size, settings.browser)
        aside.chmod(0o755)
    return ReaderStudy.open(out)


def _draw_pools(
    stores: dict[str, Store], settings: StudySettings, seed: int
) -> tuple[dict[str, list[int]], list[dict[str, str]]]:
    """Return the positions of each pool in its store, and the record of the images that were excluded."""
    reasons, by_hand = _exclusions(settings, {image for store in stores.values() for image in store.manifest["id"]})
    pools: dict[str, list[int]] = {}
    record = []
    for number, (name, store) in enumerate(stores.items()):
        rows = store.manifest
        views = bool(settings.view) and rows["view"].notna().any()
        kept = []
        for position, (image, view) in enumerate(zip(rows["id"], rows["view"], strict=True)):
            why = list(reasons.get(image, ()))
            if views and view != settings.view:
                why.append(f"view is not {settings.view}")
            if why:
                record.append({"set": name, "id": image, "reason": "; ".join(dict.fromkeys(why))})
            else:
                kept.append(position)
        if not kept:
            raise StudyError(f"No {name} image is left after the exclusions; loosen them or give more images.")
        if settings.pool > len(kept):
            raise StudyError(f"A pool of {settings.pool} cannot be drawn from {len(kept)} {name} images; choose fewer.")
        if settings.pool:
            rng = np.random.default_rng([seed, 0, number])
            kept = sorted(rng.choice(kept, settings.pool, replace=False).tolist())
        pools[name] = kept
        by_hand -= set(rows["id"])
    if by_hand:  # with a typing error, the image that was meant would be shown
        raise StudyError(f"The hand list names {min(by_hand)!r}, which is in neither set; correct it.")
    return pools, record


def _summary(
    stores: dict[str, Store],
    pools: dict[str, list[int]],
    excluded: list[dict[str, str]],
    size: Size,
    settings: StudySettings,
) -> list[str]:
    """Return sentences on what was built: pools, exclusions by reason, size and repeats."""
    lines = []
    distinct = 1.0  # probability that a session shows no picture twice
    for name, store in stores.items():
        reasons = Counter(row["reason"] for row in excluded if row["set"] == name)
        why = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        lines.append(
            f"{len(pools[name])} of {len(store)} {name} images are in the pool; {reasons.total()} are excluded"
            + (f" ({why})." if why else ".")
        )
        distinct *= float(np.prod(np.clip(1 - np.arange(settings.pairs) / len(pools[name]), 0, 1)))
    finest = ", ".join(f"{name} up to {Size(*store.sizes[-1])}" for name, store in stores.items())
    chosen = "as demanded" if settings.size else "the largest size of both sets"
    lines.append(f"Pictures have {size} pixels, {chosen} ({finest}).")
    lines.append(
        f"Pictures are drawn with replacement: {1 - distinct:.0%} of the sessions of {settings.pairs} pairs show one "
        "twice; larger pools make that rarer."
    )
    return lines


def _write_pictures(
    stores: dict[str, Store], pools: dict[str, list[int]], size: Size, seed: int, folder: Path, progress: Progress
) -> dict[str, list[dict[str, str]]]:
    """Write both pools in mixed order under random names; return the name and the id of each picture."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 1])
    images = {name: store.images(size) for name, store in stores.items()}
    steps = min(
        grid_steps((np.asarray(images[name][i]) for i in pools[name][:GRID]), store.bits)
        for name, store in stores.items()
    )
    members = [(name, position) for name, positions in pools.items() for position in positions]
    blinded = [rng.bytes(8).hex() for _ in members]
    for done, turn in enumerate(rng.permutation(len(members)), 1):
        name, position = members[turn]
        picture = equalized(np.asarray(images[name][position]), stores[name].bits, steps, rng)
        write_picture(picture, folder, blinded[turn])
        progress("pictures", done, len(members))
    pad_pictures(folder, rng)
    record: dict[str, list[dict[str, str]]] = {name: [] for name in pools}
    for (name, position), code in zip(members, blinded, strict=True):
        record[name].append({"name": code, "id": stores[name].manifest["id"].iloc[position]})
    return record


def _exclusions(settings: StudySettings, images: set[str]) -> tuple[dict[str, list[str]], set[str]]:
    """Return the reasons to exclude images, by id, and the ids that were excluded by hand.

    Raises:
        StudyError: a table of labels names none of the images, or a label to exclude is in no table.
    """
    wanted = {label.casefold() for label in settings.exclude_labels}
    labels: set[str] = set()
    reasons: dict[str, list[str]] = {}
    by_hand = set()
    for path in settings.labels:
        try:
            table = csv.DictReader(_text(path).splitlines())
            rows = list(table)
        except csv.Error as error:
            raise TableError(f"{path} is not a CSV ({error}); give one with the columns id and label.") from None
        if missing := {"id", "label"} - set(table.fieldnames or ()):
            raise TableError(f"{path} has no column {min(missing)!r}; give a CSV with the columns id and label.")
        for row in rows:
            label = (row["label"] or "").strip()
            labels.add(label)
            if label.casefold() in wanted or (not wanted and label.lower() not in HARMLESS):
                reasons.setdefault((row["id"] or "").strip(), []).append(f"label {label}")
        if not images & {(row["id"] or "").strip() for row in rows}:
            raise StudyError(f"{path} names no image of either set; give ids as in the manifest of the store.")
    if missing := wanted - {label.casefold() for label in labels}:
        there = ", ".join(sorted(labels - {""})) or "no label at all"
        raise StudyError(f"The label {min(missing)!r} to exclude is in no table of labels, which have: {there}.")
    for path in settings.exclude:
        for line in _text(path).splitlines():
            image, _, reason = (part.strip() for part in line.partition(","))
            if image and image != "id" and not image.startswith("#"):
                by_hand.add(image)
                reasons.setdefault(image, []).append(f"by hand: {reason}" if reason else "by hand")
    return reasons, by_hand


def _text(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a text file in UTF-8.") from None


def write_demo(phantoms: Path | None, synthetic: Path, target: Path, trained: str) -> None:
    """Write the application without a server, as a page of the book; open its index.html.

    Args:
        phantoms: store of phantoms to show as real images. None draws some on the grid of the synthetic images: a
            book of patients' images must not show any of them.
        synthetic: store of synthetic images.
        target: folder to write; its former content is replaced.
        trained: data that the generator was trained on, a text for the reader.
    """
    generated = Store.open(synthetic)
    with replacing_folder(target) as aside:
        work = aside / "work"
        if phantoms is None:
            height, width = generated.sizes[-1]
            scale = max(1, -(-320 // height))  # phantoms for a very small grid are drawn larger and averaged
            count = min(DEMO_POOL, len(generated))
            write_population(work / "dicom", count, DEMO_SEED, height=scale * height, width=scale * width)
            phantoms = ingest([work / "dicom"], work / "store", Settings(height, width, generated.bits)).path
        settings = StudySettings(
            pool=min(DEMO_POOL, len(generated), len(Store.open(phantoms))),
            seed=DEMO_SEED,
            secret=DEMO_SEED,
            idle=0,
            note=DEMO_NOTE.format(trained=trained),
            browser=True,
        )
        study = build(phantoms, synthetic, work / "study", settings)
        for path in list((study.folder / PUBLIC).iterdir()):
            path.rename(aside / path.name)
        shutil.rmtree(work)
