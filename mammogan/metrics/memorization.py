"""Does a generator copy its training images? Nearest neighbors by patient, authenticity, and real images as controls.

Every number stands beside the same number of held-out real images, of patients that the generator never saw: two
mammograms of different women are near each other, too, and only a comparison says what is too near.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from mammogan.metrics.validation import check_features


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image of a set.

    Attributes:
        index: (m,), its row in the training set.
        distance: (m,), how far it is.
        other: (m,), distance to the nearest training image of any other patient.
        reach: (m,), distance of that training image to its own nearest one of another patient.
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
    train: np.ndarray, patients: np.ndarray, queries: np.ndarray, without: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest training image (row, distance) of each query, and the distance to the nearest of yet another patient.

    Args:
        without: (m, k) patients whose images are no neighbors of each query; None for none.
    """
    most = int(np.unique(patients, return_counts=True)[1].max())
    count = min((1 if without is None else 1 + without.shape[1]) * most + 1, len(train))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(train)
    found = search.kneighbors(queries, return_distance=False)
    index = np.empty(len(queries), int)
    distance, other = np.empty(len(queries)), np.empty(len(queries))
    for row, candidates in enumerate(found):
        if without is not None:
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
    """The nearest training image of each query, and how far that image's own neighbors are.

    Args:
        train: (n, d) features of the training images.
        patients: (n,) their patients.
        queries: (m, d) features of synthetic or held-out images.
        leave_out: (m,) a patient for each query, whose images count as if they were not there.

    Raises:
        ValueError: fewer than two patients (three, where one is left out), or a feature that is not finite.
    """
    train, queries = check_features(train, queries, 1)
    patients = np.asarray(patients)
    if len(patients) != len(train):
        raise ValueError(f"There are {len(train)} training images and {len(patients)} patients; give one an image.")
    needed = 2 if leave_out is None else 3
    if len(np.unique(patients)) < needed:
        raise ValueError(f"The search for copies needs training images of {needed} patients or more.")
    if leave_out is not None:
        left = np.asarray(leave_out)[:, None]
        index, distance, other = _neighbors(train, patients, queries, left)
        reach = _neighbors(train, patients, train[index], np.concatenate([left, patients[index][:, None]], 1))[1]
        return Nearest(index, distance, other, reach)
    index, distance, other = _neighbors(train, patients, queries, None)
    used, back = np.unique(index, return_inverse=True)
    reach = _neighbors(train, patients, train[used], patients[used][:, None])[1]
    return Nearest(index, distance, other, reach[back])


@dataclass(frozen=True)
class Memorization:
    """Audit of a synthetic set against the training images, beside held-out real images.

    Authenticity (Alaa 2022, section 3.3): a synthetic image g is taken for a copy of the nearest training image r*
    where g is nearer to r* than any other training image is, d(g, r*) <= d(r*, nearest other). The distance on the
    right is that of r*, the neighbor of g; indexed by anything else the number means nothing. Of other training images
    only those of other patients count: the second view of a breast is near by nature.

    Attributes:
        synthetic, held_out: nearest training images.
        authenticity, baseline: share of authentic images among the synthetic and the held-out ones, with exact 95 %
            intervals (share, low, high).
        distance_ratio: median distance of synthetic images to their nearest training image, over that of the held-out
            ones; below 1 they lie nearer than unseen patients do. (ratio, low, high), interval by bootstrap.
        nearer: share of synthetic images nearer to the training set than 95 % of the held-out ones (share, low, high);
            .05 by chance; the interval is that of the share, at the threshold found.
        p: one-sided Mann-Whitney P that synthetic distances are smaller than held-out ones.
        seed: of the bootstrap.
    """

    synthetic: Nearest
    held_out: Nearest
    authenticity: tuple[float, float, float]
    baseline: tuple[float, float, float]
    distance_ratio: tuple[float, float, float]
    nearer: tuple[float, float, float]
    p: float
    seed: int

    def table(self) -> pd.DataFrame:
        """One row a number: quantity, value, low, high, by chance or of held-out images."""
        held = f"{self.baseline[0]:.3f} ({self.baseline[1]:.3f} to {self.baseline[2]:.3f}) of held-out images"
        rows = [
            ("authenticity", *self.authenticity, held),
            ("median distance over held-out", *self.distance_ratio, "1 if the same"),
            ("nearer than 95 % of held-out", *self.nearer, ".05 by chance"),
            ("P, nearer than held-out", self.p, np.nan, np.nan, "uniform by chance"),
        ]
        return pd.DataFrame(rows, columns=["quantity", "value", "low", "high", "reference"])

    def worst(self, count: int = 20) -> pd.DataFrame:
        """The synthetic images most like a training image: synthetic and training row, distance, reach and ratio."""
        found = self.synthetic
        order = np.lexsort((found.distance, found.ratio))[:count]
        return pd.DataFrame(
            {
                "synthetic": order,
                "training": found.index[order],
                "distance": found.distance[order],
                "reach": found.reach[order],
                "other_patient": found.other[order],
                "ratio": found.ratio[order],
            }
        )


