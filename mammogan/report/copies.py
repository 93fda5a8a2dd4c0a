"""Sections on copies of training images and on pruning by moments.

Sections like those of `mammogan.report.alignment`, of the same images. Every number is reported next to the one between
real images and other real images, at the same number of images per side.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.artifacts.detectors import outlyingness
from mammogan.atomic import write_json
from mammogan.data.images import Subset
from mammogan.metrics.coverage import SCORE_GRID
from mammogan.metrics.density import Grid, density, jensen_shannon
from mammogan.metrics.features import extract, gray_features, pixel_features
from mammogan.metrics.fidelity import frechet_distance, kernel_distance, manifold
from mammogan.metrics.memorization import audit, pruning
from mammogan.metrics.moments import PAIRS
from mammogan.report import style
from mammogan.report.alignment import Comparison, Section, paragraphs
from mammogan.report.alignment_figures import pairs_figure
from mammogan.report.fidelity import (
    features,
    frechet_figure,
    sampled,
    spectra_figure,
    standardized,
    stated,
    texture,
    texture_figure,
)
from mammogan.report.style import SYNTHETIC


def memorization(comparison: Comparison) -> Section:
    """Are there copies of training images among the synthetic ones?

    Args:
        comparison: of images; all real images are searched, not only those compared. Where the generator was trained
            on all of them, each patient is held out in turn.
    """
    if comparison.images is None:
        raise ValueError("These measures look at images; give the two sets of images with their moments.")
    bits, seed = comparison.bits, comparison.plan.seed
    synthetic_rows = comparison.plan.compared[1]
    pictures = comparison.images[0], Subset(comparison.images[1], synthetic_rows)
    real, synthetic = (extract(images, bits, pixel_features) for images in pictures)
    trained = np.ones(len(real), bool) if comparison.trained is None else np.asarray(comparison.trained, bool)
    groups = np.asarray(comparison.plan.groups)
    held_out = None if trained.all() else real[~trained]
    found = audit(real[trained], groups[trained], held_out, synthetic, seed=seed)
    worst = found.worst(20).assign(
        synthetic=lambda table: synthetic_rows[table["synthetic"]],
        training=lambda table: np.flatnonzero(trained)[table["training"]],
    )
    top = 2**bits - 1
    figure = hidden_figure(worst)
    if comparison.public:
        figure = pairs_figure(
            [np.asarray(comparison.images[1][int(i)]) / top for i in worst["synthetic"]],
            [np.asarray(comparison.images[0][int(i)]) / top for i in worst["training"]],
            [f"{ratio:.2f}" for ratio in worst["ratio"]],
        )
    held = f"{len(found.held_out.index)} real images, " + (
        "of other patients" if held_out is not None else "each patient held out in turn"
    )
    triples = {
        "authenticity": (found.authenticity, "share of authentic images", "Alaa 2022, by patient; exact interval"),
        "baseline": (found.baseline, "the same of real images", f"{held}; exact interval"),
        "distance": (found.distance_ratio, "distance to the training set over that of real images", held),
        "nearer": (found.nearer, "nearer to the training set than 95 % of real images", f"{held}; .05 by chance"),
    }
    values = {
        f"memorization.{key}": {"value": value, "interval": (low, high), "fmt": ".3f", "label": label, "how": how}
        for key, ((value, low, high), label, how) in triples.items()
    }
    values |= stated("memorization", synthetic=len(synthetic), training=int(trained.sum()), seed=seed)
    table = found.table()
    text = table.assign(
        value=[f"{value:.3f}" for value in table["value"]],
        interval=[
            f"{low:.3f} to {high:.3f}" if np.isfinite(low) else "-"
            for low, high in zip(table["low"], table["high"], strict=True)
        ],
    )[["quantity", "value", "interval", "reference"]]
    caption = (
        "The twenty synthetic images most like a training image, above their nearest training images; over each pair "
        "its distance, over that of the training image to its nearest other patient: 1 or less is not authentic. "
        f"Window 0 to full range; {len(synthetic)} synthetic and {int(trained.sum())} training images."
    )
    return Section(
        "memorization",
        "Copies of training images",
        paragraphs(
            """
            A generator that memorized its training images would do well by every measure of closeness. Images are
            reduced to 40 pixels' length with mean and contrast taken out, and each synthetic one is compared with its
            nearest training image: is it nearer than any other patient's image is? Held-out real images show how
            often that happens by chance. Copies that were mirrored, or shifted by more than a pixel, are not found.
            """
        ),
        worst,
        [("Audit", text)],
        [("worst", figure, caption, worst)],
        values,
    )


def pruned(comparison: Comparison, artifacts: np.ndarray | None = None) -> Section:
    """What it does to drop the synthetic images whose moments lie farthest out.

    Args:
        comparison: of images.
        artifacts: (m,) True where a person found an artifact in a synthetic image; None where nobody looked.
    """
    real, synthetic, plan = sampled(comparison, 1)
    real, synthetic = real.chosen(plan.compared[0]), synthetic.chosen(plan.compared[1])
    moments = comparison.real[real.rows], comparison.synthetic[synthetic.rows]
    a, b = standardized(real, synthetic, comparison.bits, gray_features)
    seed = plan.seed

    def pairs(rows: np.ndarray) -> float:
        found = []
        for i, j in PAIRS:
            x, y = moments[0][:, [i, j]], moments[1][rows][:, [i, j]]
            grid = Grid.around(x, y, count=SCORE_GRID)
            found.append(1 - np.sqrt(jensen_shannon(density(x, grid), density(y, grid))))
        return float(np.mean(found))

    scores: dict[str, Callable[[np.ndarray], float]] = {
        "1 - sqrt(JSD), mean of ten pairs": pairs,
        "precision": lambda rows: manifold(a, b[rows]).precision,
        "recall": lambda rows: manifold(a, b[rows]).recall,
        "density": lambda rows: manifold(a, b[rows]).density,
        "coverage": lambda rows: manifold(a, b[rows]).coverage,
        "KID": lambda rows: kernel_distance(a, b[rows]),
        "FID": lambda rows: frechet_distance(a, b[rows]),
    }
    labels = None if artifacts is None else np.asarray(artifacts, bool)[synthetic.rows]
    rows = pruning(outlyingness(*moments), scores, artifacts=labels, draws=5, seed=seed)
    names = list(dict.fromkeys(rows["score"]))
    table = rows.pivot(index="share", columns="score", values="value")[names].reset_index()
    table.insert(0, "dropped", [f"{100 * share:.0f} %" for share in table.pop("share")])
    values = stated("pruning", n=int(rows["n"].min()), seed=seed)
    for name, key in (("1 - sqrt(JSD), mean of ten pairs", "jsd"), ("recall", "recall"), ("precision", "precision")):
        chosen = rows[rows["score"] == name].set_index("share")["value"]
        for share in (chosen.index.min(), chosen.index.max()):
            values[f"pruning.{key}.{round(100 * share)}"] = {
                "value": chosen[share],
                "fmt": ".3f",
                "label": f"{name}, {100 * share:.0f} % dropped",
                "how": f"{rows['n'].min()} synthetic images a score",
            }
    caption = (
        f"Scores after dropping the synthetic images that lie farthest out by their moments; each of {rows['n'].min()} "
        f"images drawn from those kept, bars one standard deviation over the draws. Seed {seed}."
    )
    text = table.round(3).astype(str)
    return Section(
        "pruned",
        "Dropping outliers by moments",
        paragraphs(
            """
            The paper leaves to future work the removal of synthetic images whose moments lie outside the real ones. It
            is tried here. It takes away what lies too far out, and tails that real images have as well: precision
            tends to gain, variety is lost, and agreement may go either way. All scores have the same number of images.
            """
        ),
        rows,
        [("Scores", text)],
        [("pruning_scores", pruning_figure(rows), caption, rows)],
        values,
    )


def pruning_figure(rows: pd.DataFrame) -> Figure:
    """Every score over the share of images dropped: rows of `memorization.pruning`."""
    names = list(dict.fromkeys(rows["score"]))
    figure, axes = plt.subplots(2, -(-len(names) // 2), figsize=(9.5, 4.2), layout="constrained", sharex=True)
    for name, axis in zip(names, axes.flat, strict=False):
        chosen = rows[rows["score"] == name]
        axis.errorbar(100 * chosen["share"], chosen["value"], chosen["sd"].fillna(0), color=SYNTHETIC, marker="o", ms=3)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    axes[-1, 0].set_xlabel("synthetic images dropped, %", fontsize=8)
    return figure


def hidden_figure(_: pd.DataFrame) -> Figure:
    """What stands in the place of pairs with real images."""
    return style.empty("Real images of people are not shown.")


SECTIONS: tuple[Callable[[Comparison], Section], ...] = (texture, features, memorization, pruned)
# How each figure is drawn again from the data behind it, without an image.
DRAWN: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "texture": texture_figure,
    "spectra": spectra_figure,
    "frechet": frechet_figure,
    "worst": hidden_figure,
    "pruning_scores": pruning_figure,
}


def keep(comparison: Comparison, folder: Path) -> dict[str, dict[str, Any]]:
    """Write all sections to a new folder, from which `kept` reads them where the images are not at hand.

    Returns their values, as `Section.values` of all.

    NAME.json has words, tables and values of each section, NAME.csv its numbers, and there is the data of each figure.
    No image is among them.
    """
    folder.mkdir(parents=True)
    values: dict[str, dict[str, Any]] = {}
    for section in (measure(comparison) for measure in SECTIONS):
        content = {
            "title": section.title,
            "text": section.text,
            "tables": [(caption, table.to_dict("list")) for caption, table in section.tables],
            "pictures": [(name, caption) for name, _, caption, _ in section.pictures],
            "values": section.finite,
        }
        write_json(folder / f"{section.name}.json", content)
        for name, data in ((section.name, section.rows), *((name, data) for name, _, _, data in section.pictures)):
            data.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        values |= section.values
    return values


def kept(folder: Path, name: str) -> Section:
    """A section that `keep` wrote, its figures drawn again.

    Raises:
        FileNotFoundError: it wrote none.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; export the run again with `mammogan reference`.")
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = {part: pd.read_csv(folder / f"{part}.csv") for part in (name, *(part for part, _ in content["pictures"]))}
    return Section(
        name,
        content["title"],
        tuple(content["text"]),
        rows[name],
        [(caption, pd.DataFrame(table)) for caption, table in content["tables"]],
        [(part, DRAWN[part](rows[part]), caption, rows[part]) for part, caption in content["pictures"]],
        content["values"],
    )
