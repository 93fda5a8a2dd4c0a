"""Search for copies of training images: nearest neighbors by patient, and authenticity, with real images as controls.

Every number is reported next to the same number of held-out real images, of patients that the generator never saw:
mammograms of different women are near each other too, and only a comparison shows what is too near.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from mammogan.errors import ParameterError
from mammogan.metrics.validation import check_array, check_lengths, check_tables
from mammogan.types import Estimate

BOOTSTRAPS = 1000
SHARES = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20)  # of images that are dropped


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image of a set.

    Attributes:
        index, distance: (m,) its row in the training set, and the distance to it.
        other: (m,) distance to the nearest training image of any other patient.
        reach: (m,) distance of that training image to its own nearest one of another patient.
    """

    index: np.ndarray
    distance: np.ndarray
    other: np.ndarray
    reach: np.ndarray

    @property
    def authentic(self) -> np.ndarray:
        """(m,) True where the image is not a copy by Alaa 2022, section 3.3: see `Memorization`."""
        return self.distance > self.reach

    @property
    def ratio(self) -> np.ndarray:
        """(m,) distance / reach: 0 for a copy, 1 or less for what is not authentic; inf where the reach is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.distance == 0, 0.0, self.distance / self.reach)


def _neighbors(
    train: np.ndarray, patients: np.ndarray, queries: np.ndarray, without: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row and distance of the nearest training image of each query, and the distance to another patient's.

    Images of the patients `without`, (m, k) for m queries, do not count.
    """
    most = int(np.unique(patients, return_counts=True)[1].max())
    count = min((1 + without.shape[1]) * most + 1, len(train))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(train)
    index = np.empty(len(queries), int)
    distance, other = np.empty(len(queries)), np.empty(len(queries))
    for row, candidates in enumerate(search.kneighbors(queries, return_distance=False)):
        candidates = candidates[~np.isin(patients[candidates], without[row])]
        # The search expands the square, which loses half the digits of short distances: these are exact.
        d = np.linalg.norm(train[candidates] - queries[row], axis=1)
        order = np.argsort(d, kind="stable")
        candidates, d = candidates[order], d[order]
        index[row], distance[row] = candidates[0], d[0]
        elsewhere = d[patients[candidates] != patients[candidates[0]]]
        other[row] = elsewhere[0] if len(elsewhere) else np.inf
    return index, distance, other


def nearest_training(
    train: np.ndarray, patients: np.ndarray, queries: np.ndarray, leave_out: np.ndarray | None = None
) -> Nearest:
    """Find the nearest training image of each query, and the distance of that image's own neighbors.

    Args:
        train: (n, d) features of the training images.
        patients: (n,) patients of the training images: two or more, or three where one is left out.
        queries: (m, d) features of synthetic or held-out images.
        leave_out: (m,) a patient for each query, whose images count as if they were not there.
    """
    train, queries = check_tables(train, queries, 1, ("training", "searched"))
    patients = np.asarray(patients)
    check_lengths(**{"training images": train, "patients": patients})
    left = np.empty((len(queries), 0), patients.dtype) if leave_out is None else np.asarray(leave_out)[:, None]
    if len(np.unique(patients)) < (needed := 2 + left.shape[1]):
        raise ParameterError(f"The search for copies needs training images of {needed} patients or more.")
    index, distance, other = _neighbors(train, patients, queries, left)
    without = np.concatenate([left, patients[index][:, None]], 1)
    return Nearest(index, distance, other, reach=_neighbors(train, patients, train[index], without)[1])


@dataclass(frozen=True)
class Memorization:
    """Audit of a synthetic set against the training images, with held-out real images as controls.

    Authenticity (Alaa 2022, section 3.3): a synthetic image g counts as a copy of the nearest training image r* where
    g is nearer to r* than any other training image is, d(g, r*) <= d(r*, nearest other). The distance on the right is
    that of r*, the neighbor of g; indexed by anything else the number means nothing. Of other training images only
    those of other patients count: the second view of a breast is near by nature.

    Attributes:
        synthetic, held_out: nearest training images.
        authenticity, baseline: shares of authentic images among the synthetic and the held-out ones, with exact
            intervals.
        distance_ratio: median distance of synthetic images to their nearest training image, over that of the held-out
            ones; below 1 they are nearer than unseen patients are. Interval by bootstrap.
        nearer: share of synthetic images nearer to the training set than 95 % of the held-out ones, .05 by chance; the
            interval is that of the share, at the threshold estimated.
        p: one-sided Mann-Whitney P that synthetic distances are smaller than held-out ones.
    """

    synthetic: Nearest
    held_out: Nearest
    authenticity: Estimate
    baseline: Estimate
    distance_ratio: Estimate
    nearer: Estimate
    p: float

    def table(self) -> pd.DataFrame:
        """Return one row per number: quantity, value, low, high, and its reference: by chance or of held-out images."""
        rows = [
            ("authenticity", *self.authenticity, "{:.3f} ({:.3f} to {:.3f}) of held-out images".format(*self.baseline)),
            ("median distance over held-out", *self.distance_ratio, "1 if the same"),
            ("nearer than 95 % of held-out", *self.nearer, ".05 by chance"),
            ("P, nearer than held-out", self.p, np.nan, np.nan, "uniform by chance"),
        ]
        return pd.DataFrame(rows, columns=["quantity", "value", "low", "high", "reference"])

    def worst(self, count: int = 20) -> pd.DataFrame:
        """Return the synthetic images most like a training image: both rows, distance, reach and ratio."""
        nearest = self.synthetic
        table = pd.DataFrame({**vars(nearest), "ratio": nearest.ratio}).rename_axis("synthetic").reset_index()
        table = table.sort_values(["ratio", "distance"], kind="stable", ignore_index=True).head(count)
        table = table.rename(columns={"index": "training", "other": "other_patient"})
        return table[["synthetic", "training", "distance", "reach", "other_patient", "ratio"]]


