"""Building a reader study from two sets of images: curated pools, blinded pictures, and the application."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mammogan.atomic import replacing_folder, write_json, writing
from mammogan.data.ingest import Settings, ingest
from mammogan.data.pairs import compare_stores, open_pair
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.errors import StudyError
from mammogan.reader_study.browser import write_application
from mammogan.reader_study.design import FORMAT, PICTURES, PUBLIC, RESPONSES, SECRET, SYNTHETIC, ReaderStudy
from mammogan.reader_study.drawing import CHECKS
from mammogan.reader_study.pictures import equalized, grid_steps, in_squares, pad_pictures, sharpness, write_picture
from mammogan.reader_study.pools import draw_pools, other_views, summary
from mammogan.reader_study.protocol import StudyProtocol
from mammogan.reader_study.settings import StudySettings
from mammogan.types import Progress, Size, no_progress

GRID = 64  # images of each set that the gray grid is estimated from
FEW, TELLING = 8, 0.95  # images of each set, and share of pairs, from which on sharpness is reported
INGEST = ".ingest"  # stores of folders, until the pictures are written
DEMO_POOL = 48  # pictures of each class at most: a page that is sent by mail must stay small
DEMO_SEED = 0
DEMO_NOTE = (
    'This copy runs in your browser alone and sends nothing. Its "real" images are phantoms, drawn by a program, not '
    "taken of patients; the others come from the generator of this book, trained on {trained}. Your answers stay here "
    "until you download them."
)


def build(
    real: str | Path,
    synthetic: str | Path | Sequence[Path],
    out: str | Path,
    settings: StudySettings,
    progress: Progress = no_progress,
) -> ReaderStudy:
    """Build a study; the folder appears when it is whole, and not before.

    Args:
        real: a store, or a folder of DICOM files or pictures, which is ingested first.
        synthetic: the same, or several with different names, one per generator.
        out: folder of the study.
        settings: settings of the study.
        progress: counts "pictures".

    Raises:
        StudyError: the folder is not empty, an id is unknown, a pool is empty or too small for draws without
            repeats, two generators have one name, or a store lacks a column of the strata.
        InputError: the sets differ in bit depth, window or laterality, or have no such size in common; a table of
            labels or a list of exclusions cannot be read; a set has no pairs of views, and the protocol demands them.
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
        by_class, size = _open_stores(real, synthetic, aside / INGEST, settings)
        pools, excluded, strata = draw_pools(by_class, settings, seed if settings.seed is None else settings.seed)
        checks = CHECKS if settings.protocol.checks else 0
        both = settings.protocol.views == "pair"
        others = {name: other_views(store) if both else {} for name, store in by_class.items()}
        written = _write_pictures(by_class, pools, others, size, seed, checks, aside / PUBLIC / PICTURES, progress)
        sharper = _sharper(by_class, pools, size)
        size = Size(size.height, 2 * size.width) if both else size
        note = settings.protocol.texts.entries["both_views"] if both else ""
        shutil.rmtree(aside / INGEST, ignore_errors=True)
        secret = {
            "format": FORMAT,
            "title": settings.title or settings.protocol.texts.entries[f"title_{settings.protocol.show}"],
            "note": " ".join(filter(None, [note, settings.note])),
            "seed": seed,
            "pool_seed": settings.seed,
            "attempts": settings.attempts,
            "idle": settings.idle,
            "pairs": settings.pairs,
            "size": list(size),
            "view": settings.view,
            "stores": {name: store.fingerprint for name, store in by_class.items()},
            "summary": [*summary(by_class, pools, excluded, size, settings), *sharper],
            "protocol": settings.protocol.record(),
            "excluded": excluded,
            "pools": _record(by_class, written, others, strata),
        }
        write_json(aside / SECRET, secret)
        (aside / SECRET).chmod(0o600)
        write_application(ReaderStudy.open(aside), aside / PUBLIC, size, settings.browser)
        aside.chmod(0o755)
    return ReaderStudy.open(out)


def _open_stores(
    real: str | Path, synthetic: str | Path | Sequence[Path], folder: Path, settings: StudySettings
) -> tuple[dict[str, Store], Size]:
    """Open the sets as stores; return them by name, the real ones first, and the size of the pictures."""
    sources = [Path(synthetic)] if isinstance(synthetic, str | Path) else [Path(source) for source in synthetic]
    names = [SYNTHETIC] if len(sources) == 1 else [source.resolve().name for source in sources]
    if wrong := [name for name in names if names.count(name) > 1 or name in ("real", "checks")]:
        raise StudyError(f"{wrong[0]!r} is not the name of one generator; give folders with different names.")
    stores: dict[str, Store] = {}
    for name, source in zip(names, sources, strict=True):
        given = stores["real"].path if stores else real
        # Pictures of fewer bits are welcome: `equalized` rounds all sets to the coarsest of their gray grids.
        stores["real"], stores[name] = open_pair(
            given, source, folder / name, size=settings.size, bits=settings.bits, fewer_bits=True
        )
    size = min(compare_stores(stores["real"], stores[name], settings.size) for name in names)
    for name in names:
        compare_stores(stores["real"], stores[name], size)
    return stores, size


