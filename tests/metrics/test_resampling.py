"""Designs, intervals and ratios against statistics whose spread is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammogan.errors import ParameterError
from mammogan.metrics.resampling import ResamplingDesign, interval, scored, shuffled, summary


def test_a_design_keeps_patients_together() -> None:
    patients = np.repeat(np.arange(30), 4)
    design = ResamplingDesign(patients, 100, draws=6, splits=6)
    assert (design.size, design.half) == (100, 58)
    for one, two, other in design.ceilings():
        assert not set(patients[one]) & set(patients[two])
        assert len(one) == len(two) == len(other) == 58
        assert len(np.unique(np.r_[one, two])) == 116
    for real, synthetic in design.intervals():
        assert len(real) == len(synthetic) == 50
        assert set(real) <= set(design.compared[0])
        # Whole patients, but for those whose other images are not compared and the one at the cut.
        assert len(set(patients[real])) <= 20
    assert [x.tolist() for x in design.ceilings()[0]] == [
        x.tolist() for x in ResamplingDesign(patients, 100, splits=1).ceilings()[0]
    ]
    # With real images to spare, the ceiling has as many images as the score.
    assert ResamplingDesign(1000, 300).half == 300
    with pytest.raises(ParameterError, match="too few patients"):
        ResamplingDesign(np.zeros(40), 40)
    with pytest.raises(ParameterError, match="synthetic images is 3; give 8 or more"):
        ResamplingDesign(40, 3)


@pytest.mark.parametrize("at_most", [0, 40])
def test_intervals_have_the_spread_of_the_mean(at_most: int) -> None:
    # The one statistic whose spread is known: half samples and small samples must both give sd / sqrt(n).
    values = np.random.default_rng(5).normal(size=400)
    design = ResamplingDesign(400, 400, draws=600)
    draws = [values[real].mean() for real, _ in design.intervals(at_most)]
    mean = interval(values.mean(), draws, design.share(at_most))
    assert mean.value == values.mean()
    assert (mean.high - mean.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_scored_covers_what_is_known_and_sees_one_distribution() -> None:
    rng = np.random.default_rng(3)
    design = ResamplingDesign(np.arange(400) // 2, 400, draws=200, splits=50)

    def measure(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        return {"mean": float(abs(a.mean() - b.mean())), "sd": float(b.std() / a.std())}

    same = scored(rng.normal(size=400), rng.normal(size=400), measure, design).set_index("measure")
    assert same.loc["mean", "ceiling_low"] <= same.loc["mean", "score_n"] <= same.loc["mean", "ceiling_high"]
    a, b = rng.normal(size=400), rng.normal(1, 1, 400)
    far = scored(a, b, measure, design, bounds={"mean": (0.0, 1.0)}).set_index("measure")
    assert far.loc["mean", "score"] == abs(a.mean() - b.mean())
    assert far.loc["mean", "score_n"] > far.loc["mean", "ceiling_high"]
    assert far.loc["mean", "high"] <= 1 < far.loc["sd", "high"]
    # The spread of half samples is that of the whole: the mean's is sqrt(2 / n).
    free = scored(a, b, measure, design).set_index("measure")
    assert free.loc["mean", "high"] - free.loc["mean", "low"] == pytest.approx(2 * 1.96 * np.sqrt(2 / 400), rel=0.2)
    finer = scored(a, b, measure, design, whole=lambda *_: {"mean": 5.0})
    assert finer["score"].tolist() == [5.0]


def test_few_draws_are_taken_as_normal() -> None:
    draws = np.random.default_rng(1).normal(size=30)
    zero = interval(0.0, draws)
    assert zero.high == pytest.approx(1.96 * draws.std(ddof=1), rel=1e-3) and zero.low == -zero.high


def test_the_ratio_of_a_score_and_its_ceiling() -> None:
    draws, ceilings = np.linspace(0.4, 0.6, 41), np.linspace(0.7, 0.9, 21)
    row = summary(0.5, draws, [0.4], ceilings, bounds=(0, 1))
    assert row["ratio"] == pytest.approx(0.5) and row["difference"] == pytest.approx(-0.4)
    every = [(0.4 + d - 0.5) / c for d in draws for c in ceilings]
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(np.quantile(every, [0.025, 0.975]))
    every = [0.4 + d - 0.5 - c for d in draws for c in ceilings]
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(np.quantile(every, [0.025, 0.975]))
    for none in (summary(0.5, draws, [0.4], [0.0]), summary(0.5, draws, [0.4], ceilings, ratio=False)):
        assert np.isnan([none["ratio"], none["ratio_low"], none["ratio_high"]]).all()
    assert summary(0.95, draws, [0.4], ceilings, bounds=(0, 1))["high"] == 1


def test_intervals_of_ratios_hold_their_estimate_and_cover() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        at_half, ceilings = rng.normal(rng.normal(0, 2), 1, 8), rng.normal(rng.normal(1, 1), 0.5, 8)
        row = summary(0.3, rng.normal(size=rng.integers(4, 80)), at_half, ceilings)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        if np.isnan(row["ratio"]):
            assert ceilings.min() <= 0
        else:
            assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    # A distance far beyond the floor, and a floor with a long tail: 1 is out of the question.
    row = summary(11.7, rng.normal(11.7, 0.2, 8), [11.75], np.array([0.23, 0.24, 0.25, 0.27, 0.28, 0.3, 0.5, 0.77]))
    assert 10 < row["ratio_low"] < row["ratio"] < row["ratio_high"] < 60
    # Coverage of the ratio of two expectations, where score and floor have errors of 10 %.
    covered = 0
    for _ in range(300):
        score, floor = rng.normal(5, 0.5), rng.normal(2, 0.2)
        row = summary(score, rng.normal(score, 0.5, 100), [score], rng.normal(floor, 0.2, 20))
        covered += row["ratio_low"] <= 2.5 <= row["ratio_high"]
    assert 0.9 <= covered / 300 <= 0.99


@given(st.lists(st.integers(0, 5), min_size=16, max_size=40), st.permutations(range(6)))
def test_draws_do_not_depend_on_the_names_of_patients(patients: list[int], names: list[int]) -> None:
    """Names are hashes, whose order changes with the salt."""
    renamed = [f"patient {names[patient]}" for patient in patients]
    one, other = (shuffled(np.array(groups), np.random.default_rng(0)) for groups in (patients, renamed))
    np.testing.assert_array_equal(one, other)
