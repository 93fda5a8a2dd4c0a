"""Test whether two views show one breast: do they agree better than views of two patients do?

Compression moves tissue within the breast, and leaves it about as far from the chest wall in both views. Measures of
each view are compared: the earth mover's distance of its tissue profile along the axis from chest wall to nipple (the
measure of Du et al. 2026, MammoFlow, with a definition of tissue of our own), its area, its dense share, the length of
its posterior nipple line, and the depths of its bright spots. The chance that a true pair agrees better than a
shuffled one is an area under the ROC curve: one half where views have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats
from scipy.spatial.distance import cdist

from mammogan.data.segmentation import breast_mask, oriented, pectoral_edge
from mammogan.errors import ParameterError
from mammogan.metrics.distances import blocks
from mammogan.metrics.resampling import numbered, shuffled
from mammogan.metrics.validation import check_array, check_lengths
from mammogan.types import Estimate, ImageStack

QUANTILES = 64  # of a profile, at which distances of profiles are computed
DENSE = 0.6  # of the breast's bright end, its 98th percentile: gray from there on counts as dense
LEANING = -0.05  # slope of the muscle's edge, columns per row, from which on it is one: it comes nearer downward
BOOTSTRAPS = 1000
LARGEST = 500  # pairs: all are compared with all
# Columns of `view_facts`; a measure of several is a profile.
FACTS = {"area": slice(0, 1), "dense share": slice(1, 2), "nipple line": slice(2, 3), "tissue profile": slice(3, None)}


def quantiles(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return a distribution as its `QUANTILES` quantiles of equal mass, NaN where there is no mass.

    The mean absolute difference of the quantiles of two distributions is their earth mover's distance (first
    Wasserstein distance), up to the mass of one quantile.

    Args:
        values: (n,) positions.
        weights: (n,) mass at each, 0 or more; None for equal ones.
    """
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(np.ones(len(values)) if weights is None else np.asarray(weights)[order])
    if not len(mass) or mass[-1] <= 0:
        return np.full(QUANTILES, np.nan)
    at = np.searchsorted(mass, (np.arange(QUANTILES) + 0.5) / QUANTILES * mass[-1])
    return np.asarray(values, float)[order][at]


def view_facts(images: ImageStack, bits: int, view: str) -> np.ndarray:
    """Measure images of one view, (n, columns), columns by `FACTS`; lengths are shares of the image's height.

    - area: natural logarithm of the breast's area, in units of the squared height, without the muscle;
    - dense share: share of the breast that is dense, without its rim and the muscle, see `DENSE`;
    - nipple line: distance of the nipple, the point of the breast farthest from the chest wall, to the edge of the
      pectoral muscle where an MLO shows it, otherwise to the edge of the image;
    - tissue profile: `quantiles` of the distances of dense pixels from the chest wall.

    An image without a breast has an area of one pixel and is 0 otherwise.

    Args:
        images, bits: (n, h, w), unsigned integers in 0 ... 2^bits - 1, of any laterality, read 4 at a time.
        view: "CC", or "MLO", in which the pectoral muscle is sought.
    """
    return np.stack([_facts(oriented(gray), view) for batch in blocks(images, bits, 4) for gray in batch])


