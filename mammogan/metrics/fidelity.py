"""Comparison of two sets of features: precision, recall, density, coverage, KID and FID, each with its bias.

All of them depend on the features (see `mammogan.metrics.features`) and on the number of images; `fidelity_table`
reports each next to the same score between real images, at the same number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from mammogan.metrics.resampling import ResamplingDesign, scored
from mammogan.metrics.validation import check_at_least, check_tables

NEIGHBORS = 5  # Naeem 2020
BLOCK = 1024  # rows of a distance matrix in memory
ENOUGH = 4  # images per feature from which FID at infinitely many images is the one to compare
POINTS = 8  # sizes of the extrapolation, equally spaced in 1 / n


@dataclass(frozen=True)
class Manifold:
    """Fidelity and diversity by nearest neighbors.

    Attributes:
        precision: share of synthetic images inside the real manifold, the union of balls that reach from each real
            image to its k-th real neighbor (Kynkaanniemi 2019, eq. 1 and 2).
        recall: share of real images inside the synthetic manifold.
        density: mean number of real balls that hold a synthetic image, over k; may exceed 1 (Naeem 2020, eq. 3).
        coverage: share of real images whose ball holds a synthetic one (Naeem 2020, eq. 4).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return squared distances (n, m) by the expanded square: one matrix product, with an error of `_slack`."""
    product = x @ y.T
    product *= -2
    product += np.einsum("ij,ij->i", x, x)[:, None]
    product += np.einsum("ij,ij->i", y, y)
    return product


def _slack(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest rounding error of `_squared`: a point that near to a ball's surface is on it."""
    largest = max(float(np.einsum("ij,ij->i", z, z).max()) for z in (x, y))
    return 8 * np.finfo(float).eps * np.sqrt(x.shape[1]) * largest


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance of each point to its k-th neighbor among the others."""
    parts = [_squared(points[start : start + BLOCK], points) for start in range(0, len(points), BLOCK)]
    return np.concatenate([np.partition(part, k, axis=1)[:, k] for part in parts])


def manifold(real: np.ndarray, synthetic: np.ndarray, n_neighbors: int = NEIGHBORS) -> Manifold:
    """Compute precision, recall, density and coverage of features (n, d) and (m, d), with n and m above `n_neighbors`.

    A point on a ball's surface is inside, so that copies of one image are.
    """
    check_at_least("n_neighbors", n_neighbors, 1)
    real, synthetic = check_tables(real, synthetic, n_neighbors + 1)
    center = real.mean(0)  # a far origin would cost digits
    real, synthetic = real - center, synthetic - center
    slack = _slack(real, synthetic)
    real_radii, synthetic_radii = _radii(real, n_neighbors) + slack, _radii(synthetic, n_neighbors) + slack
    balls = np.zeros(len(synthetic), int)
    recalled, covered = 0, 0
    for start in range(0, len(real), BLOCK):
        distances = _squared(real[start : start + BLOCK], synthetic)
        inside = distances <= real_radii[start : start + BLOCK, None]
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distances <= synthetic_radii).any(1).sum())
    return Manifold(
        precision=float((balls > 0).mean()),
        recall=recalled / len(real),
        density=float(balls.mean()) / n_neighbors,
        coverage=covered / len(real),
    )


def kernel_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Compute KID of two sets of features, (n, d) and (m, d), two rows or more (Binkowski 2018, section 4).

    Squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, unbiased: its expectation is 0 for two samples of
    one distribution whatever their size; a value below 0 is chance, or copies.
    """
    real, synthetic = check_tables(real, synthetic, 2)
    d = real.shape[1]

    def within(x: np.ndarray) -> float:
        kernel = (x @ x.T / d + 1) ** 3
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))

    return within(real) + within(synthetic) - 2 * float(((real @ synthetic.T / d + 1) ** 3).mean())


