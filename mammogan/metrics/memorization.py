"""Search for copies of training images: nearest neighbors by patient, and authenticity, with real images as controls.

Every number is reported next to the same number of held-out real images, of patients that the generator never saw:
mammograms of different women are near each other too, and only a comparison shows what is too near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn.neighbors import NearestNeighbors

from mammogan.errors import ParameterError
from mammogan.metrics.resampling import numbered, shuffled
from mammogan.metrics.validation import check_array, check_lengths, check_tables
from mammogan.types import Estimate

BOOTSTRAPS = 1000
CONTROLS = 2000  # training images that are held out in turn, at most
Variants = Callable[[np.ndarray], Iterable[np.ndarray]]  # (n, d) -> the same images mirrored and so on, (n, d) each
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


def as_they_are(features: np.ndarray) -> Iterable[np.ndarray]:
    """Yield the features alone: the variants where nothing else is searched."""
    yield features


def nearest_training(
    train: np.ndarray,
    patients: np.ndarray,
    queries: np.ndarray,
    leave_out: np.ndarray | None = None,
    variants: Variants = as_they_are,
) -> Nearest:
    """Find the nearest training image of each query, and the distance of that image's own neighbors.

    All distances are to the nearest variant of an image.

    Args:
        train: (n, d) features of the training images.
        patients: (n,) patients of the training images: two or more, or three where one is left out.
        queries: (m, d) features of synthetic or held-out images.
        leave_out: (m,) a patient for each query, whose images count as if they were not there.
        variants: images that count as a query, such as its mirror images; isometries of the features.
    """
    train, queries = check_tables(train, queries, 1, ("training", "searched"))
    patients = np.asarray(patients)
    check_lengths(**{"training images": train, "patients": patients})
    left = np.empty((len(queries), 0), patients.dtype) if leave_out is None else np.asarray(leave_out)[:, None]
    if len(np.unique(patients)) < (needed := 2 + left.shape[1]):
        raise ParameterError(f"The search for copies needs training images of {needed} patients or more.")
    each = [_neighbors(train, patients, variant, left) for variant in variants(queries)]
    indices, distances, others = (np.stack(part) for part in zip(*each, strict=True))
    best = distances.argmin(0), np.arange(len(queries))
    index, owner = indices[best], patients[indices[best]]
    other = np.where(patients[indices] == owner, others, distances).min(0)
    without = np.concatenate([left, owner[:, None]], 1)
    reach = np.min([_neighbors(train, patients, one, without)[1] for one in variants(train[index])], axis=0)
    return Nearest(index, distances[best], other, reach)


@dataclass(frozen=True)
class _Clusters:
    """Images that are not independent of each other.

    Attributes:
        code: (n,) cluster of each image.
        links: (clusters, clusters) 1 where clusters are not independent either; None where all are.
    """

    code: np.ndarray
    links: sparse.csr_array | None = None

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.code.max()) + 1

    @classmethod
    def of(cls, names: np.ndarray) -> _Clusters:
        """Return the clusters of images with one name each, (n,)."""
        return cls(numbered(names))

    def linked(self, nearest: Nearest) -> _Clusters:
        """Return the clusters of training images held out in turn: two that are nearest to each other share a distance.

        The links are not closed to larger clusters, which would soon be one.
        """
        rows = np.flatnonzero(nearest.index[nearest.index] == np.arange(len(nearest.index)))
        pair, shape = (self.code[rows], self.code[nearest.index[rows]]), (self.count, self.count)
        links = sparse.csr_array((np.ones(len(rows)), pair), shape)
        links.data[:] = 1.0
        return _Clusters(self.code, links)

    def variance(self, values: np.ndarray) -> float:
        """Return the variance of the mean of values (n,): that of sums over clusters."""
        if self.count < 2:
            return np.inf
        sums = np.bincount(self.code, values - values.mean())
        squared = float(sums @ sums)
        if self.links is not None:
            squared += max(float(sums @ (self.links @ sums)), 0.0)
        return self.count / (self.count - 1) * squared / len(values) ** 2

    def effective(self, hits: np.ndarray) -> float:
        """Return the number of independent images whose share of hits (n,) is as uncertain, from 1 to n."""
        independent = float(hits.mean() * (1 - hits.mean())) / len(hits)
        return max(len(hits) * min(independent / self.variance(hits), 1.0), 1.0) if independent else float(self.count)

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        """Return how often each image is in a bootstrap sample of clusters, (n,)."""
        return np.bincount(rng.integers(self.count, size=self.count), minlength=self.count)[self.code]


@dataclass(frozen=True)
class Memorization:
    """Audit of a synthetic set against the training images, with held-out real images as controls.

    Authenticity (Alaa 2022, section 3.3): a synthetic image g counts as a copy of the nearest training image r* where
    g is nearer to r* than any other training image is, d(g, r*) <= d(r*, nearest other). The distance on the right is
    that of r*, the neighbor of g; indexed by anything else the number means nothing. Of other training images only
    those of other patients count: the second view of a breast is near by nature.

    Attributes:
        synthetic, held_out: nearest training images.
        authenticity, baseline: shares of authentic images among the synthetic and the held-out ones, with binomial
            intervals at the effective number of images (Korn & Graubard 1998).
        distance_ratio: median distance of synthetic images to their nearest training image, over that of the held-out
            ones; below 1 they are nearer than unseen patients are. Interval by bootstrap of clusters.
        nearer: share of synthetic images nearer to the training set than 95 % of the held-out ones, .05 by chance; the
            interval counts the error of that threshold, too.
        p: one-sided P that synthetic distances are smaller than held-out ones: the share of pairs in which they are
            (Mann & Whitney), its variance from sums over clusters (Obuchowski 1997, Biometrics 53:567), at least that
            of independent images by chance.

    Images of one held-out patient are a cluster, and so are synthetic images with one nearest training image.
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


