"""Sections on texture and features: sliced Wasserstein distance, spectra, precision, recall, FID, KID."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.data.images import Subset
from mammogan.errors import ParameterError
from mammogan.metrics.distances import NORMALIZATIONS
from mammogan.metrics.features import ALIKE, Feature, extract, gray_features, standardizer
from mammogan.metrics.fidelity import CENTERED, ENOUGH
from mammogan.metrics.moments import used_levels
from mammogan.metrics.resampling import DIFFERENCE, ResamplingDesign, scored, shuffled
from mammogan.metrics.spectrum import image_spectra, spectral_distance
from mammogan.metrics.ssim import Diversity, diversity
from mammogan.report import style
from mammogan.report.alignment import Comparison, Section, row_values, score_table, with_interval, worded
from mammogan.report.numbers import described
from mammogan.report.results import Value
from mammogan.report.style import REAL, SYNTHETIC
from mammogan.types import ImageStack

DRAWS = 8  # draws per interval and ceiling of texture: each compares patches of many images
MOST = 1000  # images per side: 128 patches per level of each are in memory
FINEST = 0.375  # cycles per pixel, where the finest quarter of the frequencies begins
FLOOR = "real against real"  # name of the score between real images where it is a distance, and so not a ceiling
FEATURES = "five moments, the spectrum in 8 bands and 10 x 8 cells of gray: not Inception"


def both_stacks(comparison: Comparison) -> tuple[ImageStack, ImageStack]:
    """Return the two sets of images.

    Raises:
        ParameterError: the comparison has moments and no images.
    """
    if comparison.images is None:
        raise ParameterError("These measures use images; give the two sets of images with their moments.")
    return comparison.images


class Sample(NamedTuple):
    """Images that a section uses, and the design of their comparison."""

    real: Subset
    synthetic: Subset
    design: ResamplingDesign


def sampled(comparison: Comparison, draws: int) -> Sample:
    """Draw the images that a section uses, with at most `draws` draws per interval, which are expensive here.

    All images are used where these are few enough; otherwise `MOST` synthetic images, and as many real ones for each
    side of the ceiling, drawn at random by patient.

    Raises:
        ParameterError: the comparison has moments and no images.
    """
    design, stacks = comparison.design, both_stacks(comparison)
    real, synthetic = np.arange(len(design.groups)), np.arange(design.synthetic)
    if design.size > MOST or len(real) > 2 * MOST:
        rng = np.random.default_rng([design.seed, 9])
        real = np.sort(shuffled(design.groups, rng)[: 2 * MOST])
        synthetic = np.sort(rng.choice(synthetic, min(MOST, design.size), replace=False))
        design = replace(design, patients=design.groups[real], synthetic=len(synthetic))
    design = replace(design, draws=min(design.draws, draws), splits=min(design.splits, draws))
    return Sample(Subset(stacks[0], real), Subset(stacks[1], synthetic), design)


def features_of(sample: Sample, bits: int, feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of both sets of a sample, (n, d) and (m, d)."""
    return extract(sample.real, bits, feature), extract(sample.synthetic, bits, feature)