def frechet_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Compute FID of two sets of features, (n, d) and (m, d), two rows or more (Dowson & Landau 1982; Heusel 2017).

    Squared Frechet distance of their Gaussians, |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2). Biased upward, by
    about (trace) / n: see `frechet_extrapolated`.
    """
    real, synthetic = check_tables(real, synthetic, 2)
    a, b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (real, synthetic))
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    offset = real.mean(0) - synthetic.mean(0)
    return max(float(offset @ offset + np.trace(a) + np.trace(b) - 2 * cross), 0.0)


@dataclass(frozen=True)
class Frechet:
    """FID, and FID without the bias of the sample size.

    Attributes:
        value: FID of all images.
        infinite: FID extrapolated to infinitely many; may be a little below 0.
        table: points of the line: n, and the mean distance at n and n images.
    """

    value: float
    infinite: float
    table: pd.DataFrame


def frechet_extrapolated(real: np.ndarray, synthetic: np.ndarray, *, draws: int = 4, seed: int = 0) -> Frechet:
    """Compute FID at infinitely many images: the intercept of FID over 1/n (Chong & Forsyth 2020, section 4).

    Unlike there, both sets are subsampled alike, so that the real set's share of the bias is removed too. The line is
    straight only where n exceeds the number of features several times, and its intercept means nothing below
    `ENOUGH` d: it starts at the larger of n/4 and 2 d, or at
    n/2 where there are not so many images.

    Args:
        real, synthetic: (n, d) and (m, d) features, eight rows or more; the smaller set decides n.
        draws, seed: subsets per size, and their random seed.
    """
    real, synthetic = check_tables(real, synthetic, 8)
    n = min(len(real), len(synthetic))
    least = min(max(n // 4, 2 * real.shape[1], 4), n // 2)
    sizes = np.unique(np.rint(1 / np.linspace(1 / least, 1 / n, POINTS)).astype(int))
    rng = np.random.default_rng(seed)
    means = []
    for size in sizes:
        several = draws if size < max(len(real), len(synthetic)) else 1
        values = [
            frechet_distance(rng.choice(real, size, False), rng.choice(synthetic, size, False)) for _ in range(several)
        ]
        means.append(float(np.mean(values)))
    table = pd.DataFrame({"n": sizes, "distance": means})
    infinite = float(np.polyfit(1 / sizes, means, 1)[1])
    return Frechet(frechet_distance(real, synthetic), infinite, table)


BETTER = dict.fromkeys(("precision", "recall", "density", "coverage"), "higher")
BETTER |= dict.fromkeys(("KID", "FID", "FID, infinite n"), "lower")
CENTERED = ("KID", "FID, infinite n")  # without bias: 0 between real sets on average
BOUNDS = dict.fromkeys(("precision", "recall", "coverage"), (0.0, 1.0))
BOUNDS |= dict.fromkeys(("density", "FID"), (0.0, np.inf))


def fidelity_table(real: np.ndarray, synthetic: np.ndarray, design: ResamplingDesign | None = None) -> pd.DataFrame:
    """Compute all measures of this module, with intervals and the same scores between real images.

    Args:
        real, synthetic: (n, d) and (m, d) features, standardized by the real set if they have different units.
        design: images that are compared, and the draws; None compares all images with 40 draws.

    Returns:
        one row per measure: measure, better ("higher", "lower"), and the columns of `resampling.scored`.
    """
    real, synthetic = check_tables(real, synthetic)
    design = design or ResamplingDesign(len(real), len(synthetic), draws=40)

    def measure(a: np.ndarray, b: np.ndarray, draws: int = 1) -> dict[str, float]:
        fid = frechet_extrapolated(a, b, draws=draws, seed=design.seed)
        distances = {"KID": kernel_distance(a, b), "FID": fid.value, "FID, infinite n": fid.infinite}
        return {**vars(manifold(a, b)), **distances}

    table = scored(real, synthetic, measure, design, whole=partial(measure, draws=4), bounds=BOUNDS, centered=CENTERED)
    table.insert(1, "better", [BETTER[name] for name in table["measure"]])
    return table
