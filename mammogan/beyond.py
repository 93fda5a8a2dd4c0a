"""What moments cannot see, section by section: texture, features, copies, and what it does to drop outliers.

Sections as those of `mammogan.alignment`, of the same images. Every number stands beside real images against real ones
at the same number of images a side.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan import plots
from mammogan.alignment import Comparison, Section, paragraphs, shown, summary_values
from mammogan.artifacts.candidates import outlyingness
from mammogan.metrics.coverage import SCORE_GRID
from mammogan.metrics.density import Grid, density, jensen_shannon
from mammogan.metrics.distances import NORMALIZATIONS, diversity, sliced_wasserstein_table
from mammogan.metrics.features import Feature, Standardizer, extract, grey_features, pixel_features
from mammogan.metrics.fidelity import fidelity_table, frechet_distance, frechet_extrapolated, kernel_distance, manifold
from mammogan.metrics.memorisation import audit, pairs_figure, pruning
from mammogan.metrics.moments import PAIRS
from mammogan.metrics.resampling import FEW, Plan, scored, shuffled
from mammogan.metrics.spectrum import image_spectra, spectral_distance
from mammogan.plots import REAL, SYNTHETIC
from mammogan.results import write_json

DRAWS = 8  # behind intervals and ceilings of texture: patches of many images are compared in each
MOST = 1000  # images a side: 128 patches a level of each are in memory
REFERENCE = "real against real"  # what stands where scores have a ceiling: of a distance it is a floor
FACTS = {
    "n": "images a side",
    "half": "images a side of the ceilings",
    "synthetic": "synthetic images searched",
    "training": "training images searched",
    "seed": "seed of all draws",
}
FEATURES = "five moments, the spectrum in 8 bands and 10 x 8 cells of grey: not Inception"


class Rows:
    """Some images of an array, read only when they are asked for; (n, h, w)."""

    def __init__(self, images: Any, rows: np.ndarray) -> None:
        self.images, self.rows = images, rows
        self.shape, self.dtype = (len(rows), *images.shape[1:]), images.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, rows: np.ndarray) -> Rows:
        """Some of these."""
        return Rows(self.images, self.rows[rows])

    def __getitem__(self, key: int | slice) -> np.ndarray:
        chosen = self.rows[key]
        if np.ndim(chosen) == 0:
            return np.asarray(self.images[int(chosen)])
        return np.stack([np.asarray(self.images[int(row)]) for row in chosen])


def sampled(comparison: Comparison, draws: int) -> tuple[Rows, Rows, Plan]:
    """The images that a section looks at, and which of them it compares.

    All images and the plan of the comparison, where these are few enough. Otherwise `MOST` synthetic images, and as
    many real ones for each side of the ceiling, drawn at random by patient.

    Args:
        comparison: of images.
        draws: behind an interval, at most: every draw takes a pass over patches or features.

    Raises:
        ValueError: the comparison has moments and no images.
    """
    if comparison.images is None:
        raise ValueError("These measures look at images; give the two sets of images with their moments.")
    plan, (first, second) = comparison.plan, comparison.images
    few = min(plan.draws, draws), min(plan.splits, draws)
    real, synthetic = np.arange(len(plan.groups)), np.arange(plan.synthetic)
    if plan.size <= MOST and len(real) <= 2 * MOST:
        # The same images as in every other section.
        return Rows(first, real), Rows(second, synthetic), replace(plan, draws=few[0], splits=few[1])
    rng = np.random.default_rng([plan.seed, 9])
    real = np.sort(shuffled(plan.groups, rng)[: 2 * MOST])
    synthetic = np.sort(rng.choice(synthetic, min(MOST, plan.size), replace=False))
    chosen = Plan(plan.groups[real], len(synthetic), plan.n, seed=plan.seed, draws=few[0], splits=few[1])
    return Rows(first, real), Rows(second, synthetic), chosen


def stated(name: str, **facts: int) -> dict[str, dict[str, Any]]:
    """What the caption of a section's figure needs, for `Section.values`: some of `FACTS`."""
    return {f"{name}.{key}": {"value": value, "label": FACTS[key]} for key, value in facts.items()}


