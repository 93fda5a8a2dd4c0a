"""Sections on copies of training images and on pruning by moments; sections as files, for where the images are not.

The sections are like those of `mammogan.report.alignment`, of the same images. Every number is reported next to the one
between real images and other real images, at the same number of images per side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.artifacts.detectors import outlyingness
from mammogan.atomic import write_json
from mammogan.data.images import Subset
from mammogan.errors import InputError
from mammogan.metrics.coverage import SCORE_GRID
from mammogan.metrics.density import Grid, density, jensen_shannon
from mammogan.metrics.distances import sliced_wasserstein_table
from mammogan.metrics.features import Feature, centered, extract, gray_features, mirrored, pixel_features, pixel_size
from mammogan.metrics.fidelity import (
    fidelity_table,
    frechet_distance,
    frechet_extrapolated,
    kernel_distance,
    manifold,
)
from mammogan.metrics.memorization import Memorization, audit, pruning
from mammogan.metrics.moments import PAIRS
from mammogan.metrics.resampling import FEW
from mammogan.report import fidelity, kept
from mammogan.report.alignment import Comparison, Section, worded
from mammogan.report.alignment_figures import pairs_figure
from mammogan.report.html import Picture, Table
from mammogan.report.numbers import described
from mammogan.report.results import Value
from mammogan.report.style import SYNTHETIC, WIDTH

WORST = 20  # pairs shown
PRUNED = 5  # random subsets per score of pruning
SCORE = "1 - sqrt(JSD), mean of ten pairs"
KEYS = {SCORE: "jsd", "recall": "recall", "precision": "precision"}  # of the scores of pruning in the results


def search(comparison: Comparison) -> Memorization:
    """Search for copies of training images among the synthetic ones compared, see `memorization.audit`.

    Images are centered, and their mirror images count as the same image, so that shifted and mirrored copies are found.
    All real images are searched, not only those compared. Where the generator was trained on all of them, each patient
    is held out in turn.

    Raises:
        ParameterError: the comparison has moments and no images.
    """
    stacks, patients = fidelity.both_stacks(comparison), np.asarray(comparison.design.groups)
    searched = (stacks[0], Subset(stacks[1], comparison.design.compared[1]))
    real, synthetic = (extract(images, comparison.bits, lambda x: pixel_features(centered(x))) for images in searched)
    trained = _trained(comparison)
    held_out = None if trained.all() else real[~trained]
    h, w = stacks[0].shape[1:]
    return audit(
        real[trained],
        patients[trained],
        held_out,
        synthetic,
        held_out_patients=patients[~trained],
        variants=mirrored(pixel_size(h, w)[0]),
        seed=comparison.design.seed,
    )


def _trained(comparison: Comparison) -> np.ndarray:
    given = comparison.trained
    return np.ones(len(comparison.real), bool) if given is None else np.asarray(given, bool)


def memorization_section(comparison: Comparison, copies: Memorization) -> Section:
    """Return the share of authentic images, distances, and the images most like a training image, from `search`."""
    trained, rows = _trained(comparison), comparison.design.compared[1]
    worst = copies.worst(WORST)
    worst["synthetic"], worst["training"] = rows[worst["synthetic"]], np.flatnonzero(trained)[worst["training"]]
    facts = {"synthetic": len(rows), "training": int(trained.sum())}
    numbers = {name: getattr(copies, name) for name in ("authenticity", "baseline", "nearer")}
    numbers |= {"distance": copies.distance_ratio, **facts, "seed": comparison.design.seed}
    owner = "patient" if comparison.known else "image"
    others = "of other patients" if comparison.known else "whose patients are not known"
    control = f"each {owner} held out in turn" if trained.all() else others
    values = described(
        "alignment",
        {f"memorization.{key}": number for key, number in numbers.items()},
        held=f"{len(copies.held_out.index)} real images, {control}",
    )
    table = copies.table()
    bounds = zip(table["low"], table["high"], strict=True)
    table["value"] = [f"{value:.3f}" for value in table["value"]]
    table["interval"] = [f"{low:.3f} to {high:.3f}" if np.isfinite(low) else "-" for low, high in bounds]
    tables = {"Audit": table[["quantity", "value", "interval", "reference"]]}
    pictures = {"worst": (_worst_figure(comparison, worst), worst)} if comparison.public else {}
    return worded("memorization", worst, tables, pictures, values, **facts, owner=owner)


def _worst_figure(comparison: Comparison, worst: pd.DataFrame) -> Figure:
    real, synthetic = fidelity.both_stacks(comparison)
    return pairs_figure(
        [np.asarray(synthetic[int(row)]) for row in worst["synthetic"]],
        [np.asarray(real[int(row)]) for row in worst["training"]],
        [f"{ratio:.2f}" for ratio in worst["ratio"]],
        2**comparison.bits - 1,
    )


def prune(
    comparison: Comparison,
    artifacts: np.ndarray | None = None,
    features: tuple[np.ndarray, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Drop the synthetic images whose moments are farthest from the real ones, and return the scores of the others.

    Args:
        comparison: comparison with images.
        artifacts: (m,) True where a person found an artifact in a synthetic image; None where nobody looked.
        features: `gray_features` of the images of `fidelity.sampled`; computed where they are not given.

    Returns:
        rows of `memorization.pruning`.
    """
    sample = fidelity.sampled(comparison, 1)
    features = features or fidelity.features_of(sample, comparison.bits, gray_features)
    rows, other_rows = sample.design.compared
    a, b = fidelity.standardized(features[0][rows], features[1][other_rows], gray_features)
    synthetic = sample.synthetic.chosen(other_rows)
    moments = comparison.real[sample.real.rows[rows]], comparison.synthetic[synthetic.rows]

    def pairs(rows: np.ndarray) -> float:
        scores = []
        for i, j in PAIRS:
            x, y = moments[0][:, [i, j]], moments[1][rows][:, [i, j]]
            grid = Grid.resolving(x, y, count=SCORE_GRID)
            scores.append(1 - np.sqrt(jensen_shannon(density(x, grid), density(y, grid))))
        return float(np.mean(scores))

    scores: dict[str, Callable[[np.ndarray], float]] = {
        SCORE: pairs,
        "precision": lambda rows: manifold(a, b[rows]).precision,
        "recall": lambda rows: manifold(a, b[rows]).recall,
        "density": lambda rows: manifold(a, b[rows]).density,
        "coverage": lambda rows: manifold(a, b[rows]).coverage,
        "KID": lambda rows: kernel_distance(a, b[rows]),
        "FID": lambda rows: frechet_distance(a, b[rows]),
    }
    labels = None if artifacts is None else np.asarray(artifacts, bool)[synthetic.rows]
    return pruning(outlyingness(*moments), scores, artifacts=labels, draws=PRUNED, seed=sample.design.seed)