def _bounds(share: float, n: float, clusters: int) -> Estimate:
    """Return a share with its binomial interval (Clopper & Pearson) at n effective images of so many clusters."""
    n *= (stats.norm.ppf(0.975) / stats.t.ppf(0.975, max(clusters - 1, 1))) ** 2
    low = stats.beta.ppf(0.025, share * n, (1 - share) * n + 1) if share > 0 else 0.0
    high = stats.beta.ppf(0.975, share * n + 1, (1 - share) * n) if share < 1 else 1.0
    return Estimate(share, float(low), float(high))


def _p_nearer(a: np.ndarray, b: np.ndarray, clusters: tuple[_Clusters, _Clusters]) -> float:
    """Return P of `Memorization` from distances of synthetic (m,) and held-out images (h,), and their clusters."""

    def below(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return for each of x the share of y above it; those equal to it count half."""
        y = np.sort(y)
        return 1 - (np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right")) / 2 / len(y)

    each = [part.variance(shares) for part, shares in zip(clusters, (below(a, b), below(b, a)), strict=True)]
    if np.isinf(sum(each)):
        return 1.0  # one cluster shows nothing
    by_chance = (len(a) + len(b) + 1) / (12 * len(a) * len(b))
    freedom = [part.count - 1 for part in clusters]
    spread = sum(v**2 / df for v, df in zip(each, freedom, strict=True))
    df = sum(each) ** 2 / spread if spread > 0 else min(freedom)  # Welch and Satterthwaite
    excess = float(below(a, b).mean()) - 0.5
    return float(stats.t.sf(excess / np.sqrt(max(sum(each), by_chance)), df))


def _median_ratio(
    a: np.ndarray, b: np.ndarray, clusters: tuple[_Clusters, _Clusters], rng: np.random.Generator
) -> Estimate:
    """Return the ratio of the medians of distances a and b, with its interval by bootstrap of clusters."""

    def ratio(top: float, bottom: float) -> float:
        return top / bottom if bottom > 0 else (1.0 if top == 0 else np.inf)

    def medians(values: np.ndarray, part: _Clusters) -> np.ndarray:
        order = np.argsort(values)
        sums = (np.cumsum(part.weights(rng)[order]) for _ in range(BOOTSTRAPS))
        return np.array([values[order[np.searchsorted(total, total[-1] / 2)]] for total in sums])

    draws = [ratio(*pair) for pair in zip(medians(a, clusters[0]), medians(b, clusters[1]), strict=True)]
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    value = ratio(float(np.median(a)), float(np.median(b)))
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def audit(
    train: np.ndarray,
    patients: np.ndarray,
    held_out: np.ndarray | None,
    synthetic: np.ndarray,
    *,
    held_out_patients: np.ndarray | None = None,
    variants: Variants = as_they_are,
    seed: int = 0,
) -> Memorization:
    """Search for copies of training images.

    Args:
        train: (n, d) features of the images that the generator was trained on, such as `features.pixel_features`.
        patients: (n,) patients of the training images.
        held_out: (h, d) features of real images of other patients. None where the generator was trained on all real
            images: then each training image is held out in turn, with all images of its patient, or `CONTROLS` of them.
        synthetic: (m, d) features of generated images.
        held_out_patients: (h,) patients of the held-out images; None where each is of a patient of its own.
        variants: images that count as one, see `nearest_training`.
        seed: random seed of the interval of the distance ratio, and of the training images that are held out.
    """
    check_tables(train, synthetic, 1, ("training", "synthetic"))
    rng, patients = np.random.default_rng(seed), np.asarray(patients)
    if held_out is None:
        rows = np.arange(len(train))
        if len(train) > CONTROLS:
            rows = np.sort(shuffled(patients, rng)[:CONTROLS])
        controls = nearest_training(train, patients, train[rows], patients[rows], variants)
        groups = _Clusters.of(patients[rows])
        if len(rows) == len(train):
            groups = groups.linked(controls)
    else:
        check_tables(train, held_out, 1, ("training", "held-out"))
        controls = nearest_training(train, patients, held_out, variants=variants)
        names = np.arange(len(held_out)) if held_out_patients is None else np.asarray(held_out_patients)
        check_lengths(**{"held-out images": held_out, "patients": names})
        groups = _Clusters.of(names)
    nearest = nearest_training(train, patients, synthetic, variants=variants)
    a, b = nearest.distance, controls.distance
    clusters = _Clusters.of(nearest.index), groups
    hits, below = a < (threshold := np.quantile(b, 0.05)), b < threshold
    # The threshold moves the share of synthetic images as it moves that of held-out ones, if the two are alike.
    both = 1 / (1 / clusters[0].effective(hits) + 1 / groups.effective(below))
    authentic, baseline = nearest.authentic, controls.authentic
    return Memorization(
        synthetic=nearest,
        held_out=controls,
        authenticity=_bounds(float(authentic.mean()), clusters[0].effective(authentic), clusters[0].count),
        baseline=_bounds(float(baseline.mean()), groups.effective(baseline), groups.count),
        distance_ratio=_median_ratio(a, b, clusters, rng),
        nearer=_bounds(float(hits.mean()), both, min(part.count for part in clusters)),
        p=_p_nearer(a, b, clusters),
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