def standardized(real: Rows, synthetic: Rows, bits: int, feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    """Features of both sets, in units of the real set's spread; (n, d) and (m, d)."""
    first, second = (extract(images, bits, feature) for images in (real, synthetic))
    scale = Standardizer.fit(first)
    return scale(first), scale(second)


def texture(comparison: Comparison) -> Section:
    """Sliced Wasserstein distance by scale, spectrum, and how alike the images of each set are."""
    real, synthetic, plan = sampled(comparison, DRAWS)
    bits, seed = comparison.bits, plan.seed
    rows = sliced_wasserstein_table(real, synthetic, bits, plan)
    values: dict[str, dict[str, Any]] = {}
    for row in rows.itertuples():
        label = f"SWD x 1000, {row.size}, {row.normalization} scale"
        key = f"swd.{row.size.replace(' ', '')}.{row.normalization}"
        values |= summary_values(key, row, label, NORMALIZATIONS[row.normalization], ".1f")
    a, b = real.chosen(plan.compared[0]), synthetic.chosen(plan.compared[1])
    alike = {
        "real": diversity(a, bits, seed=seed, groups=plan.groups[plan.compared[0]]),
        "synthetic": diversity(b, bits, seed=seed),
    }
    for name, found in alike.items():
        values[f"msssim.{name}"] = {
            "value": found.similarity,
            "interval": (found.low, found.high),
            "fmt": ".3f",
            "label": f"MS-SSIM between {name} images",
            "how": f"{found.pairs} disjoint pairs, {found.scales} scales; higher is less diverse",
        }
    top = 2**bits - 1
    frequency, power = image_spectra(real)
    spectra = [power / top**2, image_spectra(synthetic)[1] / top**2]
    apart = scored(spectra[0], spectra[1], lambda x, y: {"spectra apart, dB": spectral_distance(x, y)}, plan)
    how = "root mean square over the bins of the mean radial spectra"
    values |= summary_values("spectrum", next(apart.itertuples()), "spectra apart, dB", how, ".2f")
    means = [x[chosen].mean(0) for x, chosen in zip(spectra, plan.compared, strict=True)]
    radial = pd.DataFrame(dict(zip(("frequency", "real", "synthetic"), (frequency, *means), strict=True)))
    similarity = pd.DataFrame(
        [
            (name, f"{found.similarity:.3f} ({found.low:.3f} to {found.high:.3f})", found.pairs, found.scales)
            for name, found in alike.items()
        ],
        columns=["set", "MS-SSIM", "pairs", "scales"],
    )
    caption = (
        f"Sliced Wasserstein distance by level of the Laplacian pyramid at {plan.half} images a side; bars are the "
        f"central 95 % between real images. Seed {seed}."
    )
    values |= stated("texture", n=plan.size, half=plan.half, seed=seed)
    finest = rows[rows["normalization"] == "real"].iloc[0]
    values["swd.finest"] = {"value": finest["size"], "label": "finest level", "how": "pixels"}
    values["swd.finest.ratio"] = values[f"swd.{finest['size'].replace(' ', '')}.real.ratio"]
    return Section(
        "texture",
        "Texture and sharpness by scale",
        paragraphs(
            """
            The sliced Wasserstein distance compares 7 x 7 patches at each level of a Laplacian pyramid, along random
            directions: fine levels see noise and sharpness, the coarsest one shape and brightness. The original
            normalizes each set by its own mean and deviation, which hides gain and contrast; normalized by the real set
            both show. Lower is closer, and real images have the distance given beside it.

            MS-SSIM between random images of one set measures diversity: a generator that draws few images over and over
            has a higher value than real images do.
            """
        ),
        rows,
        [
            ("Distance by level", shown(rows, ["size", "normalization"], 1, REFERENCE)),
            ("Similarity", similarity),
            ("Spectra", shown(apart, ["measure"], 2, REFERENCE)),
        ],
        [
            ("texture", texture_figure(rows), caption, rows),
            ("spectra", spectra_figure(radial), f"Radial spectra, {plan.size} images a set. Seed {seed}.", radial),
        ],
        values,
    )


def texture_figure(rows: pd.DataFrame) -> Figure:
    """Distance by level: rows of `distances.sliced_wasserstein_table`."""
    figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    sizes = list(dict.fromkeys(rows["size"]))
    for number, (name, marker) in enumerate(zip(NORMALIZATIONS, "os", strict=True)):
        chosen = rows[rows["normalization"] == name]
        at = np.arange(len(sizes)) + 0.16 * (number - 0.5)
        middle = chosen["ceiling"].to_numpy()
        reach = [middle - chosen["ceiling_low"], chosen["ceiling_high"] - middle]
        axis.errorbar(at, middle, reach, fmt=marker, color=REAL, ms=5, label=f"real against real, {name} scale")
        axis.plot(at, chosen["score_n"], marker, color=SYNTHETIC, ms=6, label=f"synthetic, {name} scale")
    axis.set_xticks(range(len(sizes)), sizes)
    axis.set(xlabel="level, pixels", ylabel="sliced Wasserstein distance x 1000")
    axis.set_ylim(0)
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def spectra_figure(radial: pd.DataFrame) -> Figure:
    """Mean radial spectra: columns frequency, real, synthetic."""
    return plots.spectra(radial["frequency"].to_numpy(), {name: radial[name].to_numpy() for name in radial})


def features(comparison: Comparison, feature: Feature = grey_features, name: str = FEATURES) -> Section:
    """Precision, recall, density, coverage, KID and FID, with the bias of the number of images shown.

    Args:
        comparison: of images.
        feature: see `mammogan.metrics.features`; `torchscript_feature` brings a network.
        name: of the feature, for the reader.
    """
    real, synthetic, plan = sampled(comparison, 2 * FEW)
    a, b = standardized(real, synthetic, comparison.bits, feature)
    rows = fidelity_table(a, b, plan)
    found = frechet_extrapolated(a[plan.compared[0]], b[plan.compared[1]], seed=plan.seed)
    values = stated("features", n=plan.size, seed=plan.seed)
    for row in rows.itertuples():
        key = row.measure.replace(", infinite n", ".infinite").lower()
        values |= summary_values(f"features.{key}", row, row.measure, name)
    caption = (
        f"FID falls with the number of images, whatever the generator: its value at 1 / n = 0 is the one to compare. "
        f"Features: {name}. Up to {found.table['n'].max()} images a set, seed {plan.seed}."
    )
    return Section(
        "features",
        "Precision, recall, density, coverage, KID and FID",
        paragraphs(
            f"""
            Features: {name}; standardized by the real images. A FID of these is no number to set beside another
            paper's, and with any features FID depends on the number of images: its bias is shown, and taken out by
            extrapolation to infinitely many. KID has no such bias, and may be negative.

            Precision and density say how many synthetic images lie where real ones do, recall and coverage how much of
            the real images' variety is reached. Higher is better for these four, lower for KID and FID.
            """
        ),
        rows,
        [("Measures", shown(rows, ["measure", "better"], 3, REFERENCE))],
        [("frechet", frechet_figure(found.table), caption, found.table)],
        values,
    )


def frechet_figure(table: pd.DataFrame) -> Figure:
    """FID over one over the number of images, with the line that is extrapolated: columns n, distance."""
    figure, axis = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    inverse = 1 / table["n"]
    axis.plot(inverse, table["distance"], "o", color=SYNTHETIC)
    slope, intercept = np.polyfit(inverse, table["distance"], 1)
    line = np.array([0, inverse.max()])
    axis.plot(line, intercept + slope * line, color=SYNTHETIC, lw=1)
    axis.axhline(0, color="0.7", lw=0.8)
    axis.set(xlabel="1 / n", ylabel="FID of n + n images", xlim=(-0.02 * inverse.max(), None))
    return figure


def memorisation(comparison: Comparison) -> Section:
    """Are there copies of training images among the synthetic ones?

    Args:
        comparison: of images; all real images are searched, not only those compared. Where the generator was trained
            on all of them, each patient is held out in turn.
    """
    if comparison.images is None:
        raise ValueError("These measures look at images; give the two sets of images with their moments.")
    bits, seed = comparison.bits, comparison.plan.seed
    synthetic_rows = comparison.plan.compared[1]
    pictures = comparison.images[0], Rows(comparison.images[1], synthetic_rows)
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
        f"memorisation.{key}": {"value": value, "interval": (low, high), "fmt": ".3f", "label": label, "how": how}
        for key, ((value, low, high), label, how) in triples.items()
    }
    values |= stated("memorisation", synthetic=len(synthetic), training=int(trained.sum()), seed=seed)
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
        "memorisation",
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
    a, b = standardized(real, synthetic, comparison.bits, grey_features)
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
    """Every score over the share of images dropped: rows of `memorisation.pruning`."""
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
    return plots.empty("Real images of people are not shown.")


SECTIONS: tuple[Callable[[Comparison], Section], ...] = (texture, features, memorisation, pruned)
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
