"""Measure what synthetic images are worth for training classifiers, next to what more real images are worth.

Classifiers are trained on real images, on the same with classical augmentation, with synthetic images, and on synthetic
images alone, for several numbers of real images and several seeds, and tested on real images of other patients. A
seed draws patients, synthetic images and initial weights. Intervals count both: every draw of the bootstrap takes seeds
and test patients with replacement, the same for all arms, so that gains are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammogan.errors import ParameterError
from mammogan.metrics.classifiers import CLASSIFIERS, Classifier, Labeled, TrainingSet
from mammogan.metrics.resampling import numbered, shuffled
from mammogan.types import Progress, no_progress

BOOTSTRAPS = 500
BINS = 5  # of equal numbers of images, of the calibration error
SCORES = ("AUC", "Brier", "calibration")
TRIES = 1000  # draws of patients, until the fewest images hold both classes


@dataclass(frozen=True)
class Arm:
    """A way to train: with the real images or without, so many synthetic ones for each, and classical augmentation."""

    real: bool
    synthetic: int
    classical: bool = False


ARMS = {
    "real": Arm(True, 0),
    "real, augmented": Arm(True, 0, classical=True),
    "real and synthetic, 1 each": Arm(True, 1),
    "real and synthetic, 4 each": Arm(True, 4),
    "synthetic alone, 4 each": Arm(False, 4),
}
BASE = "real"


@dataclass(frozen=True)
class Predictions:
    """P of positive of every test image, by classifier, arm and number of real images: (seeds, m) each."""

    tested: Labeled
    of: dict[tuple[str, str, int], np.ndarray]

    @property
    def sizes(self) -> list[int]:
        """Numbers of real images, ascending."""
        return sorted({size for _, _, size in self.of})


def auc(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Return the area under the ROC curve of p (m,) with weights (m,), ties as halves; NaN of a single class."""
    value, where = np.unique(p, return_inverse=True)
    negative = np.bincount(where, weights * ~y, len(value))
    below = np.cumsum(negative) - negative / 2
    positive = np.bincount(where, weights * y, len(value))
    total = positive.sum() * negative.sum()
    return float(positive @ below / total) if total > 0 else np.nan