def standardized(first: np.ndarray, second: np.ndarray, feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    """Return features of the real (n, d) and synthetic set (m, d) in units of the real set's standard deviation.

    Cells and bands of `gray_features` have the least scale of `standardizer`.
    """
    scale = standardizer(first, ALIKE if feature is gray_features else ())
    return scale(first), scale(second)


def mean_spectra(sample: Sample, bits: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return mean radial power spectra, and their distance.

    Returns:
        frequency (cycles per pixel), real and synthetic (mean power); one row as from `resampling.scored`, in dB.
    """
    white = (2**bits - 1) ** 2
    frequency, power = image_spectra(sample.real)
    first, second = power / white, image_spectra(sample.synthetic)[1] / white
    rows, other_rows = sample.design.compared
    means = {"real": first[rows].mean(0), "synthetic": second[other_rows].mean(0)}
    apart = scored(first, second, lambda x, y: {"spectra apart, dB": spectral_distance(x, y)}, sample.design)
    return pd.DataFrame({"frequency": frequency, **means}), apart


def set_similarity(sample: Sample, bits: int) -> dict[str, Diversity]:
    """Return the mean MS-SSIM between random images of each set, real and synthetic."""
    rows, other_rows = sample.design.compared
    seed, patients = sample.design.seed, sample.design.groups[rows]
    return {
        "real": diversity(sample.real.chosen(rows), bits, seed=seed, groups=patients),
        "synthetic": diversity(sample.synthetic.chosen(other_rows), bits, seed=seed),
    }


def gray_levels(sample: Sample, bits: int) -> tuple[dict[str, float], pd.DataFrame]:
    """Return how many gray levels the images of each set use, and by how many bits the two differ.

    Returns:
        median number per image of the real and of the synthetic images; one row as from `resampling.scored`: log2 of
        the synthetic median less that of the real one, 0 on average between two real sets.
    """
    real, synthetic = (used_levels(images, bits) for images in (sample.real, sample.synthetic))
    rows, other_rows = sample.design.compared
    name = "gray levels used, bits more"

    def more(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
        return {name: float(np.log2(np.median(second) / np.median(first)))}

    medians = {"real": float(np.median(real[rows])), "synthetic": float(np.median(synthetic[other_rows]))}
    return medians, scored(real, synthetic, more, sample.design, centered=[name])


def top_power(radial: pd.DataFrame) -> float:
    """Return by how many dB synthetic images have more power than real ones in the finest quarter of the frequencies.

    Args:
        radial: mean spectra, columns frequency, real and synthetic; NaN where there is no power.
    """
    power = radial.loc[radial["frequency"] > FINEST, ["real", "synthetic"]].sum()
    return float(10 * np.log10(power["synthetic"] / power["real"])) if power.min() > 0 else np.nan


def texture_section(
    design: ResamplingDesign,
    distances: pd.DataFrame,
    similarity: dict[str, Diversity],
    spectra: tuple[pd.DataFrame, pd.DataFrame],
    levels: tuple[dict[str, float], pd.DataFrame],
) -> Section:
    """Return sliced Wasserstein distance by scale, spectra, similarity within each set, and gray levels used.

    Args:
        design: images compared.
        distances: rows of `distances.sliced_wasserstein_table`.
        similarity: result of `set_similarity`.
        spectra: result of `mean_spectra`.
        levels: result of `gray_levels`.
    """
    values: dict[str, Value] = {}
    for row in distances.to_dict("records"):
        key = f"swd.{row['size'].replace(' ', '')}.{row['normalization']}"
        values |= row_values(key, row, meaning=NORMALIZATIONS[row["normalization"]])
    alike = []
    for kind, one in similarity.items():
        values |= described("alignment", {f"msssim.{kind}": one.similarity}, pairs=one.pairs, scales=one.scales)
        alike.append((kind, with_interval(one.similarity, 3), one.pairs, one.scales))
    radial, apart = spectra
    values |= row_values("spectrum", apart.iloc[0]) | described("alignment", {"spectrum.top": top_power(radial)})
    used, change = levels
    more = change[list(DIFFERENCE)].iloc[0].tolist()
    values |= described("alignment", {f"levels.{kind}": count for kind, count in used.items()})
    values |= described("alignment", {"levels.difference": more}, n_ceiling=change["n_ceiling"].iloc[0])
    facts = {"n": design.size, "half": design.half, "seed": design.seed}
    finest = distances[distances["normalization"] == "real"].iloc[0]["size"]
    values |= described("alignment", {f"texture.{key}": fact for key, fact in facts.items()} | {"swd.finest": finest})
    values["swd.finest.ratio"] = values[f"swd.{finest.replace(' ', '')}.real.ratio"]
    tables = {
        "Distance by level": score_table(distances, ["size", "normalization"], 1, FLOOR, higher=False),
        "Similarity": pd.DataFrame(alike, columns=["set", "MS-SSIM", "pairs", "scales"]),
        "Spectra": score_table(apart, ["measure"], 2, FLOOR, higher=False),
        "Gray levels": score_table(change, ["measure"], 2, FLOOR, higher=False),
    }
    pictures = {"texture": (texture_figure(distances), distances), "spectra": (spectra_figure(radial), radial)}
    return worded("texture", distances, tables, pictures, values, **facts)


def texture_figure(rows: pd.DataFrame) -> Figure:
    """Draw distance by level from rows of `distances.sliced_wasserstein_table`."""
    figure, axis = plt.subplots(figsize=(style.WIDTH, 3.6), layout="constrained")
    sizes = list(dict.fromkeys(rows["size"]))
    for number, (name, marker) in enumerate(zip(NORMALIZATIONS, "os", strict=True)):
        chosen = rows[rows["normalization"] == name]
        at = np.arange(len(sizes)) + 0.16 * (number - 0.5)
        middle = chosen["ceiling"].to_numpy()
        reach = [middle - chosen["ceiling_low"], chosen["ceiling_high"] - middle]
        axis.errorbar(at, middle, reach, fmt=marker, color=REAL, ms=5, label=f"{FLOOR}, {name} scale")
        axis.plot(at, chosen["score_n"], marker, color=SYNTHETIC, ms=6, label=f"synthetic, {name} scale")
    axis.set_xticks(range(len(sizes)), sizes)
    axis.set(xlabel="level, pixels", ylabel="sliced Wasserstein distance x 1000")
    axis.set_ylim(0)
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def spectra_figure(radial: pd.DataFrame) -> Figure:
    """Draw mean radial spectra from columns frequency, real, synthetic."""
    return style.spectra(radial["frequency"].to_numpy(), {name: radial[name].to_numpy() for name in radial})


def features_section(
    design: ResamplingDesign, measures: pd.DataFrame, frechet: pd.DataFrame, feature: str = FEATURES
) -> Section:
    """Return precision, recall, density, coverage, KID and FID, and how FID depends on the number of images.

    Args:
        design: images compared.
        measures: rows of `fidelity.fidelity_table`.
        frechet: FID by number of images, from `fidelity.frechet_extrapolated`.
        feature: name of the feature, as the reader sees it.
    """
    values = described("alignment", {"features.n": design.size, "features.seed": design.seed})
    for row in measures.to_dict("records"):
        key = row["measure"].replace(", infinite n", ".infinite").lower()
        values |= row_values(f"features.{key}", row, feature=feature)
        if row["measure"] in CENTERED:
            number = {f"features.{key}.difference": [row[name] for name in DIFFERENCE]}
            values |= described("alignment", number, **row)
    tables = {"Measures": score_table(measures, ["measure", "better"], 3, FLOOR, higher=measures["better"] == "higher")}
    pictures = {"frechet": (frechet_figure(frechet), frechet)}
    facts = {"feature": feature, "most": frechet["n"].max(), "seed": design.seed, "enough": ENOUGH}
    return worded("features", measures, tables, pictures, values, **facts)


def frechet_figure(table: pd.DataFrame) -> Figure:
    """Draw FID against one over the number of images and its extrapolation, from columns n and distance."""
    figure, axis = plt.subplots(figsize=(style.WIDTH, 3.2), layout="constrained")
    inverse = 1 / table["n"]
    axis.plot(inverse, table["distance"], "o", color=SYNTHETIC)
    slope, intercept = np.polyfit(inverse, table["distance"], 1)
    line = np.array([0, inverse.max()])
    axis.plot(line, intercept + slope * line, color=SYNTHETIC, lw=1)
    axis.axhline(0, color="0.7", lw=0.8)
    axis.set(xlabel="1 / n", ylabel="FID of n + n images", xlim=(-0.02 * inverse.max(), None))
    return figure
