"""Sensitivity and criterion of readers who answer yes or no, or choose one of two (Macmillan & Creelman 2005)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.types import Estimate


class Detection(NamedTuple):
    """Sensitivity d' and criterion c, both in standard deviations of the evidence.

    A criterion of 0 has no bias; above 0 readers say "signal" too rarely.
    """

    d_prime: Estimate
    criterion: Estimate


def _estimates(hits: float, signals: float, alarms: float, others: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (z(hits) - z(alarms), criterion) and their standard errors (Gourevitch & Galanter 1967); (2,) each.

    Rates are (k + 1/2) / (n + 1), so that none is 0 or 1 (Hautus 1995, Behav. Res. Meth. 27:46).
    """
    trials = np.array([signals, others]) + 1
    rates = (np.array([hits, alarms]) + 0.5) / trials
    z = stats.norm.ppf(rates)
    error = float(np.sqrt((rates * (1 - rates) / (trials * stats.norm.pdf(z) ** 2)).sum()))
    return np.array([z[0] - z[1], -z.mean()]), np.array([error, error / 2])


def detection(
    signal: np.ndarray, said: np.ndarray, readers: np.ndarray, *, forced_choice: bool = False, level: float = 0.95
) -> Detection:
    """Return d' and the criterion of all answers, with intervals that hold for other readers.

    Errors come from the jackknife over readers, with t quantiles, and are at least those of independent answers; of one
    reader, the latter alone. Images count as given: the area under the ROC curve (`stats.mrmc`) holds for others, too.

    Args:
        signal: (n,) booleans: the image is synthetic; in a forced choice, the real image is at the left.
        said: (n,) booleans: the reader says so.
        readers: (n,) codes.
        forced_choice: the evidence is a difference of two images, which sqrt(2) takes into account in d'.
        level: confidence level.

    Raises:
        ParameterError: signals or others are missing.
    """
    code = np.unique(readers, return_inverse=True)[1]
    j = int(code.max()) + 1
    cells = [np.bincount(code, weights, j) for weights in (signal & said, signal, ~signal & said, ~signal)]
    counts = np.stack(cells).astype(float)  # (4, readers): hits, signals, false alarms, others
    total = counts.sum(1)
    if not (total[1] and total[3]):
        raise ParameterError("All images are of one kind; sensitivity and criterion need both.")
    values, errors = _estimates(*total)
    step = stats.norm.ppf(0.5 + level / 2) * errors
    rest = total[:, None] - counts
    if j > 1 and (rest[[1, 3]] > 0).all():
        without = np.stack([_estimates(*column)[0] for column in rest.T])
        jackknife = np.sqrt((j - 1) / j * ((without - without.mean(0)) ** 2).sum(0))
        step = np.maximum(step, stats.t.ppf(0.5 + level / 2, j - 1) * jackknife)
    scale = np.array([np.sqrt(0.5) if forced_choice else 1.0, 1.0])
    bounds = zip(values * scale, (values - step) * scale, (values + step) * scale, strict=True)
    return Detection(*(Estimate(*map(float, numbers)) for numbers in bounds))


def by_reader(
    signal: np.ndarray, said: np.ndarray, readers: np.ndarray, *, forced_choice: bool = False
) -> pd.DataFrame:
    """Return one row per reader with both kinds: hit and false alarm rates, d' and criterion with standard errors.

    Args: see `detection`.
    """
    rows = []
    table = pd.DataFrame({"reader": readers, "signal": signal, "said": said})
    scale = np.sqrt(0.5) if forced_choice else 1.0
    for reader, group in table.groupby("reader", sort=True):
        yes, no = group.loc[group["signal"], "said"], group.loc[~group["signal"], "said"]
        if len(yes) and len(no):
            values, errors = _estimates(yes.sum(), len(yes), no.sum(), len(no))
            row = (yes.mean(), no.mean(), values[0] * scale, errors[0] * scale, values[1], errors[1])
            rows.append((reader, len(group), *map(float, row)))
    columns = ["reader", "answers", "hits", "false alarms", "d'", "SE of d'", "criterion", "SE of criterion"]
    return pd.DataFrame(rows, columns=columns)
