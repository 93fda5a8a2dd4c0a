"""Rank images for inspection with outlier detectors, one per kind of artifact.

A detector turns an image into a few facts, and how unusual these are among real images into a *surprise*: -log10 of the
share of real images that lie as far out. Surprises of different detectors can be compared, and the largest one ranks
the contact sheets. A detector proves nothing: it saves the observer from leafing through what looks ordinary.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from mammogan.artifacts.facts import FACTS
from mammogan.metrics.validation import check_tables

DETECTORS = (*FACTS, "moments", "manifold")
NEIGHBORS = 3
COMPONENTS = 24
EXPONENTIAL = 0.4343  # log10 e: the scale of surprises themselves, which by chance are exponential
TAIL = 0.1  # share of real images to which the tail of a detector is fitted


def outlyingness(real: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Robust distance of images from the real ones in the space of their moments; (n,).

    Moments are ranked against the real set and turned into normal scores, which tames their heavy tails; the distance
    is Mahalanobis' with the real set's covariance.

    Args:
        real: (n, 5) moments of real images.
        other: (n, 5) moments of the images to rank.
    """
    real, other = check_tables(real, other)
    n = len(real)

    def scores(table: np.ndarray) -> np.ndarray:
        ranks = np.column_stack(
            [
                (np.searchsorted(np.sort(r), column, "left") + np.searchsorted(np.sort(r), column, "right")) / 2
                for r, column in zip(real.T, table.T, strict=True)
            ]
        )
        return stats.norm.ppf((ranks + 0.5) / (n + 1))

    reference = scores(real)
    center, covariance = reference.mean(0), np.cov(reference.T) + 1e-6 * np.eye(real.shape[1])
    offset = scores(other) - center
    return np.sqrt(np.einsum("ij,ij->i", offset @ np.linalg.inv(covariance), offset))


