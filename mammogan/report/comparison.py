"""`mammogan align`: two sets of images in, one folder out: report.html, results.json, figures/ and data/."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammogan.data.pairs import compare_stores, open_pair, patients
from mammogan.data.store import Store
from mammogan.errors import InputError
from mammogan.metrics.coverage import SPACE_DRAW
from mammogan.metrics.features import torchscript_feature
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.metrics.resampling import LEAST, ResamplingDesign
from mammogan.paper import printed
from mammogan.parallel import map_images
from mammogan.report import copies, fidelity, style
from mammogan.report.alignment import SECTIONS, Comparison, Section
from mammogan.report.html import Part, Picture, Table, write_page
from mammogan.report.ingest import outcomes
from mammogan.report.results import Results
from mammogan.types import Progress, no_progress


def align(
    real: str | Path,
    synthetic: str | Path,
    out: str | Path,
    *,
    count: int = 0,
    seed: int = 0,
    draws: int = 100,
    splits: int = 20,
    permutations: int = 200,
    height: int = 0,
    width: int = 0,
    bits: int = 0,
    moments_only: bool = False,
    feature: str | Path | None = None,
    channels: int = 1,
    trained_on: str = "",
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Compare two sets of images and write the report; nothing is written to `out` before all is computed.

    Args:
        real, synthetic: a store, or a folder of DICOM files or pictures; see `sets.open_pair`.
        out: folder to write.
        count: images a side, drawn at random; 0 takes as many as the smaller set has.
        seed, draws, splits: see `resampling.Plan`.
        permutations: behind each P value.
        height, width: of DICOM files, and the size to compare at; 0 takes the finest that both sets have.
        bits: of folders; see `sets.open_pair`.
        moments_only: leave out `copies.SECTIONS`, which look at the images again.
        feature: a TorchScript file, for precision, recall, density, coverage, KID and FID; see
            `features.torchscript_feature`. None takes what needs no network.
        channels: that the network expects, 1 or 3.
        trained_on: split of the real store that the generator was trained on, such as "train": the others are the
            control of the search for copies. "" where it was trained on all, or on none that is known.
        workers, scheduler: of the reading; see `passes.per_image`.
        progress: counts files, images and sections.

    Returns:
        report.html.

    Raises:
        InputError: the two sets cannot be compared, or no real image is of the split.
        FeatureError: the network cannot be used.
        ValueError: too few images.
    """
    out = Path(out)
    network = torchscript_feature(feature, channels=channels) if feature else None
    stores = open_pair(
        real,
        synthetic,
        out,
        height=height,
        width=width,
        bits=bits,
        workers=workers,
        scheduler=scheduler,
        progress=progress,
    )
    size = compare_stores(*stores, (height, width) if height and width else None)
    plan = ResamplingDesign(patients(stores[0]), len(stores[1]), count, seed=seed, draws=draws, splits=splits)
    if not moments_only and plan.size < LEAST:
        raise InputError(f"Measures of images need {LEAST} of them a side; give more, or compare --moments-only.")
    tables = []
    for name, store in zip(("real", "synthetic"), stores, strict=True):
        level, task = store.images(size), f"moments of {name} images"
        tables.append(
            map_images(
                level, image_moments, store.bits, workers=workers, scheduler=scheduler, progress=progress, task=task
            )
        )
    levels = (stores[0].images(size), stores[1].images(size))
    trained = stores[0].manifest["split"].to_numpy() == trained_on if trained_on else None
    if trained is not None and not trained.any():
        raise InputError(f"No real image is of the split {trained_on!r}; give the one that was trained on, or none.")
    comparison = Comparison(tables[0], tables[1], plan, permutations, levels, stores[0].bits, trained)
    chosen = list(SECTIONS)
    if not moments_only:
        named = {"features": {"feature": network, "name": Path(feature).name}} if network and feature else {}
        chosen += [partial(section, **named.get(section.__name__, {})) for section in copies.SECTIONS]
    style.apply_style()
    sections: list[Section] = []
    for number, section in enumerate(chosen, 1):
        sections.append(section(comparison))
        progress("sections", number, len(chosen), sections[-1].title)
    return write(out, comparison, stores, sections, size)


