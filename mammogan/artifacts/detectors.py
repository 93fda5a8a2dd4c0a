"""Rank images for inspection with outlier detectors, one per kind of artifact.

A detector reduces an image to a few facts, and the position of these among real images to a *surprise*: -log10 of the
share of real images that are as far out. Surprises of different detectors can be compared, and the largest one ranks
the contact sheets. A detector proves nothing: it saves the observer from leafing through what looks ordinary.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from mammogan.artifacts.facts import FACTS, THUMBNAIL_COLUMNS
from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.metrics.validation import check_tables

DETECTORS = (*FACTS, "moments", "manifold")
NEIGHBORS = 3
COMPONENTS = 24
ENOUGH = 20  # real images of a view, to judge images of that view by them alone
EXPONENTIAL = 0.4343  # log10 e: the scale of surprises themselves, which by chance are exponential
TAIL = 0.1  # share of real images to which the tail of a detector is fitted


def outlyingness(real: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute a robust distance, (n,), of moments (n, 5) of some images from the moments (m, 5) of real ones.

    Moments are ranked against the real set and turned into normal scores, which tames their heavy tails; the distance
    is Mahalanobis' with the real set's covariance.
    """
    real, other = check_tables(real, other)
    n, ordered = len(real), np.sort(real, 0).T

    def scores(table: np.ndarray) -> np.ndarray:
        pairs = zip(ordered, table.T, strict=True)
        ranks = [(np.searchsorted(r, x) + np.searchsorted(r, x, "right")) / 2 for r, x in pairs]
        return stats.norm.ppf((np.column_stack(ranks) + 0.5) / (n + 1))

    reference = scores(real)
    center, covariance = reference.mean(0), np.cov(reference.T) + 1e-6 * np.eye(real.shape[1])
    offset = scores(other) - center
    return np.sqrt(np.einsum("ij,ij->i", offset @ np.linalg.inv(covariance), offset))


def surprise(reference: np.ndarray, values: np.ndarray | None = None, floor: float = 0.0) -> np.ndarray:
    """Return -log10 of the share of the reference that is as high: 1 for one in ten, 2 for one in a hundred.

    Within the reference the share is counted; beyond it an exponential tail continues, fitted to the excess of its
    upper tenth (Davison & Smith 1990, J R Stat Soc B 52:393, with shape 0), so that the extremes can still be ranked.

    Args:
        reference: (m,) values of real images.
        values: (n,) values to judge; None judges each member of the reference by all the others.
        floor: smallest scale of the tail, where the reference is all but constant.
    """
    reference = np.asarray(reference, float)
    if values is not None:
        return _surprise(np.sort(reference), np.asarray(values, float), floor)
    order = np.argsort(reference, kind="stable")
    ordered = reference[order]
    result = np.empty(len(reference))
    # One member more or less shifts the count only; at the top it changes the tail.
    result[order[:-1]] = _surprise(ordered, ordered[:-1], floor)
    result[order[-1]] = _surprise(ordered[:-1], ordered[-1:], floor)[0]
    return result


def _surprise(ordered: np.ndarray, values: np.ndarray, floor: float) -> np.ndarray:
    n = len(ordered)
    above = n - np.searchsorted(ordered, values, "left")
    counted = -np.log10(np.clip((above + 0.5) / (n + 1), None, 1))
    start = np.quantile(ordered, 1 - TAIL)
    excess = ordered[ordered > start] - start
    scale = float(excess.mean()) if excess.size else 0.0
    # A fact that is all but constant among real images has no tail: a step off it counts on the scale of its spread.
    scale = max(scale, 1e-3 * (float(np.ptp(ordered)) or 1.0), floor)
    fitted = -np.log10(TAIL) + np.maximum(values - start, 0) / scale * math.log10(math.e)
    return np.where(values > ordered[-1], np.maximum(fitted, counted), counted)


