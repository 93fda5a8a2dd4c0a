"""Inspection chapter: two sets of images as tables, which remain without the images; numbers and figures from them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy import stats

from mammogan.artifacts.blobs import FIELD_MM, compare_blobs, count_blobs, scales
from mammogan.artifacts.detectors import DETECTORS, Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.artifacts.inspection import picture
from mammogan.artifacts.labels import THRESHOLD
from mammogan.data.images import Images
from mammogan.metrics.resampling import numbered
from mammogan.metrics.spectrum import radial_power_spectrum
from mammogan.paper import printed
from mammogan.report import kept
from mammogan.report.html import render
from mammogan.report.numbers import keep
from mammogan.report.results import Results, Value
from mammogan.report.style import REAL, SYNTHETIC, WIDTH
from mammogan.stats.proportions import exact_interval
from mammogan.types import ImageStack

TABLES = {  # columns of numbers that every version of a table has
    "synthetic": ("index", "any", "distance", "ratio"),
    "real": ("any", "distance", "ratio"),
    "spectra": ("frequency", "real", "synthetic"),
    "spots": ("diameter_mm", "contrast", "brightness"),
    "counts": ("patient", "spots", "smallest_mm"),
}
COLORS = {"real": REAL, "synthetic": SYNTHETIC}
FEWEST = 4  # distinct sizes of spots from which a histogram is drawn
STEPS = {"hue": "set", "palette": COLORS, "stat": "percent", "common_norm": False, "element": "step", "fill": False}


def compare_images(
    real: Images, synthetic: Images, *, most: int = 1000, most_real: int = 2000, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Compare two sets of images of one size by detectors, spectra and bright spots.

    Args:
        real, synthetic: images.
        most: the first synthetic images that are studied.
        most_real: real images that they are compared with, drawn at random.
        seed: random seed of the draw of real images.

    Returns:
        synthetic: one row per image: index, view, surprise to each detector and "any", nearest (index of the nearest
        real image by thumbnail), distance (to it and the next two), ratio (of distance to the median among real
        images).
        real: the same of the real images without index and nearest, each judged by those of other patients.
        spectra: frequency (cycles per pixel), real, synthetic (mean power).
        spots: one row per spot: set, diameter_mm, contrast, brightness.
        counts: one row per image: set, patient (a number), spots, smallest_mm (diameter that this grid resolves).
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(real))[:most_real])
    judges, judged = real.take(rows), synthetic.take(np.arange(min(len(synthetic), most)))
    reference, facts = (facts_table(images.pixels, images.bits) for images in (judges, judged))
    detectors = Detectors(reference, judges.patients, judges.views)
    own = detectors.distance(reference, detectors.patients)
    scores, controls = detectors.scores(facts, judged.views), detectors.own_scores()
    scores.insert(0, "index", np.arange(len(judged)))
    scores.insert(1, "view", judged.views)
    controls.insert(0, "view", judges.views)
    scores["nearest"], scores["distance"] = rows[detectors.nearest(facts)], detectors.distance(facts)
    controls["distance"] = own
    spectra, parts = pd.DataFrame(), []
    for name, images, part in (("real", judges, controls), ("synthetic", judged, scores)):
        part["ratio"] = part["distance"] / np.median(own)
        spectra["frequency"], power = radial_power_spectrum(images.pixels)
        spectra[name] = power / (2**images.bits - 1) ** 2
        parts.append(_spots(images, name))
    spots, counts = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    return {"synthetic": scores, "real": controls, "spectra": spectra, "spots": spots, "counts": counts}


def _spots(images: Images, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of spots and of counts of one set; see `compare_images`."""
    height, spacing = images.size[0], images.spacing_mm
    spots, number = count_blobs(images.pixels, images.bits, spacing)
    pixel = float(np.median(np.where(np.isfinite(spacing), spacing, FIELD_MM / height)))
    smallest = 2 * np.sqrt(2) * scales(height, pixel)[0] * pixel
    patients = numbered(images.patients)
    counts = pd.DataFrame({"set": name, "patient": patients, "spots": number, "smallest_mm": smallest})
    return spots.assign(set=name)[["set", "diameter_mm", "contrast", "brightness"]], counts


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write the tables as CSV with six significant digits; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        tables[name].to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return folder


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read what `write_tables` wrote; InputError where a file is missing or damaged."""
    options: dict[str, Any] = {"keep_default_na": False, "na_values": {"ratio": ""}}
    return {name: kept.table(folder / f"{name}.csv", numbers, **options) for name, numbers in TABLES.items()}


def detectors_of(scores: pd.DataFrame) -> list[str]:
    """Return the detectors whose surprises a table has; one of an earlier version lacks later detectors."""
    return [name for name in DETECTORS if name in scores]


# Numbers and tables of the chapter: each function keeps its numbers in the results that it is given.


def paper_rates(results: Results) -> None:
    """Work out the paper's rates of artifacts with exact intervals, and compare its two views."""
    counts, total = printed.ARTIFACTS, printed.INSPECTED
    for view, rate in (("CC", 6.4), ("MLO", 13.6)):
        _, low, high = exact_interval(counts[view], total)
        value = Value(
            100 * counts[view] / total, (100 * low, 100 * high), rate, printed.TOLERANCES["artifacts"].value, "print"
        )
        keep(results, {f"paper.{view}": value}, count=counts[view], inspected=total)
    p = float(stats.fisher_exact([[counts[view], total - counts[view]] for view in ("MLO", "CC")]).pvalue)
    ratio = Value(counts["MLO"] / counts["CC"], paper=2, tolerance=printed.TOLERANCES["ratio"].value, basis="print")
    keep(results, {"paper.ratio": ratio, "paper.fisher": p})