def _share(hits: np.ndarray) -> tuple[float, float, float]:
    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="exact")
    return float(hits.mean()), float(interval.low), float(interval.high)


def audit(
    train: np.ndarray,
    patients: np.ndarray,
    held_out: np.ndarray | None,
    synthetic: np.ndarray,
    *,
    seed: int = 0,
    bootstraps: int = 1000,
) -> Memorization:
    """Search for copies of training images.

    Args:
        train: (n, d) features of the images that the generator was trained on, such as `features.pixel_features`.
        patients: (n,) their patients.
        held_out: (h, d) features of real images of other patients. None where the generator was trained on all that
            there are: then each training image is held out in turn, with all images of its patient.
        synthetic: (m, d) features of generated images.
        seed, bootstraps: of the interval of the distance ratio.

    Raises:
        ValueError: an empty set, fewer than two patients, or a feature that is not finite.
    """
    if held_out is not None and len(held_out) == 0:
        raise ValueError(
            "There is no held-out real image; a search for copies needs some of patients never trained on."
        )
    ours = nearest_training(train, patients, synthetic)
    if held_out is None:
        theirs = nearest_training(train, patients, train, patients)
    else:
        theirs = nearest_training(train, patients, held_out)
    rng = np.random.default_rng(seed)
    a, b = ours.distance, theirs.distance

    def ratio(x: np.ndarray, y: np.ndarray) -> float:
        top, bottom = float(np.median(x)), float(np.median(y))
        return top / bottom if bottom > 0 else (1.0 if top == 0 else np.inf)

    draws = [ratio(rng.choice(a, len(a)), rng.choice(b, len(b))) for _ in range(bootstraps)]
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return Memorization(
        synthetic=ours,
        held_out=theirs,
        authenticity=_share(ours.authentic),
        baseline=_share(theirs.authentic),
        distance_ratio=(ratio(a, b), float(low), float(high)),
        nearer=_share(a < np.quantile(b, 0.05)),
        p=float(stats.mannwhitneyu(a, b, alternative="less").pvalue),
        seed=seed,
    )


def pruning(
    distance: np.ndarray,
    scores: Mapping[str, Callable[[np.ndarray], float]],
    *,
    shares: Sequence[float] = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20),
    artifacts: np.ndarray | None = None,
    draws: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """What it does to every score to drop the synthetic images that lie farthest out: the paper's future work.

    All scores depend on the number of images; each share is scored on as many images as the largest share leaves, drawn
    at random from those that are kept, so that only the choice differs.

    Args:
        distance: (m,) how far out each synthetic image is, such as `outlyingness` of its moments.
        scores: name -> function of the rows that are kept, (k,) in ascending order.
        shares: dropped, in [0, 1); 0 is what there is without pruning.
        artifacts: (m,) True where a person found an artifact; None where nobody looked.
        draws: random subsets behind each score.
        seed: of the subsets.

    Returns:
        one row a share and score: share, kept, n, score, value, sd (over the subsets). With labels also score
        "artifact rate" over all that are kept, with low and high, its exact 95 % interval.

    Raises:
        ValueError: a share outside [0, 1), a distance that is not a number, or labels of another length.
    """
    distance = np.asarray(distance, np.float64)
    if np.isnan(distance).any() or not len(distance):
        raise ValueError("Every synthetic image needs a distance that is a number; find the image and drop it.")
    if not all(0 <= share < 1 for share in shares) or not len(shares):
        raise ValueError(f"Shares to drop lie between 0 and 1, not {list(shares)}.")
    if artifacts is not None and len(artifacts) != len(distance):
        raise ValueError(f"There are {len(distance)} images and {len(artifacts)} labels; give one an image.")
    rng = np.random.default_rng(seed)
    order = np.argsort(distance, kind="stable")
    kept = {share: np.sort(order[: max(round(len(order) * (1 - share)), 1)]) for share in shares}
    n = min(len(rows) for rows in kept.values())
    table = []
    for share, rows in kept.items():
        subsets = [np.sort(rng.choice(rows, n, replace=False)) for _ in range(draws if len(rows) > n else 1)]
        for name, score in scores.items():
            values = [score(subset) for subset in subsets]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            table.append((share, len(rows), n, name, float(np.mean(values)), spread, np.nan, np.nan))
        if artifacts is not None:
            rate, low, high = _share(np.asarray(artifacts, bool)[rows])
            table.append((share, len(rows), len(rows), "artifact rate", rate, np.nan, low, high))
    return pd.DataFrame(table, columns=["share", "kept", "n", "score", "value", "sd", "low", "high"])