class Detectors:
    """Detectors fitted to real images.

    Args:
        real: `facts_table` of real images.
        patients: (n,) patient of each real image; no image is its own neighbor, nor is one of its patient.
        views: (n,) "CC", "MLO" or ""; where known, outline and pectoral muscle are judged by images of the view.
    """

    def __init__(self, real: pd.DataFrame, patients: np.ndarray | None = None, views: np.ndarray | None = None) -> None:
        self.real = real.reset_index(drop=True)
        n = len(real)
        self.patients = np.arange(n) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
        self.views = np.full(n, "") if views is None else np.asarray(views, str)
        thumbnails = real[THUMBNAIL_COLUMNS].to_numpy(float)
        self.pca = PCA(min(COMPONENTS, n - 1, thumbnails.shape[1]), random_state=0).fit(thumbnails)
        self.neighbors = NearestNeighbors().fit(self.pca.transform(thumbnails))

    def distance(self, table: pd.DataFrame, own: np.ndarray | None = None) -> np.ndarray:
        """Compute the distance, (n,), of a `facts_table` to the nearest real images, root mean square of three.

        In the space of principal thumbnails; what these do not span counts too: an image that no combination of real
        ones gives is far away. Images of the patients `own`, (n,), as in `patients`, are left out where given.
        """
        thumbnails = table[THUMBNAIL_COLUMNS].to_numpy(float)
        projected = self.pca.transform(thumbnails)
        rest = ((thumbnails - self.pca.inverse_transform(projected)) ** 2).sum(1)
        count = min(len(self.real), NEIGHBORS + (0 if own is None else int(np.bincount(self.patients).max())))
        distances, indices = self.neighbors.kneighbors(projected, n_neighbors=count)
        if own is not None:
            distances = np.where(self.patients[indices] == np.asarray(own)[:, None], np.nan, distances)
            distances = np.sort(distances, axis=1)
        return np.sqrt(np.nanmean(distances[:, :NEIGHBORS] ** 2, axis=1) + rest)

    def nearest(self, table: pd.DataFrame) -> np.ndarray:
        """Return the index of the real image whose thumbnail is nearest, (n,)."""
        projected = self.pca.transform(table[THUMBNAIL_COLUMNS].to_numpy(float))
        return self.neighbors.kneighbors(projected, n_neighbors=1)[1][:, 0]

    def scores(self, table: pd.DataFrame, views: np.ndarray | None = None) -> pd.DataFrame:
        """Compute the surprise of every image of a `facts_table` to every detector, and in `any` the largest one.

        None of the images is among the real ones of this object; views, (n,), are given where they are known.
        """
        return self._scores(table, np.full(len(table), "") if views is None else np.asarray(views, str))

    def own_scores(self) -> pd.DataFrame:
        """Compute the same for the real images, each judged by the others: the surprises by chance."""
        return self._scores(None, self.views)

    def _scores(self, table: pd.DataFrame | None, views: np.ndarray) -> pd.DataFrame:
        moments = self.real[list(MOMENT_NAMES)].to_numpy()
        outlying, distant = None, None
        if table is not None:
            outlying, distant = outlyingness(moments, table[list(MOMENT_NAMES)].to_numpy()), self.distance(table)
        surprises = {name: self._of_facts(name, table, views) for name in FACTS}
        surprises["moments"] = surprise(outlyingness(moments, moments), outlying)
        surprises["manifold"] = surprise(self.distance(self.real, self.patients), distant)
        result = pd.DataFrame(surprises)
        result["any"] = result.max(axis=1)
        return result

    def _of_facts(self, detector: str, table: pd.DataFrame | None, views: np.ndarray) -> np.ndarray:
        """Return the surprise at the largest surprise: several facts must not make an image suspicious by themselves.

        Real images of a view are judged by all, unless the detector looks at anatomy and the view has enough of them.
        """
        result = np.zeros(len(views))
        for view in np.unique(views):
            judges = self.views == view
            if not (view and judges.sum() >= ENOUGH and detector in ("outline", "pectoral")):
                judges = np.ones(len(self.real), bool)
            real = self.real[judges]
            rows = judges if table is None else views == view
            largest = None if table is None else _largest(detector, real, table[rows])
            result[rows] = surprise(_largest(detector, real), largest, EXPONENTIAL)
        return result


def _largest(detector: str, real: pd.DataFrame, table: pd.DataFrame | None = None) -> np.ndarray:
    """Return the largest surprise among a detector's facts; of the real images themselves without a table.

    Facts that a table of an earlier version lacks are left out.
    """
    sides = []
    for name in FACTS[detector]:
        fact = name.removeprefix("+")
        if fact not in real or (table is not None and fact not in table):
            continue
        for sign in (1, -1) if name == fact else (1,):
            values = None if table is None else sign * table[fact].to_numpy()
            sides.append(surprise(sign * real[fact].to_numpy(), values))
    return np.max(sides, axis=0)