def _views(others: dict[int, int], position: int) -> list[int]:
    """Return the positions of the images of a picture, from the left."""
    return [position, others[position]] if position in others else [position]


def _write_pictures(
    stores: dict[str, Store],
    pools: dict[str, list[int]],
    others: dict[str, dict[int, int]],
    size: Size,
    seed: int,
    checks: int,
    folder: Path,
    progress: Progress,
) -> dict[str, list[tuple[str, int]]]:
    """Write all pools, and pictures for attention checks, in mixed order under random names.

    A picture whose position is among the `others` of its store has that image at the right.

    Returns:
        The name of each picture and its position in its store, by pool.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 1])
    images = {name: store.images(size) for name, store in stores.items()}
    steps = min(
        grid_steps((np.asarray(images[name][i]) for i in pools[name][:GRID]), store.bits)
        for name, store in stores.items()
    )
    members = [(name, name, position) for name, positions in pools.items() for position in positions]
    last = next(reversed(stores))
    members += [("checks", last, position) for position in pools[last][:checks]]
    blinded = [rng.bytes(8).hex() for _ in members]
    for done, turn in enumerate(rng.permutation(len(members)), 1):
        pool, name, position = members[turn]
        views = [np.asarray(images[name][each]) for each in _views(others[name], position)]
        shown = map(in_squares, views) if pool == "checks" else views
        picture = np.hstack([equalized(view, stores[name].bits, steps, rng) for view in shown])
        write_picture(picture, folder, blinded[turn])
        progress("pictures", done, len(members))
    pad_pictures(folder, rng)
    written: dict[str, list[tuple[str, int]]] = {}
    for (pool, _, position), code in zip(members, blinded, strict=True):
        written.setdefault(pool, []).append((code, position))
    return written


def _sharper(stores: dict[str, Store], pools: dict[str, list[int]], size: Size) -> list[str]:
    """Return a sentence on each generator whose images sharpness alone tells from the real ones."""
    level = {
        name: np.asarray([sharpness(np.asarray(store.images(size)[i])) for i in pools[name][:GRID]])
        for name, store in stores.items()
    }
    sentences = []
    for name in list(stores)[1:]:
        steps = np.sign(level["real"][:, None] - level[name])
        share = float((1 + steps.mean()) / 2)  # of pairs in which the real image is sharper
        if len(level[name]) >= FEW and len(level["real"]) >= FEW and max(share, 1 - share) > TELLING:
            sentences.append(
                f"Sharpness alone tells {name} images from real ones: the real image is sharper in {share:.0%} of the "
                "pairs. If a set was enlarged, smoothed or compressed on its way, bring it again as it was."
            )
    return sentences


def _record(
    stores: dict[str, Store],
    written: dict[str, list[tuple[str, int]]],
    others: dict[str, dict[int, int]],
    strata: dict[str, list[str]],
) -> dict[str, list[dict[str, str]]]:
    """Return the pictures of each class with the ids, strata and generators of their images, for study.json."""
    record: dict[str, list[dict[str, str]]] = {"real": [], SYNTHETIC: []}
    last = next(reversed(stores))
    for pool, pictures in written.items():
        store = last if pool == "checks" else pool
        for name, position in pictures:
            ids = stores[store].manifest["id"].iloc[_views(others[store], position)]
            entry = {"name": name, "id": "+".join(ids)}
            if stratum := strata[store][position]:
                entry["stratum"] = stratum
            if len(stores) > 2 and pool not in ("real", "checks"):
                entry["generator"] = pool
            record.setdefault(pool if pool in ("real", "checks") else SYNTHETIC, []).append(entry)
    return record


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
        pool = min(DEMO_POOL, len(generated), len(Store.open(phantoms)))
        protocol = StudyProtocol(practice=1, replace=pool < 12, display=True, confidence=True, feedback=True)
        settings = StudySettings(
            pool=pool,
            seed=DEMO_SEED,
            secret=DEMO_SEED,
            idle=0,
            note=DEMO_NOTE.format(trained=trained),
            browser=True,
            protocol=protocol,
        )
        study = build(phantoms, synthetic, work / "study", settings)
        for path in list((study.folder / PUBLIC).iterdir()):
            path.rename(aside / path.name)
        shutil.rmtree(work)
