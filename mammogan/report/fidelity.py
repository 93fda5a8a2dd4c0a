"""Sections on texture and features: sliced Wasserstein distance, spectra, precision, recall, FID, KID."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.data.images import Subset
from mammogan.metrics.distances import NORMALIZATIONS, sliced_wasserstein_table
from mammogan.metrics.features import Feature, Standardizer, extract, gray_features
from mammogan.metrics.fidelity import fidelity_table, frechet_extrapolated
from mammogan.metrics.resampling import FEW, ResamplingDesign, scored, shuffled
from mammogan.metrics.spectrum import image_spectra, spectral_distance
from mammogan.metrics.ssim import diversity
from mammogan.report import style
from mammogan.report.alignment import Comparison, Section, paragraphs, shown, summary_values
from mammogan.report.style import REAL, SYNTHETIC

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
FEATURES = "five moments, the spectrum in 8 bands and 10 x 8 cells of gray: not Inception"


def sampled(comparison: Comparison, draws: int) -> tuple[Subset, Subset, ResamplingDesign]:
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
        return Subset(first, real), Subset(second, synthetic), replace(plan, draws=few[0], splits=few[1])
    rng = np.random.default_rng([plan.seed, 9])
    real = np.sort(shuffled(plan.groups, rng)[: 2 * MOST])
    synthetic = np.sort(rng.choice(synthetic, min(MOST, plan.size), replace=False))
    chosen = ResamplingDesign(plan.groups[real], len(synthetic), plan.n, seed=plan.seed, draws=few[0], splits=few[1])
    return Subset(first, real), Subset(second, synthetic), chosen


def stated(name: str, **facts: int) -> dict[str, dict[str, Any]]:
    """What the caption of a section's figure needs, for `Section.values`: some of `FACTS`."""
    return {f"{name}.{key}": {"value": value, "label": FACTS[key]} for key, value in facts.items()}


def standardized(real: Subset, synthetic: Subset, bits: int, feature: Feature) -> tuple[np.ndarray, np.ndarray]:
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
    return style.spectra(radial["frequency"].to_numpy(), {name: radial[name].to_numpy() for name in radial})


def features(comparison: Comparison, feature: Feature = gray_features, name: str = FEATURES) -> Section:
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
