"""`mammogan align`: two sets of images in, one folder out: report.html, results.json, figures/ and data/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.atomic import replacing_folder
from mammogan.data.pairs import are_patients_known, compare_stores, open_pair, patients
from mammogan.data.store import Store
from mammogan.errors import InputError, OutputError, Reason
from mammogan.metrics.coverage import SPACE_DRAW, stretching
from mammogan.metrics.features import gray_features, torchscript_feature
from mammogan.metrics.memorization import BOOTSTRAPS
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.metrics.resampling import FEW, LEAST, ResamplingDesign
from mammogan.paper import printed
from mammogan.parallel import map_images
from mammogan.report import copies, fidelity, style
from mammogan.report.alignment import Comparison, Section, moment_sections
from mammogan.report.copies import PRUNED
from mammogan.report.html import Part, Table, write_page
from mammogan.report.ingest import outcomes
from mammogan.report.numbers import described, filled, keep, words
from mammogan.report.results import Results
from mammogan.report.summary import alignment_summary, keep_lines
from mammogan.types import Progress, Size, counted, no_progress

KINDS = ("real", "synthetic")
BESIDE_IMAGES = {Reason.HIDDEN, Reason.LINK, Reason.SPECIAL, Reason.NOT_DICOM, Reason.TABLE}  # refused, yet no image is


@dataclass(frozen=True)
class AlignSettings:
    """Settings of `align`.

    Attributes:
        count: images per side, drawn at random; 0 means as many as the smaller set has.
        seed, draws, splits: see `resampling.ResamplingDesign`.
        permutations: label permutations per P value.
        size: size of DICOM files, and the size to compare at; None means the largest that both sets have.
        bits: bits per pixel of folders, see `pairs.open_pair`.
        moments_only: leave out `copies.image_sections`, which read the images again.
        feature: TorchScript file for precision, recall, density, coverage, KID and FID, see
            `features.torchscript_feature`; None uses features that need no network.
        channels: channels that the network expects, 1 or 3.
        trained_on: split of the real store that the generator was trained on, as "train"; the other splits are the
            control of the search for copies. "" where it was trained on all images, or on none of them.
        workers, scheduler: see `parallel.map_images`.
    """

    count: int = 0
    seed: int = 0
    draws: int = 100
    splits: int = 20
    permutations: int = 200
    size: Size | None = None
    bits: int = 0
    moments_only: bool = False
    feature: Path | None = None
    channels: int = 1
    trained_on: str = ""
    workers: int = 1
    scheduler: str | None = None


def align(
    real: str | Path,
    synthetic: str | Path,
    out: Path,
    settings: AlignSettings = AlignSettings(),
    *,
    progress: Progress = no_progress,
) -> Path:
    """Compare two sets of images and write the report, as a whole once everything is computed.

    Args:
        real, synthetic: a store, or a folder of DICOM files or pictures; see `pairs.open_pair`.
        out: folder to write.
        settings: settings.
        progress: counts files, images and sections.

    Returns:
        report.html.

    Raises:
        InputError: the two sets cannot be compared, no real image is in the split, or the network cannot be used.
        ParameterError: too few images.
        OutputError: the folder is not empty, or cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"The folder {out} is not empty; give another folder.")
    network = torchscript_feature(settings.feature, channels=settings.channels) if settings.feature else gray_features
    stores = open_pair(
        real,
        synthetic,
        out,
        size=settings.size,
        bits=settings.bits,
        workers=settings.workers,
        scheduler=settings.scheduler,
        progress=progress,
    )
    size = compare_stores(*stores, settings.size)
    comparison = _comparison(stores, size, settings, progress)
    steps = [moment_sections(comparison, settings.permutations)]
    if not settings.moments_only:
        name = settings.feature.name if settings.feature else fidelity.FEATURES
        steps.append(copies.image_sections(comparison, network, name))
    style.apply_style()
    sections: list[Section] = []
    for section in chain(*steps):
        sections.append(section)
        progress("sections", len(sections), 4 * len(steps), section.title)
    with replacing_folder(out) as folder:
        _write(folder, comparison, stores, sections, size)
    return out / "report.html"


def _comparison(
    stores: tuple[Store, Store], size: tuple[int, int], settings: AlignSettings, progress: Progress
) -> Comparison:
    """Return the comparison of two stores at one size; the moments are computed here."""
    real = stores[0]
    resampling = (settings.seed, settings.draws, settings.splits)
    design = ResamplingDesign(patients(real), len(stores[1]), settings.count, *resampling)
    if not settings.moments_only and design.size < LEAST:
        raise InputError(f"Measures of images need {LEAST} images per side; give more, or compare --moments-only.")
    trained = real.in_split(settings.trained_on) if settings.trained_on else None
    images = (real.images(size), stores[1].images(size))
    run = partial(map_images, workers=settings.workers, scheduler=settings.scheduler, progress=progress)
    moments = [
        run(stack, image_moments, real.bits, task=f"moments of {kind} images")
        for kind, stack in zip(KINDS, images, strict=True)
    ]
    known = are_patients_known(real)
    return Comparison(moments[0], moments[1], design, images, real.bits, trained, known=known)