def surprise(reference: np.ndarray, values: np.ndarray | None = None, floor: float = 0.0) -> np.ndarray:
    """-log10 of the share of the reference that lies as high: 1 for one in ten, 2 for one in a hundred.

    Within the reference the share is counted; beyond it an exponential tail goes on, fitted to the excess of its upper
    tenth (Davison & Smith 1990, J R Stat Soc B 52:393, with shape 0), so that the extremes can still be ranked.

    Args:
        reference: (m,) of real images.
        values: (n,) to judge; None judges each member of the reference by all the others.
        floor: smallest scale of the tail, for a reference that is all but constant.
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
    fitted = -np.log10(TAIL) + np.maximum(values - start, 0) / scale * np.log10(np.e)
    return np.where(values > ordered[-1], np.maximum(fitted, counted), counted)


class Detectors:
    """Detectors fitted to real images.

    Args:
        real: `facts_table` of real images.
        patients: (n,), the patient of each real image; no image is its own neighbor, nor is one of its patient.
        views: (n,), "CC", "MLO" or ""; where known, outline and pectoral muscle are judged by images of the view.
    """

    def __init__(self, real: pd.DataFrame, patients: np.ndarray | None = None, views: np.ndarray | None = None) -> None:
        self.real = real.reset_index(drop=True)
        n = len(real)
        self.patients = np.arange(n) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
        self.views = np.full(n, "") if views is None else np.asarray(views, str)
        thumbnails = self._thumbnails(real)
        self.pca = PCA(min(COMPONENTS, n - 1, thumbnails.shape[1]), random_state=0).fit(thumbnails)
        self.neighbors = NearestNeighbors().fit(self.pca.transform(thumbnails))

    @staticmethod
    def _thumbnails(table: pd.DataFrame) -> np.ndarray:
        return table[[name for name in table.columns if name[0] == "t" and name[1:].isdigit()]].to_numpy(float)

    def distance(self, table: pd.DataFrame, own: np.ndarray | None = None) -> np.ndarray:
        """Distance to the nearest real images, root mean square of three, in the space of principal thumbnails; (n,).

        What the components do not span counts too: an image that no combination of real ones gives is far away.

        Args:
            table: `facts_table` of the images.
            own: (n,) the patients whose images are left out, as in `patients`; None for synthetic images.
        """
        thumbnails = self._thumbnails(table)
        places = self.pca.transform(thumbnails)
        rest = ((thumbnails - self.pca.inverse_transform(places)) ** 2).sum(1)
        count = min(len(self.real), NEIGHBORS + (0 if own is None else int(np.bincount(self.patients).max())))
        distances, indices = self.neighbors.kneighbors(places, n_neighbors=count)
        if own is not None:
            distances = np.where(self.patients[indices] == np.asarray(own)[:, None], np.nan, distances)
            distances = np.sort(distances, axis=1)
        return np.sqrt(np.nanmean(distances[:, :NEIGHBORS] ** 2, axis=1) + rest)

    def nearest(self, table: pd.DataFrame) -> np.ndarray:
        """Index of the real image whose thumbnail is nearest, (n,)."""
        return self.neighbors.kneighbors(self.pca.transform(self._thumbnails(table)), n_neighbors=1)[1][:, 0]

    def scores(self, table: pd.DataFrame, views: np.ndarray | None = None) -> pd.DataFrame:
        """Surprise of every image to every detector, and in the column `any` that of the largest one.

        Args:
            table: `facts_table` of the images to rank, none of them among the real ones of this object.
            views: (n,), where they are known.
        """
        views = np.full(len(table), "") if views is None else np.asarray(views, str)
        found = {name: self._facts(name, table, views) for name in FACTS}
        moments = ["M1", "M2", "M3", "M4", "M5"]
        reference, other = self.real[moments].to_numpy(), table[moments].to_numpy()
        found["moments"] = surprise(outlyingness(reference, reference), outlyingness(reference, other))
        found["manifold"] = surprise(self.distance(self.real, self.patients), self.distance(table))
        result = pd.DataFrame(found)[list(DETECTORS)]
        result["any"] = result.max(axis=1)
        return result

    def own_scores(self) -> pd.DataFrame:
        """The same of the real images, each judged by the others: what chance gives."""
        found = {name: np.zeros(len(self.real)) for name in FACTS}
        for name in FACTS:
            for view in np.unique(self.views):
                chosen = self._same(name, view)
                found[name][chosen] = surprise(self._largest(name, self.real[chosen]), floor=EXPONENTIAL)
        moments = self.real[["M1", "M2", "M3", "M4", "M5"]].to_numpy()
        found["moments"] = surprise(outlyingness(moments, moments))
        found["manifold"] = surprise(self.distance(self.real, self.patients))
        result = pd.DataFrame(found)[list(DETECTORS)]
        result["any"] = result.max(axis=1)
        return result

    def _same(self, detector: str, view: str) -> np.ndarray:
        """Which real images judge a view: all, unless the detector looks at anatomy and the view has enough."""
        same = self.views == view
        enough = view and same.sum() >= 20 and detector in ("outline", "pectoral")
        return same if enough else np.ones(len(self.real), bool)

    @staticmethod
    def _largest(detector: str, real: pd.DataFrame, table: pd.DataFrame | None = None) -> np.ndarray:
        """The largest surprise among a detector's facts; of the real images themselves without a table."""
        sides = []
        for name in FACTS[detector]:
            fact = name.removeprefix("+")
            for sign in (1, -1) if name == fact else (1,):
                values = None if table is None else sign * table[fact].to_numpy()
                sides.append(surprise(sign * real[fact].to_numpy(), values))
        return np.max(sides, axis=0)

    def _facts(self, detector: str, table: pd.DataFrame, views: np.ndarray) -> np.ndarray:
        """Surprise at the largest surprise: looking at several facts must not make an image suspicious by itself."""
        result = np.zeros(len(table))
        for view in np.unique(views):
            chosen = views == view
            real = self.real[self._same(detector, view)]
            largest = self._largest(detector, real, table[chosen])
            result[chosen] = surprise(self._largest(detector, real), largest, EXPONENTIAL)
        return result
