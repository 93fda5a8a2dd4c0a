"""Two sets of features compared: precision, recall, density, coverage, KID and FID, each with what biases it.

All of them depend on the features (see `mammogan.metrics.features`) and on the number of images; `beside_baseline` puts
each beside real against real at the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from mammogan.metrics.baseline import SMALLEST, beside_baseline, halves

NEIGHBORS = 5  # Naeem 2020
BLOCK = 1024  # rows of a distance matrix in memory


def check_features(real: np.ndarray, synthetic: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both tables as float64, or a sentence on what is wrong.

    Raises:
        ValueError: not two tables of the same columns, fewer than `least` rows, or a number that is not finite.
    """
    tables = tuple(np.asarray(table, np.float64) for table in (real, synthetic))
    for name, table in zip(("real", "synthetic"), tables, strict=True):
        if table.ndim != 2 or table.shape[1] != tables[0].shape[-1]:
            raise ValueError("Two tables of features with the same columns are needed, one row an image.")
        if len(table) < least:
            raise ValueError(f"The {name} set has {len(table)} images; this measure needs {least} or more.")
        if not np.isfinite(table).all():
            raise ValueError(f"The {name} set has a feature that is not a finite number; find the image and drop it.")
    return tables[0], tables[1]


@dataclass(frozen=True)
class Manifold:
    """Fidelity and diversity by nearest neighbours.

    Attributes:
        precision: share of synthetic images inside the real manifold, the union of balls that reach from each real
            image to its k-th real neighbour (Kynkaanniemi 2019, eq. 1 and 2).
        recall: share of real images inside the synthetic manifold.
        density: mean number of real balls that hold a synthetic image, over k; may exceed 1 (Naeem 2020, eq. 3).
        coverage: share of real images whose ball holds a synthetic one (Naeem 2020, eq. 4).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    """Distance of each point to its k-th neighbour among the others."""
    found = [
        np.partition(cdist(points[start : start + BLOCK], points), k, axis=1)[:, k]
        for start in range(0, len(points), BLOCK)
    ]
    return np.concatenate(found)


def manifold(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBORS) -> Manifold:
    """Precision, recall, density and coverage. A point on a ball's surface is inside, so that copies of one image are.

    Args:
        real, synthetic: (n, d) and (m, d) features.
        k: neighbours.

    Raises:
        ValueError: k images or fewer in a set, or a feature that is not finite.
    """
    real, synthetic = check_features(real, synthetic, k + 1)
    real_radii, synthetic_radii = _radii(real, k), _radii(synthetic, k)
    balls = np.zeros(len(synthetic), int)
    recalled, covered = 0, 0
    for start in range(0, len(real), BLOCK):
        distances = cdist(real[start : start + BLOCK], synthetic)
        inside = distances <= real_radii[start : start + BLOCK, None]
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distances <= synthetic_radii).any(1).sum())
    return Manifold(
        precision=float((balls > 0).mean()),
        recall=recalled / len(real),
        density=float(balls.mean()) / k,
        coverage=covered / len(real),
    )


def kernel_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """KID: squared maximum mean discrepancy by the kernel (x.y / d + 1)^3, unbiased (Binkowski 2018, section 4).

    Its expectation is 0 for two samples of one distribution whatever their size; a value below 0 is chance, or copies.

    Args:
        real, synthetic: (n, d) and (m, d) features, two rows or more.
    """
    real, synthetic = check_features(real, synthetic, 2)
    d = real.shape[1]

    def within(x: np.ndarray) -> float:
        kernel = (x @ x.T / d + 1) ** 3
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))

    return within(real) + within(synthetic) - 2 * float(((real @ synthetic.T / d + 1) ** 3).mean())


@dataclass(frozen=True)
class KernelDistance:
    """KID over subsets: mean and 95 % interval, and how they were drawn."""

    value: float
    low: float
    high: float
    subsets: int
    size: int
    seed: int


def kernel_distance_subsets(
    real: np.ndarray, synthetic: np.ndarray, *, subsets: int = 100, size: int = 0, seed: int = 0
) -> KernelDistance:
    """KID as it is reported: the mean over random subsets, which bounds the memory, with an interval for the whole.

    A subset of m of n images has (n - m) / m times the variance of the whole; the interval allows for that.

    Args:
        real, synthetic: features.
        subsets: random subsets of both sets.
        size: images of a subset, at most half of the smaller set; 0 takes that half, and 1000 at most.
        seed: of the subsets.

    Raises:
        ValueError: a size that leaves no room for subsets.
    """
    real, synthetic = check_features(real, synthetic, 4)
    n = min(len(real), len(synthetic))
    size = size or min(n // 2, 1000)
    if not 2 <= size <= n // 2:
        raise ValueError(f"Subsets of {size} cannot be drawn from {n} images; choose 2 to {n // 2}.")
    rng = np.random.default_rng(seed)
    values = [
        kernel_distance(rng.choice(real, size, False), rng.choice(synthetic, size, False)) for _ in range(subsets)
    ]
    mean, spread = float(np.mean(values)), float(np.std(values)) * np.sqrt(size / (n - size))
    return KernelDistance(mean, mean - 1.96 * spread, mean + 1.96 * spread, subsets, size, seed)


def frechet_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """FID: squared Frechet distance of the Gaussians through two sets of features (Dowson & Landau 1982; Heusel 2017).

    |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2). Biased upward, by about (trace) / n: see `frechet_extrapolated`.

    Args:
        real, synthetic: (n, d) and (m, d) features, two rows or more.
    """
    real, synthetic = check_features(real, synthetic, 2)
    a, b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (real, synthetic))
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    offset = real.mean(0) - synthetic.mean(0)
    return max(float(offset @ offset + np.trace(a) + np.trace(b) - 2 * cross), 0.0)


@dataclass(frozen=True)
class Frechet:
    """FID and what is left of it when the bias of the sample size is taken out.

    Attributes:
        value: of all images.
        infinite: extrapolated to infinitely many; may fall a little below 0.
        low, high: 95 % interval of `infinite`.
        table: the points of the line: n, and the mean distance at n and n images.
        seed: of the subsets.
    """

    value: float
    infinite: float
    low: float
    high: float
    table: pd.DataFrame
    seed: int


def _extrapolate(
    real: np.ndarray, synthetic: np.ndarray, sizes: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[float, list[float]]:
    means = [
        float(
            np.mean(
                [
                    frechet_distance(rng.choice(real, n, False), rng.choice(synthetic, n, False))
                    for _ in range(1 if n == min(len(real), len(synthetic)) else draws)
                ]
            )
        )
        for n in sizes
    ]
    return float(np.polyfit(1 / sizes, means, 1)[1]), means


def frechet_extrapolated(
    real: np.ndarray, synthetic: np.ndarray, *, points: int = 8, draws: int = 4, halvings: int = 10, seed: int = 0
) -> Frechet:
    """FID at infinitely many images: the intercept of FID over 1/n (Chong & Forsyth 2020, section 4).

    Unlike there, both sets are subsampled alike, so that the real set's share of the bias goes, too. The line is
    straight only where n exceeds the number of features several times: it starts at the larger of n/4 and 2 d, or at
    n/2 where there are not so many images.

    Args:
        real, synthetic: features; the smaller set decides n.
        points: sizes, equally spaced in 1/n.
        draws: subsets a size.
        halvings: half samples behind the interval (see `beside_baseline`); 0 for none.
        seed: of the subsets.

    Raises:
        ValueError: fewer than 16 images in a set.
    """
    real, synthetic = check_features(real, synthetic, 2 * SMALLEST)
    n = min(len(real), len(synthetic))

    def sizes(largest: int) -> np.ndarray:
        least = min(max(largest // 4, 2 * real.shape[1], 4), largest // 2)
        return np.unique(np.rint(1 / np.linspace(1 / least, 1 / largest, points)).astype(int))

    rng = np.random.default_rng(seed)
    infinite, means = _extrapolate(real, synthetic, sizes(n), draws, rng)
    parts = [
        _extrapolate(
            rng.choice(real, len(real) // 2, False),
            rng.choice(synthetic, len(synthetic) // 2, False),
            sizes(n // 2),
            draws,
            rng,
        )[0]
        for _ in range(halvings)
    ]
    spread = 1.96 * float(np.std(parts, ddof=1)) if halvings > 1 else np.nan
    table = pd.DataFrame({"n": sizes(n), "distance": means})
    return Frechet(frechet_distance(real, synthetic), infinite, infinite - spread, infinite + spread, table, seed)


def fidelity_table(
    real: np.ndarray,
    synthetic: np.ndarray,
    *,
    seed: int = 0,
    splits: int = 20,
    k: int = NEIGHBORS,
    groups: np.ndarray | None = None,
) -> pd.DataFrame:
    """All measures of this module, with intervals and real against real at the same number of images.

    Args:
        real, synthetic: (n, d) and (m, d) features, standardized by the real set if they have different units.
        seed: of subsets and halves.
        splits: halvings.
        k: neighbours.
        groups: (n,), patients of the real images.

    Returns:
        one row a measure, the columns of `beside_baseline` and `better` ("higher", "lower"). The distance
        "FID, infinite n" has its own interval; its real_half is the median between halves, its value_half empty.

    Raises:
        ValueError: too few images, or a feature that is not finite.
    """
    real, synthetic = check_features(real, synthetic, 2 * SMALLEST)
    # The four neighbour measures share their distances: computed once a pair of sets.
    memory: dict[tuple[int, int], Manifold] = {}

    def by_neighbors(name: str):
        def score(a: np.ndarray, b: np.ndarray) -> float:
            key = (id(a), id(b))
            if key not in memory:
                memory.clear()
                memory[key] = manifold(a, b, k)
            return getattr(memory[key], name)

        return score

    scores = {name: by_neighbors(name) for name in ("precision", "recall", "density", "coverage")}
    scores |= {"KID": kernel_distance, "FID": frechet_distance}
    table = beside_baseline(real, synthetic, scores, seed=seed, splits=splits, groups=groups)
    shares = table["score"].isin(["precision", "recall", "coverage"])
    table.loc[shares, ["low", "high"]] = table.loc[shares, ["low", "high"]].clip(0, 1)
    table.loc[table["score"].isin(["density", "FID"]), "low"] = table["low"].clip(lower=0)
    rng = np.random.default_rng(seed)
    found = frechet_extrapolated(real, synthetic, seed=seed)
    among = []
    for _ in range(max(splits // 4, 3)):
        one, two = halves(len(real), rng, groups)
        among.append(frechet_extrapolated(real[one], real[two], seed=seed, draws=1, halvings=0).infinite)
    low, middle, high = np.quantile(among, [0.025, 0.5, 0.975])
    table.loc[len(table)] = {
        **table.iloc[-1].to_dict(),
        "score": "FID, infinite n",
        "value": found.infinite,
        "low": found.low,
        "high": found.high,
        "value_half": np.nan,
        "real_half": middle,
        "real_low": low,
        "real_high": high,
    }
    table["better"] = np.where(table["score"].isin(["precision", "recall", "density", "coverage"]), "higher", "lower")
    return table
