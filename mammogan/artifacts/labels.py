"""Labels of observers: rates by view, false alarms on real images, agreement, and the detectors judged by them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score

from mammogan.artifacts.classes import KEYS
from mammogan.errors import TableError
from mammogan.types import Estimate

ANY = "any"
DRAWS, BOOTSTRAPS = 20_000, 2000  # of rates, and of kappa
THRESHOLD = 2.0  # surprise from which a detector flags an image: one real image in a hundred


def read_labels(paths: Iterable[str | Path], count: int | None = None) -> pd.DataFrame:
    """Read labels: one row per observer and image, with every key of `classes.KEYS` and "any" as booleans.

    Args:
        paths: CSV files that the labeling page wrote, with the columns observer, number and artifacts (keys of classes
            separated by ";", empty for none). Of two rows for one image the later one counts.
        count: images of the inspection, to recognize labels of another one.

    Raises:
        TableError: a file or column is missing, a class is unknown, or a number is out of range.
    """
    tables = []
    for path in map(Path, paths):
        try:
            table = pd.read_csv(path, dtype={"observer": str, "artifacts": str}, keep_default_na=False)
        except (OSError, ValueError):
            raise TableError(f"{path.name} cannot be read as CSV; give a file that the page wrote.") from None
        if missing := [c for c in ("observer", "number", "artifacts") if c not in table]:
            raise TableError(f"{path.name} has no column {missing[0]!r}; give a file that the page wrote.")
        if table.empty:
            continue
        kinds = [set(filter(None, str(text).split(";"))) - {"none"} for text in table["artifacts"]]
        if unknown := sorted(set().union(*kinds) - set(KEYS)):
            raise TableError(f"{path.name} has the unknown class {unknown[0]!r}; the classes are {', '.join(KEYS)}.")
        if not pd.api.types.is_integer_dtype(table["number"]) or not table["number"].between(1, count or 10**9).all():
            raise TableError(f"{path.name} labels an image that is not in this inspection; give its own labels.")
        flags = pd.DataFrame({key: [key in kind for kind in kinds] for key in KEYS})
        flags[ANY] = flags.any(axis=1)
        tables.append(pd.concat([table[["observer", "number"]], flags], axis=1))
    if not tables:
        raise TableError("There are no labels; open the page, label, and download the CSV.")
    return pd.concat(tables).drop_duplicates(["observer", "number"], keep="last").reset_index(drop=True)


def excess_rate(hits: int, images: int, alarms: int, controls: int) -> Estimate:
    """Return the rate of artifacts beyond what the observer also sees in real images, with its 95 % interval.

    An image counts as artifacted if it has an artifact or if the observer raises a false alarm: r = p + (1 - p) f, thus
    p = (r - f) / (1 - f), Abbott's formula (Abbott 1925, J Econ Entomol 18:265); sensitivity is taken as 1. The
    interval is that of `DRAWS` draws of both rates from their beta distributions with Jeffreys' prior. Hits are counted
    among synthetic images, alarms among real ones, the controls.
    """
    f = alarms / controls
    rng = np.random.default_rng(0)
    r = rng.beta(hits + 0.5, images - hits + 0.5, DRAWS)
    g = rng.beta(alarms + 0.5, controls - alarms + 0.5, DRAWS)
    draws = np.clip((r - g) / (1 - g), 0, 1)
    estimate = max((hits / images - f) / (1 - f), 0.0) if f < 1 else 0.0
    return Estimate(estimate, float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975)))


def rates(labels: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """Compute the rates of every class by observer, kind and view, with exact intervals, from a table of `read_labels`.

    Returns:
        columns observer, kind, view ("all" for all together, "both" for breasts of which both views are labeled: an
        artifact counts that is in one of them), artifact, found, shown, rate, low, high (Clopper &
        Pearson 1934, Biometrika 26:404); for synthetic images also excess, excess_low, excess_high beyond the controls
        of the view (see `excess_rate`), NaN without controls.
    """
    joined = labels.merge(key, on="number", validate="many_to_one")
    everything = pd.concat([joined.assign(view="all"), joined[joined["view"] != ""]])
    if "breast" in joined:
        breasts = joined[joined["breast"] != ""].groupby(["observer", "kind", "breast"])
        found = breasts[[ANY, *KEYS]].max()[breasts.size() == 2]
        everything = pd.concat([everything, found.reset_index().assign(view="both")])
    groups = dict(iter(everything.groupby(["observer", "kind", "view"], sort=True)))
    rows = []
    for (observer, kind, view), part in groups.items():
        controls = groups.get((observer, "real", view), part[:0])
        for artifact in (ANY, *KEYS):
            hits, images = int(part[artifact].sum()), len(part)
            low, high = stats.binomtest(hits, images).proportion_ci(method="exact")
            excess = Estimate(np.nan, np.nan, np.nan)
            if kind == "synthetic" and len(controls):
                excess = excess_rate(hits, images, int(controls[artifact].sum()), len(controls))
            rows.append((observer, kind, view, artifact, hits, images, hits / images, low, high, *excess))
    columns = ["observer", "kind", "view", "artifact", "found", "shown", "rate", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "excess", "excess_low", "excess_high"])


def views_compared(table: pd.DataFrame) -> pd.DataFrame:
    """Compare CC and MLO in a table of `rates`: Fisher's exact test and ratio of the rates of synthetic images.

    Returns:
        columns observer, artifact, cc, mlo (rates), ratio (MLO over CC, NaN without one in CC) and p; no row where a
        view is missing.
    """
    rows = []
    synthetic = table[table["kind"] == "synthetic"]
    for (observer, artifact), part in synthetic.groupby(["observer", "artifact"], sort=False):
        views = {row.view: row for row in part.itertuples()}
        if not {"CC", "MLO"} <= views.keys():
            continue
        cc, mlo = views["CC"], views["MLO"]
        p = float(stats.fisher_exact([[row.found, row.shown - row.found] for row in (mlo, cc)]).pvalue)
        rows.append((observer, artifact, cc.rate, mlo.rate, mlo.rate / cc.rate if cc.found else np.nan, p))
    return pd.DataFrame(rows, columns=["observer", "artifact", "cc", "mlo", "ratio", "p"])


def agreement(labels: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Compute the agreement of each pair of observers on the images that both labeled, from a table of `read_labels`.

    Cohen's kappa (Cohen 1960, Educ Psychol Meas 20:37) with a percentile interval over images drawn anew; resamples in
    which both call all images the same have no kappa and are left out.

    Returns:
        columns first, second (observers), artifact, images, agree (share), kappa, low, high; kappa is NaN where neither
        saw the class, or both saw it everywhere.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for first, second in combinations(sorted(labels["observer"].unique()), 2):
        pair = labels[labels["observer"] == first].merge(labels[labels["observer"] == second], on="number")
        if pair.empty:
            continue
        picks = rng.integers(len(pair), size=(BOOTSTRAPS, len(pair)))
        for artifact in (ANY, *KEYS):
            a, b = (pair[f"{artifact}_{side}"].to_numpy(bool) for side in "xy")
            kappa, low, high = np.nan, np.nan, np.nan
            if len(set(a) | set(b)) == 2:
                kappa = float(cohen_kappa_score(a, b))
                low, high = np.nanquantile(_kappas(a[picks], b[picks]), (0.025, 0.975))
            rows.append((first, second, artifact, len(pair), float((a == b).mean()), kappa, low, high))
    return pd.DataFrame(rows, columns=["first", "second", "artifact", "images", "agree", "kappa", "low", "high"])


def _kappas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa of yes-or-no answers along the last axis; NaN where both are constant and alike."""
    observed = (first == second).mean(-1)
    p, q = first.mean(-1), second.mean(-1)
    expected = p * q + (1 - p) * (1 - q)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def detection(labels: pd.DataFrame, scores: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """Compare the detectors with the observers: area under the ROC curve, average precision, precision and recall.

    Args:
        labels, key: tables of `read_labels` and `inspection.read_key`.
        scores: columns number and one per detector (`Detectors.scores`), of the synthetic images.

    Returns:
        one row per observer and detector: images, artifacts (labeled any), auc, average_precision, and precision and
        recall of the images flagged, with a surprise of `THRESHOLD` or more; NaN where the observer called all images
        alike, or nothing was flagged.
    """
    synthetic = key.loc[key["kind"] == "synthetic", ["number"]]
    joined = labels.merge(synthetic, on="number").merge(scores, on="number", suffixes=("", "_score"))
    rows = []
    for observer, part in joined.groupby("observer"):
        truth = part[ANY].to_numpy(bool)
        both = 0 < truth.sum() < len(truth)
        for detector in [c for c in scores.columns if c != "number"]:
            score = part[f"{detector}_score" if detector in labels else detector].to_numpy(float)
            flagged = score >= THRESHOLD
            hits = int((flagged & truth).sum())
            measures = (roc_auc_score, average_precision_score)
            auc, average = (float(measure(truth, score)) if both else np.nan for measure in measures)
            precision, recall = (hits / chosen.sum() if chosen.any() else np.nan for chosen in (flagged, truth))
            rows.append((observer, detector, len(part), int(truth.sum()), auc, average, precision, recall))
    names = ["observer", "detector", "images", "artifacts", "auc", "average_precision", "precision", "recall"]
    return pd.DataFrame(rows, columns=names)