def write(
    out: Path, comparison: Comparison, stores: tuple[Store, Store], sections: list[Section], size: tuple[int, int]
) -> Path:
    """Write the report aside and put it in place; returns report.html."""
    aside = out.with_name(f".{out.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)
    plan = comparison.plan
    results = Results(aside, "alignment")
    for name, value, label in (
        ("n", plan.size, "images a side"),
        ("n.ceiling", plan.half, "images a side of the ceilings"),
        ("size", f"{size[0]} x {size[1]}", "size compared at, pixels"),
        ("bits", stores[0].bits, "bits a pixel"),
        ("seed", plan.seed, "seed of all draws"),
    ):
        results.value(name, value, label=label)
    for name, store, moments in zip(
        ("real", "synthetic"), stores, (comparison.real, comparison.synthetic), strict=True
    ):
        results.value(f"fingerprint.{name}", store.fingerprint, label=f"fingerprint of the {name} store")
        table = pd.DataFrame(moments, columns=list(MOMENT_NAMES))
        table.insert(0, "id", store.manifest["id"].to_numpy())
        results.table(f"moments_{name}", table)
    for section in sections:
        section.keep(results)
    results.save()
    parts = [
        Part(
            section.title,
            section.text,
            [Table(caption, list(rows.columns), _unbroken(rows)) for caption, rows in section.tables],
            [Picture(f"figures/{name}.png", caption, caption) for name, _, caption, _ in section.pictures],
        )
        for section in sections
    ]
    header = ("outcome", "files", "meaning")
    became = [
        Table(f"What became of the {name} files", header, outcomes(store))
        for name, store in zip(("real", "synthetic"), stores, strict=True)
    ]
    files = sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file())
    write_page(
        aside / "report.html",
        "How close are two sets of images?",
        [*lead(plan, stores, size), *notes(*stores), *shown_images(sections)],
        [*parts, Part("The images", tables=became)],
        files,
    )
    if out.exists():
        out.rmdir()  # empty, or the command has refused it
    aside.replace(out)
    return out / "report.html"


def _unbroken(rows: pd.DataFrame) -> list[list[str]]:
    """Cells that no line break parts: a number stays with its interval, and a narrow screen scrolls the table."""
    return [[str(cell).replace(" ", "\N{NO-BREAK SPACE}") for cell in row] for row in rows.itertuples(index=False)]


def lead(plan: ResamplingDesign, stores: tuple[Store, Store], size: tuple[int, int]) -> list[str]:
    """What was compared, and what every number stands beside."""
    found = [
        f"{plan.size} real against {plan.size} synthetic images of {size[0]} x {size[1]} pixels and {stores[0].bits} "
        f"bits, drawn from {len(stores[0])} and {len(stores[1])} with seed {plan.seed}. Every score has a 95 % "
        f"interval, from {plan.draws} random halves of both sets, and stands beside its ceiling: what real images "
        f"score against other real images, of other patients, {plan.half} a side ({plan.splits} splits). Nearest "
        f"neighbors of pairs take at most {SPACE_DRAW} images a side for interval and ceiling."
    ]
    if plan.size > fidelity.MOST:
        found.append(f"Texture, features and pruning look at {fidelity.MOST} of these images a side, drawn at random.")
    if plan.size != printed.IMAGES:
        found.append(
            f"The paper compared {printed.IMAGES} with {printed.IMAGES} images. Scores rise with the number of "
            f"images: its numbers can stand beside this report's only with --count {printed.IMAGES}."
        )
    return found


def shown_images(sections: list[Section]) -> list[str]:
    """A warning where a figure holds images of the real set."""
    if all(section.name != "memorization" for section in sections):
        return []
    return ["The figure of nearest neighbors shows real images; pass this report on only where they may be seen."]


def notes(real: Store, synthetic: Store) -> list[str]:
    """What a reader must know of the two sets before believing a number."""
    found = []
    for name, store in (("real", real), ("synthetic", synthetic)):
        made: dict[str, Any] = store.attributes["made_by"]
        if len(store.refused):
            reasons = ", ".join(f"{files} {reason}" for reason, files, _ in outcomes(store)[1:])
            found.append(
                f"{len(store.refused)} of {len(store) + len(store.refused)} {name} files were refused ({reasons})"
                + (": what is left out of a synthetic set flatters it." if name == "synthetic" else ".")
            )
        if made.get("by") != "ingest" or made.get("prepared"):
            found.append(f"The window of the {name} images is not on record; they are taken as they are.")
        pixels = store.manifest["pixels"].dropna()
        if copies := len(pixels) - pixels.nunique():
            found.append(f"{copies} {name} images are copies of others in the set, pixel by pixel.")
    shared = np.intersect1d(real.manifest["pixels"].dropna(), synthetic.manifest["pixels"].dropna())
    if len(shared):
        found.append(f"{len(shared)} images are in both sets, pixel by pixel.")
    return found