def _facts(image: np.ndarray, view: str) -> np.ndarray:
    h, w = image.shape
    breast = breast_mask(image)
    rows, columns = np.arange(h), np.arange(w)
    intercept, slope = _muscle(image, breast) if view == "MLO" else (0.0, 0.0)
    tissue = breast & (columns >= (intercept + slope * rows)[:, None])
    inner = ndimage.binary_erosion(tissue, iterations=max(h // 40, 1))
    if not inner.any():
        return np.concatenate([[-2 * np.log(h)], np.zeros(2 + QUANTILES)])
    reach = np.where(breast.any(1), w - np.argmax(breast[:, ::-1], axis=1), 0).astype(float)
    reach = ndimage.gaussian_filter1d(reach, max(h / 64, 0.5))
    nipple = int(reach.argmax())
    line = max(reach[nipple] - intercept - slope * nipple, 0.0) / np.hypot(1, slope)
    dense = inner & (image >= DENSE * np.quantile(image[inner], 0.98))
    profile = quantiles(columns + 0.5, dense.sum(0))
    facts = [np.log(tissue.sum() / h**2), dense.sum() / inner.sum(), line / h]
    return np.concatenate([facts, profile / h])


def _muscle(image: np.ndarray, breast: np.ndarray) -> tuple[float, float]:
    """Return the column of the muscle's straight edge at row 0, and its slope; 0 and 0 where none is seen."""
    y, x = pectoral_edge(ndimage.gaussian_filter(image, max(len(image) / 80, 0.5)), breast)
    line = stats.theilslopes(x, y) if len(y) >= 4 else None
    return (float(line.intercept), float(line.slope)) if line and line.slope < LEANING else (0.0, 0.0)


@dataclass(frozen=True)
class Agreement:
    """Agreement of pairs of views in one measure.

    Attributes:
        auc: chance that a true pair agrees better than a shuffled one; interval by bootstrap over patients.
        draws: (BOOTSTRAPS,) values of the bootstrap.
        pairs: number of true pairs in which both views have the measure.
        true, other: median distance of true and of shuffled pairs.
        correlation: Pearson's between the views of true pairs; NaN of a profile, and where nothing varies.
    """

    auc: Estimate
    draws: np.ndarray
    pairs: int
    true: float
    other: float
    correlation: float

    def less(self, reference: Agreement) -> Estimate:
        """Return the AUC less that of an independent set, with its interval."""
        low, high = np.nanquantile(self.draws - reference.draws, [0.025, 0.975])
        difference = self.auc.value - reference.auc.value
        return Estimate(difference, float(min(low, difference)), float(max(high, difference)))


def agreement(cc: np.ndarray, mlo: np.ndarray, patients: np.ndarray, seed: int = 0) -> Agreement:
    """Compare true pairs with all pairs of a CC and an MLO of different patients.

    Args:
        cc, mlo: (n, k) one measure of both views of n breasts, a row of NaN where a view lacks it. The distance of two
            views is the mean absolute difference of the k numbers.
        patients: (n,) patient of each breast.
        seed: random seed of the bootstrap.

    Raises:
        ParameterError: fewer than two patients have the measure in both views.
    """
    check_lengths(**{"CC views": cc, "MLO views": mlo, "patients": patients})
    both = measured(cc, mlo)
    cc, mlo = (check_array(x[both], "The measure of the views", (2,), 0) for x in (cc, mlo))
    patient = numbered(np.asarray(patients)[both])
    if not len(patient) or patient.max() < 1:
        raise ParameterError("Pairs of views are compared between patients; give pairs of two patients or more.")
    distance = cdist(cc, mlo, "cityblock") / cc.shape[1]
    true = np.diag(distance)
    one, two = np.nonzero(patient[:, None] != patient[None, :])
    order = np.argsort(distance[one, two], kind="stable")
    one, two = one[order], two[order]
    ranked = distance[one, two]
    # Up to rounding: a distance that two pairs share counts half.
    near = 1e-12 * (1 + ranked[-1])
    below, upto = (np.searchsorted(ranked, true + step) for step in (-near, near))

    def auc(weights: np.ndarray) -> float:
        mass = np.concatenate([[0.0], np.cumsum(weights[one] * weights[two])])
        if mass[-1] == 0:
            return np.nan  # one patient was drawn again and again
        return float(weights @ (1 - (mass[below] + mass[upto]) / (2 * mass[-1])) / weights.sum())

    rng, count = np.random.default_rng(seed), int(patient.max()) + 1
    picks = rng.integers(count, size=(BOOTSTRAPS, count))
    draws = np.array([auc(np.bincount(pick, minlength=count)[patient].astype(float)) for pick in picks])
    value, known = auc(np.ones(len(patient))), draws[np.isfinite(draws)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (0.0, 1.0)
    # Where every answer is right, or wrong, nothing varies: the interval of as many answers as patients.
    unseen = 0.025 ** (1 / count)
    low, high = min(low, unseen) if value == 1 else low, max(high, 1 - unseen) if value == 0 else high
    varies = cc.shape[1] == 1 and len(cc) > 2 and min(np.ptp(cc), np.ptp(mlo)) > 0
    correlation = float(np.corrcoef(cc[:, 0], mlo[:, 0])[0, 1]) if varies else np.nan
    interval = Estimate(value, float(min(low, value)), float(max(high, value)))
    return Agreement(interval, draws, len(cc), float(np.median(true)), float(np.median(ranked)), correlation)


def measured(cc: np.ndarray, mlo: np.ndarray) -> np.ndarray:
    """Return True for the breasts with a measure, (n, k), in both views; (n,)."""
    return ~(np.isnan(cc) | np.isnan(mlo)).any(1)


def compare_views(
    cc: Mapping[str, np.ndarray], mlo: Mapping[str, np.ndarray], patients: np.ndarray, seed: int = 0
) -> dict[str, Agreement]:
    """Return the `agreement` of every measure that two patients or more have in both views, by name."""
    owners = {name: np.unique(np.asarray(patients)[measured(cc[name], mlo[name])]) for name in cc}
    return {name: agreement(cc[name], mlo[name], patients, seed) for name in cc if len(owners[name]) > 1}


def mismatched(patients: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return rows (n,) in an order in which each takes the place of a breast of another patient.

    Raises:
        ParameterError: one patient has more than half of the breasts.
    """
    order = shuffled(np.asarray(patients), np.random.default_rng(seed))
    most = int(np.unique(patients, return_counts=True)[1].max())
    if 2 * most > len(order):
        raise ParameterError("More than half of the pairs are of one patient; give pairs of more patients.")
    rows = np.empty(len(order), int)
    rows[order] = np.roll(order, most)
    return rows