def pruned_section(rows: pd.DataFrame, seed: int) -> Section:
    """Return the effect of dropping outliers, from the rows of `prune` and the seed of its draws."""
    names = list(dict.fromkeys(rows["score"]))
    table = rows.pivot(index="share", columns="score", values="value")[names].reset_index()
    table.insert(0, "dropped", [f"{100 * share:.0f} %" for share in table.pop("share")])
    facts = {"n": int(rows["n"].min()), "seed": seed}
    values = described("alignment", {f"pruning.{key}": fact for key, fact in facts.items()})
    for name, key in KEYS.items():
        chosen = rows[rows["score"] == name].set_index("share")["value"]
        ends = {
            f"pruning.{key}.{round(100 * share)}": chosen[share] for share in (min(chosen.index), max(chosen.index))
        }
        values |= described("alignment", ends, name=name, n=facts["n"])
    tables, pictures = {"Scores": table.round(3).astype(str)}, {"pruning_scores": (pruning_figure(rows), rows)}
    return worded("pruned", rows, tables, pictures, values, **facts)


def pruning_figure(rows: pd.DataFrame) -> Figure:
    """Draw every score against the share of images dropped, from rows of `memorization.pruning`."""
    varied = rows.groupby("score", sort=False)["value"].agg(np.ptp) > 0  # a score that never changes has no panel
    names = list(varied.index[varied]) or list(varied.index[:2])  # unless none does, as of constant images
    shape = 2, -(-len(names) // 2)
    figure, axes = plt.subplots(*shape, figsize=(WIDTH, 4), layout="constrained", sharex=True, squeeze=False)
    for name, axis in zip(names, axes.flat, strict=False):
        chosen = rows[rows["score"] == name]
        axis.errorbar(100 * chosen["share"], chosen["value"], chosen["sd"].fillna(0), color=SYNTHETIC, marker="o", ms=3)
        axis.set_title(name)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    axes[-1, 0].set_xlabel("synthetic images dropped, %")
    return figure


def image_sections(
    comparison: Comparison, feature: Feature = gray_features, name: str = fidelity.FEATURES
) -> Iterator[Section]:
    """Yield the sections of the measures that use images.

    Args:
        comparison: comparison with images.
        feature: see `mammogan.metrics.features`; `torchscript_feature` makes one of a network.
        name: name of the feature, as the reader sees it.

    Raises:
        ParameterError: the comparison has moments and no images.
    """
    bits, sample = comparison.bits, fidelity.sampled(comparison, fidelity.DRAWS)
    distances = sliced_wasserstein_table(sample.real, sample.synthetic, bits, sample.design)
    similarity, spectra = fidelity.set_similarity(sample, bits), fidelity.mean_spectra(sample, bits)
    levels = fidelity.gray_levels(sample, bits)
    yield fidelity.texture_section(sample.design, distances, similarity, spectra, levels)
    sample = fidelity.sampled(comparison, 2 * FEW)
    design, features = sample.design, fidelity.features_of(sample, bits, feature)
    a, b = fidelity.standardized(*features, feature)
    frechet = frechet_extrapolated(a[design.compared[0]], b[design.compared[1]], seed=design.seed).table
    yield fidelity.features_section(design, fidelity_table(a, b, design), frechet, name)
    yield memorization_section(comparison, search(comparison))
    known = features if feature is gray_features else None
    yield pruned_section(prune(comparison, features=known), design.seed)


# Functions that draw each figure again from its data, without an image.
DRAWN: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "texture": fidelity.texture_figure,
    "spectra": fidelity.spectra_figure,
    "frechet": fidelity.frechet_figure,
    "pruning_scores": pruning_figure,
}


