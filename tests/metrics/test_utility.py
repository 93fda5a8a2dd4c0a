"""Utility of images: scores are those of plain counts, and planted worth is found, of real and of synthetic images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from mammogan.errors import ParameterError
from mammogan.metrics.classifiers import MAPS, Labeled, TrainingSet, change, linear, network
from mammogan.metrics.utility import (
    ARMS,
    BINS,
    BOOTSTRAPS,
    Predictions,
    auc,
    draw_scores,
    gain_table,
    predict,
    rarer,
    score_table,
    scores,
    training_sets,
)


def drawn(n: int, seed: int, signal: float = 1.0, first: int = 0, size: tuple[int, int] = (20, 16)) -> Labeled:
    """Draw noise with a bright square where the label is positive, two images per patient."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    images = rng.normal(0.4, 0.1, (n, *size))
    images[labels, 6:12, 4:10] += 0.15 * signal
    return Labeled(np.clip(images, 0, 1).astype(np.float32), labels, first + np.arange(n) // 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30))
def test_scores_are_those_of_scikit_learn(rows: list[tuple[int, bool, int]]) -> None:
    p, y = np.array([row[0] for row in rows]) / 4, np.array([row[1] for row in rows])
    weights = np.array([row[2] for row in rows], float)
    used = weights > 0
    if not used.any():
        return
    found = scores(p, y, weights)
    assert found[1] == pytest.approx(brier_score_loss(y[used], p[used], sample_weight=weights[used], pos_label=True))
    if len(set(y[used])) == 2:
        assert found[0] == pytest.approx(roc_auc_score(y[used], p[used], sample_weight=weights[used]))
    else:
        assert np.isnan(found[0])


def test_the_calibration_error_is_that_of_groups() -> None:
    rng = np.random.default_rng(1)
    p = rng.permutation(np.linspace(0.01, 0.99, 200))
    y = rng.random(200) < p**2
    order = np.argsort(p)
    groups = np.split(order, BINS)
    expected = np.mean([abs(p[group].mean() - y[group].mean()) for group in groups])
    assert scores(p, y, np.ones(200))[2] == pytest.approx(expected)
    assert auc(p, y, np.ones(200)) == pytest.approx(roc_auc_score(y, p))


def test_training_sets_are_nested_and_whole_patients_come_first() -> None:
    real, made = drawn(60, 1), drawn(100, 2)
    sets = {(arm, size): train for arm, size, train in training_sets(real, made, [10, 30], seed=4)}
    assert set(sets) == {(arm, size) for arm in ARMS for size in (10, 30)}
    few, many = sets["real", 10], sets["real", 30]
    assert few.rows.tolist() == many.rows[:10].tolist() and len(set(real.patients[few.rows])) == 5
    assert len(sets["real and synthetic, 4 each", 10].picks) == 40
    assert len(sets["real and synthetic, 4 each", 30].picks) == 100  # all that there are
    alone = sets["synthetic alone, 4 each", 10]
    assert len(alone.rows) == 0 and alone.labels.tolist() == made.labels[alone.picks].tolist()
    again = {(arm, size): train for arm, size, train in training_sets(real, made, [10, 30], seed=4)}
    assert all(np.array_equal(sets[key].picks, again[key].picks) for key in sets)
    other = next(training_sets(real, made, [10, 30], seed=5))[2]
    assert not np.array_equal(other.rows, few.rows)


def test_further_images_come_last_and_only_to_real_images_alone() -> None:
    real, further, made = drawn(30, 1), drawn(40, 2, first=500), drawn(50, 3)
    sets = {(arm, size): train for arm, size, train in training_sets(real.joined(further), made, [20, 30, 60], 4, 40)}
    assert {arm for arm, size in sets if size == 60} == {"real"} and len(sets) == 2 * len(ARMS) + 1
    rows = sets["real", 60].rows
    assert rows.max() >= 30 and sorted(rows[:30]) == list(range(30)) == sorted(sets["real", 30].rows)
    answers = predict(
        real.joined(further), made, drawn(20, 5, first=900), [20, 60], 2, more=40, classifiers={"linear": linear}
    )
    gains = gain_table(draw_scores(answers), 4).set_index(["real", "arm"])
    assert (20, "60 real images") in gains.index and len(gains) == len(ARMS)


@pytest.mark.parametrize("classifier", [linear, pytest.param(network, marks=pytest.mark.slow)])
def test_classifiers_learn_what_is_planted(classifier) -> None:
    real, made, tested = drawn(60, 1, 2.0), drawn(40, 2, 2.0), drawn(80, 3, 2.0, first=1000)
    options = {"steps": 100} if classifier is network else {}
    for classical in (False, True):
        train = TrainingSet(real, np.arange(40), made, np.arange(20), classical)
        p = classifier(train, tested, 1, **options)
        assert roc_auc_score(tested.labels, p) > 0.9
        np.testing.assert_array_equal(p, classifier(train, tested, 1, **options))  # a seed gives one result


def test_the_network_has_the_stated_size() -> None:
    weights = sum(9 * a * b + b + 2 * b for a, b in zip((1, *MAPS), MAPS, strict=False)) + MAPS[-1] + 1
    assert round(weights, -3) == 15_000


def test_classical_changes_are_small_and_keep_black() -> None:
    import torch

    images = np.zeros((50, 40, 32), np.float32)
    images[:, 10:30, :16] = 0.5
    moved = change(images, torch.Generator().manual_seed(1))
    assert moved.min() >= 0 and np.median(moved[:, :3, -3:]) <= 0.06
    assert np.abs(moved - images).mean() < 0.15
    assert len({image.tobytes() for image in moved}) == 50


@pytest.mark.slow
def test_gains_find_what_synthetic_images_are_worth() -> None:
    real, tested = drawn(80, 1, 0.6), drawn(200, 3, 0.6, first=1000)
    worth, useless = drawn(400, 5, 0.6), drawn(400, 6, 0.0)
    gains = {}
    for name, made in (("worth", worth), ("useless", useless)):
        draws = draw_scores(predict(real, made, tested, [16, 64], 3, classifiers={"linear": linear}))
        gains[name] = gain_table(draws, 40).set_index(["real", "arm"])
    arm = "real and synthetic, 4 each"
    assert gains["worth"].loc[(16, arm), "low"] > 0
    assert gains["useless"].loc[(16, arm), "gain"] < gains["worth"].loc[(16, arm), "low"]
    # What more real images are worth does not depend on the synthetic ones.
    more = [gains[name].loc[(16, "64 real images")] for name in gains]
    assert more[0].equals(more[1]) and more[0]["low"] > 0
    # 64 synthetic images that are as good as real ones and 16 real ones are worth about as much as 64 real ones.
    assert gains["worth"].loc[(16, arm), "gain"] == pytest.approx(more[0]["gain"], abs=0.06)


@pytest.mark.parametrize("seed", [3, 4])
def test_intervals_are_those_of_a_plain_bootstrap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tested = Labeled(np.zeros((12, 1, 1), np.float32), np.arange(12) % 3 == 0, np.arange(12) // 2)
    p = {("linear", arm, 10): rng.random((3, 12)) for arm in ARMS}
    draws = draw_scores(Predictions(tested, p), seed)
    plain = np.random.default_rng(seed)
    patients = [plain.integers(6, size=6) for _ in range(BOOTSTRAPS)]
    seeds = [plain.integers(3, size=3) for _ in range(BOOTSTRAPS)]
    for draw in range(4):
        rows = np.concatenate([np.flatnonzero(tested.patients == patient) for patient in patients[draw]])
        values = p["linear", "real", 10][seeds[draw]][:, rows]
        expected = np.mean([brier_score_loss(tested.labels[rows], each, pos_label=True) for each in values])
        assert draws["linear", "real", 10][1 + draw, 1] == pytest.approx(expected)
    table = score_table(draws, 2).set_index(["arm", "score"])
    assert table.loc[("real", "AUC"), "value"] == pytest.approx(
        np.mean([roc_auc_score(tested.labels, each) for each in p["linear", "real", 10]])
    )


def test_sets_that_cannot_be_used_are_refused() -> None:
    real, made, tested = drawn(20, 1), drawn(20, 2), drawn(20, 3, first=1000)
    one = Labeled(made.images, np.ones(20, bool), made.patients)
    for sets, sentence in (
        ((one, made, tested), "real training images have one class"),
        ((real, one, tested), "synthetic images have one class"),
        ((real, made, one), "test images have one class"),
        ((real, made, real), "10 patients are among training and test images"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            predict(*sets, [10], 1)
    with pytest.raises(ParameterError, match="--sizes are 2 to 20"):
        predict(real, made, tested, [10, 21], 1)
    rare = Labeled(np.zeros((4000, 4, 4), np.float32), np.arange(4000) == 0, np.arange(4000) // 4000)
    with pytest.raises(ParameterError, match="2 real images rarely hold both classes"):
        list(training_sets(rare, made, [2], 0))


def test_an_interval_holds_its_score_and_is_never_of_width_zero() -> None:
    rng = np.random.default_rng(3)
    tested = Labeled(np.zeros((20, 1, 1), np.float32), np.arange(20) % 4 == 0, np.arange(20) // 2)
    right = np.where(tested.labels, 0.9, 0.1) * np.ones((1, 20))
    p = {("linear", arm, 10): right for arm in ARMS} | {("network", "real", 10): rng.random((1, 20))}
    draws = draw_scores(Predictions(tested, p), 0)
    assert rarer(tested) == 5
    table, gains = score_table(draws, rarer(tested)), gain_table(draws, rarer(tested))
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    perfect = table[(table["classifier"] == "linear") & (table["score"] == "AUC")]
    low = stats.binomtest(5, 5).proportion_ci().low
    assert perfect["low"].tolist() == pytest.approx([low] * len(ARMS)) and (perfect["high"] == 1).all()
    assert gains["low"].tolist() == pytest.approx([low - 1] * (len(ARMS) - 1)) and (gains["gain"] == 0).all()