def _write(
    folder: Path, comparison: Comparison, stores: tuple[Store, Store], sections: list[Section], size: tuple[int, int]
) -> None:
    """Write the report to an empty folder."""
    design, results = comparison.design, Results(folder, "alignment")
    keep(results, {"n": design.size, "n.ceiling": design.half, "size": str(Size(*size))})
    keep(results, {"bits": comparison.bits, "seed": design.seed})
    origins = []
    for kind, store, moments in zip(KINDS, stores, (comparison.real, comparison.synthetic), strict=True):
        keep(results, {f"fingerprint.{kind}": store.fingerprint})
        table = pd.DataFrame(moments, columns=list(MOMENT_NAMES))
        table.insert(0, "id", store.manifest["id"].to_numpy())
        results.table(f"moments_{kind}", table)
        origins.append(Table(f"Outcome of the {kind} files", outcomes(store)))
    for section in sections:
        section.keep(results)
    within = {f"repeated.{kind}": 100 * repeated(store) / len(store) for kind, store in zip(KINDS, stores, strict=True)}
    within["shared"] = 100 * float(stores[1].manifest["pixels"].isin(stores[0].manifest["pixels"].dropna()).mean())
    keep(results, within)
    values = described("alignment", within)
    values |= {key: value for section in sections for key, value in section.values.items()}
    summary = keep_lines(results, alignment_summary(values, design.size, str(Size(*size))))
    results.save()
    shown = any(section.name == "memorization" for section in sections)
    before = [filled(words("lead")["shown"])] if shown else []
    before += [*notes(*stores), *stretch_notes(comparison, stores)]
    write_page(
        folder / "report.html",
        "How close are two sets of images?",
        before,
        [*sections, Part("What was compared", lead(comparison, stores, size, shown), origins, name="images")],
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
        summary,
    )


def lead(comparison: Comparison, stores: tuple[Store, Store], size: tuple[int, int], images: bool) -> list[str]:
    """Return paragraphs on what was compared, and how; `images` where there are measures that use images."""
    design = comparison.design
    facts = {name: getattr(design, name) for name in ("half", "seed", "draws", "splits")}
    facts |= {"n": design.size, "size": Size(*size), "bits": comparison.bits, "pairs": SPACE_DRAW}
    facts |= {"real": len(stores[0]), "synthetic": len(stores[1]), "most": fidelity.MOST, "paper": printed.IMAGES}
    for name, draws in (("texture", fidelity.DRAWS), ("features", 2 * FEW)):
        facts |= {name: min(design.draws, draws), f"{name}_splits": min(design.splits, draws)}
    facts |= {"bootstraps": BOOTSTRAPS, "pruned": PRUNED, "few": FEW}
    said = {"compared": True, "patients": comparison.known, "unknown": not comparison.known, "images": images}
    said |= {"sampled": images and design.size > fidelity.MOST, "paper": design.size != printed.IMAGES}
    return [filled(words("lead")[name], **facts) for name, due in said.items() if due]


def stretch_notes(comparison: Comparison, stores: tuple[Store, Store]) -> Iterator[str]:
    """Yield which images are so far out that they would stretch the range of a moment."""
    far = stretching(comparison.real, comparison.synthetic)
    for kind, store in zip(KINDS, stores, strict=True):
        rows = far[far["kind"] == kind]
        if len(rows):
            first = rows.iloc[0]
            names = ", ".join(store.manifest["id"].iloc[rows["row"][:5]].astype(str))
            more = ", ..." if len(rows) > 5 else ""
            images = counted(len(rows), f"{kind} image is", f"{kind} images are")
            yield (
                f"{images} far out ({names}{more}; the farthest has "
                f"{first['moment']} = {first['value']:.4g}): look at them. The grids of scores do not reach them."
            )


def repeated(store: Store) -> int:
    """Return the number of images that are copies of others in the set, pixel by pixel."""
    pixels = store.manifest["pixels"].dropna()
    return len(pixels) - pixels.nunique()


def notes(real: Store, synthetic: Store) -> Iterator[str]:
    """Yield what a reader must know about the two sets before believing a number."""
    for kind, store in zip(KINDS, (real, synthetic), strict=True):
        if len(store.refused):
            reasons = ", ".join(f"{row.files} {row.outcome}" for row in outcomes(store)[1:].itertuples())
            left_out = kind == "synthetic" and not set(store.refused["reason"]) <= BESIDE_IMAGES
            bias = ": images left out of a synthetic set flatter it." if left_out else "."
            total = len(store) + len(store.refused)
            were = "was" if len(store.refused) == 1 else "were"
            yield f"{len(store.refused)} of {total} {kind} files {were} refused ({reasons}){bias}"
        origin = store.attributes["made_by"]
        if origin.get("by") != "ingest" or origin.get("prepared"):
            yield f"The window of the {kind} images is not on record; they are used as they are."
        if copied := repeated(store):
            copies = counted(copied, f"{kind} image is a copy", f"{kind} images are copies")
            yield f"{copies} of others in the set, pixel by pixel."
    shared = np.intersect1d(real.manifest["pixels"].dropna(), synthetic.manifest["pixels"].dropna())
    if len(shared):
        yield f"{counted(len(shared), 'image is', 'images are')} in both sets, pixel by pixel."
