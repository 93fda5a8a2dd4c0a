"""Inspection chapter: two sets of images as tables, which remain without the images, and the numbers that follow."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.artifacts.blobs import FIELD_MM, compare_blobs, count_blobs, scales
from mammogan.artifacts.detectors import DETECTORS, Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.data.images import Images
from mammogan.metrics.spectrum import radial_power_spectrum
from mammogan.paper import printed
from mammogan.report.gallery import gallery
from mammogan.report.numbers import keep
from mammogan.report.results import Results, Value
from mammogan.stats.proportions import exact_interval
from mammogan.types import ImageStack

TABLES = ("synthetic", "real", "spectra", "spots", "counts")
FLAGGED = 2.0  # surprise from which an image is flagged: that of one real image in a hundred


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
    reference, table = facts_table(judges.pixels, judges.bits), facts_table(judged.pixels, judged.bits)
    detectors = Detectors(reference, judges.patients, judges.views)
    own = detectors.distance(reference, detectors.patients)
    scores, controls = detectors.scores(table, judged.views), detectors.own_scores()
    scores.insert(0, "index", np.arange(len(judged)))
    scores.insert(1, "view", judged.views)
    controls.insert(0, "view", judges.views)
    scores["nearest"], scores["distance"] = rows[detectors.nearest(table)], detectors.distance(table)
    controls["distance"] = own
    for part in (scores, controls):
        part["ratio"] = part["distance"] / np.median(own)
    spots, counts = zip(*(_spots(judges, "real"), _spots(judged, "synthetic")), strict=True)
    spectra = pd.DataFrame()
    for name, images in (("real", judges), ("synthetic", judged)):
        spectra["frequency"], power = radial_power_spectrum(images.pixels)
        spectra[name] = power / (2**images.bits - 1) ** 2
    spots, counts = pd.concat(spots, ignore_index=True), pd.concat(counts, ignore_index=True)
    return {"synthetic": scores, "real": controls, "spectra": spectra, "spots": spots, "counts": counts}


def _spots(images: Images, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of spots and of counts of one set; see `compare_images`."""
    height, spacing = images.size[0], images.spacing_mm
    spots, number = count_blobs(images.pixels, images.bits, spacing)
    pixel = float(np.median(np.where(np.isfinite(spacing), spacing, FIELD_MM / height)))
    smallest = 2 * np.sqrt(2) * scales(height, pixel)[0] * pixel
    patients = np.unique(images.patients, return_inverse=True)[1]
    counts = pd.DataFrame({"set": name, "patient": patients, "spots": number, "smallest_mm": smallest})
    return spots.assign(set=name)[["set", "diameter_mm", "contrast", "brightness"]], counts


def write_tables(tables: dict[str, pd.DataFrame], folder: str | Path) -> Path:
    """Write the tables as CSV with six significant digits."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        tables[name].to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return folder


def read_tables(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Read what `write_tables` wrote."""
    paths = {name: Path(folder) / f"{name}.csv" for name in TABLES}
    return {name: pd.read_csv(path, keep_default_na=False, na_values={"ratio": ""}) for name, path in paths.items()}


# Numbers and tables of the chapter: each function keeps its numbers in the results that it is given.


def paper_rates(results: Results) -> None:
    """Work out the paper's rates of artifacts with exact intervals, and compare its two views."""
    counts, total = printed.ARTIFACTS, printed.INSPECTED
    for view, rate in (("CC", 6.4), ("MLO", 13.6)):
        _, low, high = exact_interval(counts[view], total)
        value = Value(100 * counts[view] / total, (100 * low, 100 * high), rate, 0.05)
        keep(results, {f"paper.{view}": value}, count=counts[view], inspected=total)
    p = float(stats.fisher_exact([[counts[view], total - counts[view]] for view in ("MLO", "CC")]).pvalue)
    ratio = Value(counts["MLO"] / counts["CC"], paper=2, tolerance=0.5)
    keep(results, {"paper.ratio": ratio, "paper.fisher": p})