def scores(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Return `SCORES` of P (m,) against y (m,) bool: AUC, Brier score (mean squared error), and calibration error.

    The last is the mean difference of predicted and observed share in `BINS` groups of as many images by their P.
    """
    total = weights.sum()
    group = np.argsort(np.argsort(p, kind="stable")) * BINS // len(p)
    error = np.abs(np.bincount(group, weights * (p - y), BINS)).sum() / total
    return auc(p, y, weights), float(weights @ (p - y) ** 2 / total), float(error)


def training_sets(
    real: Labeled, synthetic: Labeled, sizes: Sequence[int], seed: int, more: int = 0
) -> Iterator[tuple[str, int, TrainingSet]]:
    """Yield arm, number of real images and training set of a seed; fewer real images are among the more.

    Synthetic images are used once each: as many as there are, where an arm asks for more. The last `more` of the real
    images, which the generator did not see, come last, and only to real images alone.

    Raises:
        ParameterError: one of the classes is too rare for so few images.
    """
    rng, seen = np.random.default_rng([seed, 0]), len(real) - more
    for _ in range(TRIES):
        order = shuffled(real.patients[:seen], rng)
        if np.ptp(real.labels[order[: min(sizes)]].astype(int)):
            break
    else:
        raise ParameterError(f"{min(sizes)} real images rarely hold both classes; give larger --sizes.")
    picks = rng.permutation(len(synthetic))
    order = np.concatenate([order, seen + shuffled(real.patients[seen:], rng)]) if more else order
    for size in sizes:
        for name, arm in ARMS.items() if size <= seen else [(BASE, ARMS[BASE])]:
            rows = order[:size] if arm.real else order[:0]
            yield name, size, TrainingSet(real, rows, synthetic, picks[: arm.synthetic * size], arm.classical)


def predict(
    real: Labeled,
    synthetic: Labeled,
    tested: Labeled,
    sizes: Sequence[int],
    seeds: int,
    *,
    more: int = 0,
    classifiers: Mapping[str, Classifier] | None = None,
    progress: Progress = no_progress,
) -> Predictions:
    """Train all classifiers in all arms, sizes and seeds, and return their predictions.

    Args:
        real, synthetic, tested: images to train on, and real images of other patients to test on.
        sizes: numbers of real images, ascending.
        seeds: number of seeds.
        more: number of real images, the last ones, that the generator did not see; see `training_sets`.
        classifiers: by name; `CLASSIFIERS` by default.
        progress: counts "trainings".

    Raises:
        ParameterError: a set has a single class, a patient is in both real sets, or too few images for a size.
    """
    classifiers = classifiers or CLASSIFIERS
    for name, each in {"real training": real, "synthetic": synthetic, "test": tested}.items():
        if each.labels.all() or not each.labels.any():
            raise ParameterError(f"The {name} images have one class only; give more images, or another label.")
    if shared := len(set(real.patients) & set(tested.patients)):
        raise ParameterError(f"{shared} patients are among training and test images; test on other patients.")
    if max(sizes) > len(real) or min(sizes) < 2:
        raise ParameterError(f"--sizes are 2 to {len(real)}, the number of real training images, not {max(sizes)}.")
    found: dict[tuple[str, str, int], list[np.ndarray]] = {}
    trainings = [each for seed in range(seeds) for each in training_sets(real, synthetic, sizes, seed, more)]
    total, done = len(trainings) * len(classifiers), 0
    for seed, part in enumerate(np.array_split(np.arange(len(trainings)), seeds)):
        for arm, size, train in (trainings[number] for number in part):
            one_class = train.labels.all() or not train.labels.any()  # of few synthetic images
            for name, classifier in classifiers.items():
                constant = np.full(len(tested), train.labels.mean())
                answers = constant if one_class else classifier(train, tested, seed)
                found.setdefault((name, arm, size), []).append(answers)
                progress("trainings", done := done + 1, total)
    return Predictions(tested, {key: np.stack(each) for key, each in found.items()})


def draw_scores(predictions: Predictions, seed: int = 0) -> dict[tuple[str, str, int], np.ndarray]:
    """Return the mean scores over seeds, (1 + BOOTSTRAPS, 3): of all, then of draws of seeds and of test patients."""
    rng, tested = np.random.default_rng(seed), predictions.tested
    patient = numbered(tested.patients)
    count, seeds = int(patient.max()) + 1, len(next(iter(predictions.of.values())))
    weights = np.array([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(BOOTSTRAPS)])
    weights = np.concatenate([np.ones((1, count)), weights])[:, patient]
    picked = [np.arange(seeds), *(rng.integers(seeds, size=seeds) for _ in range(BOOTSTRAPS))]
    table = {}
    for key, p in predictions.of.items():
        each = []
        for draw, used in zip(weights, picked, strict=True):
            known = {s: scores(p[s], tested.labels, draw) for s in set(used.tolist())}
            each.append(np.mean([known[s] for s in used.tolist()], axis=0))
        table[key] = np.array(each)
    return table


def rarer(tested: Labeled) -> int:
    """Return the number of patients with an image of the class that fewer patients have."""
    return min(len(np.unique(tested.patients[tested.labels == kind])) for kind in (True, False))


def _interval(values: np.ndarray, least: float = 0.0) -> tuple[float, float, float]:
    """Return the first of (1 + draws,) values with the percentiles 2.5 and 97.5 of the others, widened to hold it.

    A calibration error is larger in most draws than in the sample. Where all draws are one value, as of an AUC of 1,
    the interval reaches `least` to either side.
    """
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    least = least if np.nanmax(values) - np.nanmin(values) < 1e-9 else 0.0
    return float(values[0]), float(min(low, values[0] - least)), float(max(high, values[0] + least))


def score_table(draws: Mapping[tuple[str, str, int], np.ndarray], patients: int) -> pd.DataFrame:
    """Return one row per classifier, arm, number of real images and score: value, low, high; from `draw_scores`.

    Args:
        draws: scores of draws.
        patients: see `rarer`. An AUC of 1 (or 0) in all draws has the interval of as many right (wrong) answers
            (Clopper & Pearson).
    """
    rows, unseen = [], 1 - 0.025 ** (1 / patients)
    for (classifier, arm, size), values in draws.items():
        for number, name in enumerate(SCORES):
            sure = name == "AUC" and values[0, number] in (0.0, 1.0)
            value, low, high = _interval(values[:, number], unseen if sure else 0.0)
            rows.append((classifier, arm, size, name, value, max(low, 0.0), min(high, 1.0)))
    return pd.DataFrame(rows, columns=["classifier", "arm", "real", "score", "value", "low", "high"])


def gain_table(draws: Mapping[tuple[str, str, int], np.ndarray], patients: int) -> pd.DataFrame:
    """Return the gain in AUC of each arm over as many real images alone, and of more real images, with intervals.

    Rows: classifier, real (number of images), arm ("200 real images" where more real ones replace the arm), gain, low,
    high. Draws of seeds and patients are shared, so that gains are paired. The gain of two AUCs of 1 is as uncertain as
    these, see `score_table`.
    """
    rows, unseen = [], 1 - 0.025 ** (1 / patients)
    sizes = sorted({size for _, _, size in draws})
    for (classifier, arm, size), values in draws.items():
        base = draws[classifier, BASE, size][:, 0]
        compared = {arm: values} if arm != BASE else {}
        if arm == BASE:
            compared |= {f"{more} real images": draws[classifier, BASE, more] for more in sizes if more > size}
        for name, other in compared.items():
            sure = base[0] == other[0, 0] and base[0] in (0.0, 1.0)
            rows.append((classifier, size, name, *_interval(other[:, 0] - base, unseen if sure else 0.0)))
    return pd.DataFrame(rows, columns=["classifier", "real", "arm", "gain", "low", "high"])