def flagged(results: Results, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the share of images that each detector flags: detector, kind, flagged, images, share, low, high."""
    rows = []
    for detector, kind in product((*detectors_of(tables["real"]), "any"), COLORS):
        surprise = tables[kind][detector]
        number = int((surprise >= THRESHOLD).sum())
        rows.append((detector, kind, number, len(surprise), *exact_interval(number, len(surprise))))
    flags = pd.DataFrame(rows, columns=["detector", "kind", "flagged", "images", "share", "low", "high"])
    shares = 100 * flags.set_index(["detector", "kind"])[["share", "low", "high"]]
    for kind, end in (("real", ".real"), ("synthetic", "")):
        named = {"outliers": "moments", "flagged": "any"}
        keep(results, {key + end: shares.loc[(detector, kind)].tolist() for key, detector in named.items()})
        keep(results, {f"n{end}": len(tables[kind])})
    return flags


def flagged_figure(flags: pd.DataFrame) -> Figure:
    """Draw the shares of images flagged with their intervals, from `flagged`, of detectors that flag any."""
    shares = flags.pivot(index="detector", columns="kind", values="share")
    names = list(shares[shares.max(axis=1) > 0].sort_values("synthetic", ascending=False, kind="stable").index)
    end = 100 * float(flags["high"].max())
    figure, axis = plt.subplots(figsize=(WIDTH, 0.4 * len(names) + 0.8), layout="constrained")
    for kind, offset, marker in (("real", -0.15, "o"), ("synthetic", 0.15, "s")):
        part = 100 * flags[flags["kind"] == kind].set_index("detector").loc[names, ["share", "low", "high"]]
        spread = np.abs(part[["low", "high"]].T.to_numpy() - part["share"].to_numpy())
        rows = np.arange(len(names)) + offset
        axis.errorbar(part["share"], rows, xerr=spread, fmt=marker, ms=4, color=COLORS[kind], label=kind, capsize=2)
        for row, share, high in zip(rows, part["share"], part["high"], strict=True):
            axis.text(high + 0.015 * end, row, f"{share:.1f}", va="center", color=COLORS[kind])
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="images flagged, %", xlim=(-0.02 * end, 1.08 * end))
    axis.legend(loc="lower right")
    return figure


def ranked(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the synthetic images by the sum of their surprises, greatest first.

    The surprise to a single detector is the same for many images where one fault is common, and would not rank them.

    Returns:
        `scores` with the columns by (the detector that is most surprised) and total (sum over the detectors).
    """
    names = detectors_of(scores)
    surprises = scores[names].to_numpy(float)
    ranks = scores.assign(by=np.array(names)[surprises.argmax(1)], total=surprises.sum(1))
    return ranks.sort_values("total", ascending=False, kind="stable")


def random_images(images: ImageStack, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` images (N, h, w) at random, or all where there are fewer; (n, h, w), in their order."""
    chosen = np.sort(rng.choice(len(images), min(count, len(images)), replace=False))
    return np.stack([images[int(i)] for i in chosen])


def gray_levels(images: np.ndarray) -> pd.DataFrame:
    """Return mean and standard deviation of the gray levels of images (n, h, w)."""
    return pd.DataFrame({"mean gray": images.mean((1, 2)), "sd": images.std((1, 2))})


def changes(path: np.ndarray, bits: int) -> pd.DataFrame:
    """Return the mean absolute change from each image (n, h, w) of `bits` bits to the next, of full range."""
    change = np.abs(np.diff(path.astype(float), axis=0)).mean((1, 2)) / (2**bits - 1)
    return pd.DataFrame({"step": np.arange(1, len(path)), "mean absolute change": change})


def gallery(name: str, pictures: Iterable[tuple[np.ndarray, str]], bits: int) -> str:
    """Return a row of small pictures that a click enlarges, with their gray levels unchanged, as HTML.

    Args:
        name: name of the row, unique on its page: letters and digits.
        pictures: image (h, w), shown linear from black to white in 8 bits, and caption of each.
        bits: bits per pixel.
    """
    encoded = []
    for image, caption in pictures:
        stream = io.BytesIO()
        picture(np.asarray(image), bits).save(stream, "PNG", optimize=True)
        encoded.append((base64.b64encode(stream.getvalue()).decode(), image.shape, caption))
    return render("gallery.html", name=name, pictures=encoded)


def surprise_text(surprise: float) -> str:
    """Return a surprise as captions print it; far beyond all real images its size says nothing."""
    return f"{surprise:.1f}" if surprise < 100 else "> 99"


def ranked_gallery(order: pd.DataFrame, images: ImageStack, bits: int, real: ImageStack | None = None) -> str:
    """Return the best, median and worst images as HTML, each followed by its nearest real image where these are given.

    Args:
        order: images in the order of `ranked`.
        images: synthetic images (N, h, w).
        bits: bits per pixel.
        real: real images (N, h, w) that may be shown.
    """
    middle = len(order) // 2
    rows = {"best": order[::-1][:6], "median": order[::-1][middle - 3 : middle + 3], "worst": order[:6]}
    parts = []
    for name, part in rows.items():
        pictures = []
        for row in part.itertuples():
            pictures.append((images[int(row.index)], f"{name}: {surprise_text(row.total)}, {row.ratio:.2f}"))
            if real is not None:
                pictures.append((real[int(row.nearest)], "nearest real image"))
        parts.append(gallery(name, pictures, bits))
    return "".join(parts)


def detector_gallery(scores: pd.DataFrame, images: ImageStack, bits: int) -> str:
    """Return the two images that surprise each detector most as HTML, without those that do not surprise it."""
    first = [(name, i) for name in detectors_of(scores) for i in scores[name].to_numpy(float).argsort()[::-1][:2]]
    first = [(name, i) for name, i in first if scores[name][i] >= 1]  # as unusual as one real image in ten
    pictures = [(images[int(scores["index"][i])], f"{name} {surprise_text(scores[name][i])}") for name, i in first]
    return gallery("failures", pictures, bits)


def nearest_distances(results: Results, tables: dict[str, pd.DataFrame]) -> None:
    """Summarize the distances of synthetic images from the nearest real ones, and those among real images."""
    ratio, own = (tables[kind]["ratio"].to_numpy(float) for kind in ("synthetic", "real"))
    numbers = {"median": np.median(ratio), "lowest": ratio.min(), "lowest_real": own.min()}
    keep(results, {f"distance.{key}": float(number) for key, number in numbers.items()})


def spots_compared(results: Results, tables: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Compare number, size, contrast and brightness of bright spots; see `blobs.compare_blobs` for the table."""
    counts, spots = (dict(iter(tables[name].groupby("set"))) for name in ("counts", "spots"))
    real, synthetic = (counts[kind]["spots"].to_numpy(int) for kind in COLORS)
    table = compare_blobs(real, synthetic, counts["real"]["patient"].to_numpy(int), seed=seed)
    keep(results, {"spots.smallest": float(tables["counts"]["smallest_mm"].min()), "field": FIELD_MM})
    means, shares = (table[[name, f"{name}_low", f"{name}_high"]].astype(float) for name in ("mean", "share"))
    for kind in COLORS:
        numbers = {f"spots.{kind}": means.loc[kind], f"spots.{kind}.share": 100 * shares.loc[kind]}
        keep(results, {key: number.tolist() for key, number in numbers.items()})
    ratio = means.loc["ratio"].tolist()
    keep(results, {"spots.ratio": ratio if np.isfinite(ratio[0]) else "not known"})
    for name in ("diameter_mm", "brightness", "contrast"):
        a, b = (spots[k][name].to_numpy(float) if k in spots else np.zeros(0) for k in COLORS)
        keep(results, {f"spots.{name}.p": float(stats.ks_2samp(a, b).pvalue) if len(a) and len(b) else 1.0})
    return table


def spots_figure(spots: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    """Draw the number of spots per image, and the distributions of diameter, contrast and brightness."""
    # Few scales are searched, so that diameters have few values: their bars would be no distribution.
    names = [name for name in ("diameter_mm", "contrast", "brightness") if spots[name].nunique() > FEWEST]
    figure, axes = plt.subplots(1, 1 + len(names), figsize=(WIDTH, 2.9), layout="constrained", squeeze=False)
    sns.histplot(counts, x="spots", ax=axes[0, 0], discrete=True, **STEPS)
    for axis, name in zip(axes[0, 1:], names, strict=True):
        sns.histplot(spots, x=name, ax=axis, bins=12, legend=False, **STEPS)
        axis.set(xlabel=name.replace("_", ", "), ylabel="% of spots")
    axes[0, 0].set(xlabel="spots per image", ylabel="% of images")
    for axis, letter in zip(axes.flat, "abcd", strict=False):
        axis.set_title(f"({letter})", loc="left")
    return figure


def high_frequencies(results: Results, spectra: pd.DataFrame) -> None:
    """Compare the power of both sets in the highest quarter of frequencies."""
    top = spectra.iloc[-max(len(spectra) // 4, 1) :]
    keep(results, {"spectra.top": float(top["synthetic"].sum() / top["real"].sum())})