def _share(hits: np.ndarray) -> Estimate:
    """Return the share of True in an array, with its exact interval (Clopper & Pearson 1934)."""
    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="exact")
    return Estimate(float(hits.mean()), float(interval.low), float(interval.high))


def audit(
    train: np.ndarray, patients: np.ndarray, held_out: np.ndarray | None, synthetic: np.ndarray, *, seed: int = 0
) -> Memorization:
    """Search for copies of training images.

    Args:
        train: (n, d) features of the images that the generator was trained on, such as `features.pixel_features`.
        patients: (n,) patients of the training images.
        held_out: (h, d) features of real images of other patients. None where the generator was trained on all real
            images: then each training image is held out in turn, with all images of its patient.
        synthetic: (m, d) features of generated images.
        seed: random seed of the interval of the distance ratio.
    """
    check_tables(train, synthetic, 1, ("training", "synthetic"))
    if held_out is None:
        controls = nearest_training(train, patients, train, patients)
    else:
        check_tables(train, held_out, 1, ("training", "held-out"))
        controls = nearest_training(train, patients, held_out)
    nearest = nearest_training(train, patients, synthetic)
    rng = np.random.default_rng(seed)
    a, b = nearest.distance, controls.distance

    def ratio(x: np.ndarray, y: np.ndarray) -> float:
        top, bottom = float(np.median(x)), float(np.median(y))
        return top / bottom if bottom > 0 else (1.0 if top == 0 else np.inf)

    draws = [ratio(rng.choice(a, len(a)), rng.choice(b, len(b))) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return Memorization(
        synthetic=nearest,
        held_out=controls,
        authenticity=_share(nearest.authentic),
        baseline=_share(controls.authentic),
        distance_ratio=Estimate(ratio(a, b), float(low), float(high)),
        nearer=_share(a < np.quantile(b, 0.05)),
        p=float(stats.mannwhitneyu(a, b, alternative="less").pvalue),
    )


def pruning(
    distance: np.ndarray,
    scores: Mapping[str, Callable[[np.ndarray], float]],
    *,
    artifacts: np.ndarray | None = None,
    draws: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Score what is left when the farthest synthetic images are dropped: the paper's future work.

    All scores depend on the number of images; each of `SHARES` is scored on as many images as the largest one leaves,
    drawn at random from those that are kept, so that only the choice differs.

    Args:
        distance: (m,) distance of each synthetic image from the real ones, such as `outlyingness` of its moments.
        scores: name -> function of the rows that are kept, (k,) in ascending order.
        artifacts: (m,) True where a person found an artifact; None where nobody looked.
        draws, seed: random subsets per score, and their seed.

    Returns:
        one row per share and score: share, kept, n, score, value, sd (over the subsets). With labels also score
        "artifact rate" over all that are kept, with low and high, its exact 95 % interval.
    """
    distance = check_array(distance, "The distance", infinite=True)
    if artifacts is not None:
        check_lengths(images=distance, labels=artifacts)
    rng = np.random.default_rng(seed)
    order = np.argsort(distance, kind="stable")
    kept = {share: np.sort(order[: max(round(len(order) * (1 - share)), 1)]) for share in SHARES}
    n = min(len(rows) for rows in kept.values())
    table = []
    for share, rows in kept.items():
        subsets = [np.sort(rng.choice(rows, n, replace=False)) for _ in range(draws if len(rows) > n else 1)]
        for name, score in scores.items():
            values = [score(subset) for subset in subsets]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            table.append((share, len(rows), n, name, float(np.mean(values)), spread, np.nan, np.nan))
        if artifacts is not None:
            rate = _share(np.asarray(artifacts, bool)[rows])
            table.append((share, len(rows), len(rows), "artifact rate", rate.value, np.nan, rate.low, rate.high))
    return pd.DataFrame(table, columns=["share", "kept", "n", "score", "value", "sd", "low", "high"])