def flagged(results: Results, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the share of images that each detector flags: detector, kind, flagged, images, share, low, high."""
    rows, keys = [], {"any": "flagged", "moments": "outliers"}
    for detector, kind in product((*DETECTORS, "any"), ("real", "synthetic")):
        surprise = tables[kind][detector]
        number = int((surprise >= FLAGGED).sum())
        share = exact_interval(number, len(surprise))
        rows.append((detector, kind, number, len(surprise), *share))
        if detector in keys:
            keep(results, {keys[detector] + (".real" if kind == "real" else ""): [100 * bound for bound in share]})
    keep(results, {"n": len(tables["synthetic"]), "n.real": len(tables["real"])})
    return pd.DataFrame(rows, columns=["detector", "kind", "flagged", "images", "share", "low", "high"])


def ranked(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the synthetic images by surprise, greatest first, with the detector that is most surprised as `by`."""
    by = scores[list(DETECTORS)].to_numpy().argmax(1)
    return scores.assign(by=np.array(DETECTORS)[by]).iloc[scores["any"].to_numpy().argsort()[::-1]]


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
        pictures, captions = [], []
        for row in part.itertuples():
            pictures.append(np.asarray(images[int(row.index)]))
            captions.append(f"{name}: surprise {row.any:.1f}, distance {row.ratio:.2f}")
            if real is not None:
                pictures.append(np.asarray(real[int(row.nearest)]))
                captions.append("nearest real image")
        parts.append(gallery(name, pictures, bits, captions))
    return "".join(parts)


def detector_gallery(scores: pd.DataFrame, images: ImageStack, bits: int) -> str:
    """Return the two images that surprise each detector most as HTML."""
    first = [(name, i) for name in DETECTORS for i in scores[name].to_numpy(float).argsort()[::-1][:2]]
    pictures = [np.asarray(images[int(scores["index"][i])]) for _, i in first]
    return gallery("failures", pictures, bits, [f"{name} {scores[name][i]:.1f}" for name, i in first])


def nearest_distances(results: Results, tables: dict[str, pd.DataFrame]) -> None:
    """Summarize the distances of synthetic images from the nearest real ones, and those among real images."""
    ratio, own = (tables[kind]["ratio"].to_numpy(float) for kind in ("synthetic", "real"))
    numbers = {"median": np.median(ratio), "lowest": ratio.min(), "lowest_real": own.min()}
    keep(results, {f"distance.{key}": float(number) for key, number in numbers.items()})


def spots_compared(results: Results, tables: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Compare number, size, contrast and brightness of bright spots; see `blobs.compare_blobs` for the table."""
    counts, spots = (dict(iter(tables[name].groupby("set"))) for name in ("counts", "spots"))
    real, synthetic = (counts[kind]["spots"].to_numpy(int) for kind in ("real", "synthetic"))
    table = compare_blobs(real, synthetic, counts["real"]["patient"].to_numpy(int), seed=seed)
    keep(results, {"spots.smallest": float(tables["counts"]["smallest_mm"].min())})
    ends = ("", "_low", "_high")
    for kind in ("real", "synthetic"):
        mean, share = ([table.loc[kind, name + end] for end in ends] for name in ("mean", "share"))
        keep(results, {f"spots.{kind}": mean, f"spots.{kind}.share": [100 * bound for bound in share]})
    ratio = [float(table.loc["ratio", f"mean{end}"]) for end in ends]
    keep(results, {"spots.ratio": ratio if np.isfinite(ratio[0]) else "not known"})
    for name in ("diameter_mm", "brightness", "contrast"):
        a, b = (spots[k][name].to_numpy(float) if k in spots else np.zeros(0) for k in ("real", "synthetic"))
        keep(results, {f"spots.{name}.p": float(stats.ks_2samp(a, b).pvalue) if len(a) and len(b) else 1.0})
    return table


def high_frequencies(results: Results, spectra: pd.DataFrame) -> None:
    """Compare the power of both sets in the highest quarter of frequencies."""
    top = spectra.iloc[-max(len(spectra) // 4, 1) :]
    keep(results, {"spectra.top": float(top["synthetic"].sum() / top["real"].sum())})