def write_sections(comparison: Comparison, folder: Path) -> dict[str, Value]:
    """Write all sections to a new folder, from which `read_section` reads them where the images are not at hand.

    NAME.json has words, tables and values of each section, NAME.csv its numbers, and each figure has a CSV of its data.
    No image is among them.

    Returns:
        Values of all sections by key.
    """
    folder.mkdir(parents=True)
    values: dict[str, Value] = {}
    for section in image_sections(comparison):
        content = {
            "title": section.title,
            "text": section.text,
            "tables": [(table.caption, table.frame.to_dict("list")) for table in section.tables],
            "pictures": [(picture.name, picture.caption) for picture in section.pictures],
            "values": {key: value.stated for key, value in section.values.items()},
        }
        write_json(folder / f"{section.name}.json", content)
        tables = {section.name: section.rows, **{picture.name: picture.data for picture in section.pictures}}
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        values |= section.values
    return values


def read_section(folder: Path, name: str) -> Section:
    """Return a section that `write_sections` wrote, with its figures drawn again.

    Raises:
        InputError: the folder has no such section, or a file of it is damaged.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise InputError(f"There is no {path}; export the run again with `mammogan reference`.")
    content = kept.facts(path, "title", "text", "tables", "pictures", "values")
    with kept.reading(path):
        captions = dict(content["pictures"])
        text, title = tuple(content["text"]), content["title"]
        tables = [Table(caption, pd.DataFrame(table)) for caption, table in content["tables"]]
        values = {key: Value(**value) for key, value in content["values"].items()}
    rows = {part: kept.table(folder / f"{part}.csv") for part in (name, *captions)}
    pictures = []
    for part, caption in captions.items():
        if part in DRAWN:
            with kept.reading(folder / f"{part}.csv"):
                pictures.append(Picture(part, DRAWN[part](rows[part]), caption, rows[part]))
    return Section(name=name, title=title, text=text, rows=rows[name], tables=tables, pictures=pictures, values=values)
