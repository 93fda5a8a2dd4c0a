"""AUCs of several readers: published numbers of the Van Dyke data, iMRMC, brute force, and simulated studies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_readers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from mammogan.errors import ParameterError
from mammogan.stats.mrmc import COLUMNS, Contrast, auc_interval, cases_needed, imrmc, obuchowski_rockette, reader_aucs

REFERENCE = json.loads((Path(__file__).parents[1] / "van_dyke.json").read_text())


def van_dyke() -> pd.DataFrame:
    rows = [
        (test, reader, case, truth == "1", int(rating))
        for test, readers in REFERENCE["ratings"].items()
        for reader, ratings in readers.items()
        for case, (truth, rating) in enumerate(zip(REFERENCE["truth"], ratings, strict=True), 1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_components_and_aucs_are_the_published_ones() -> None:
    published = REFERENCE["MRMCaov"]
    aucs = reader_aucs(van_dyke())
    assert (aucs.tests, aucs.readers, aucs.cases, aucs.smallest) == (["1", "2"], list("12345"), 114, 45)
    np.testing.assert_allclose(aucs.auc, [published["auc"]["1"], published["auc"]["2"]], atol=5e-8)
    errors = np.sqrt(np.einsum("trtr->tr", aucs.covariance))
    np.testing.assert_allclose(errors, [published["error_of_auc"]["1"], published["error_of_auc"]["2"]], atol=5e-10)
    analysis = obuchowski_rockette(aucs)
    for name, value in published["jackknife"].items():
        assert analysis.components[name] == pytest.approx(value, abs=5e-10), name
    for name, square in published["MS(R)"].items():
        assert analysis.tests[name].mean_square == pytest.approx(square, abs=5e-10)


def test_intervals_are_the_published_ones_of_delongs_covariances() -> None:
    published = REFERENCE["MRMCaov"]["delong"]
    covariances = published["cov"]
    shared = covariances["cov2"] - covariances["cov3"]
    mean_square = REFERENCE["MRMCaov"]["MS(T:R)"]
    printed = published["difference"]
    difference = Contrast(printed["value"], 5, 114, mean_square, shared, 0.0, 2, 45)
    assert tuple(difference.interval()) == pytest.approx([printed[k] for k in ("value", "low", "high")], abs=2e-7)
    assert difference.p() == pytest.approx(printed["p"], abs=2e-7)
    for name, printed in published["tests"].items():
        auc = Contrast(printed["value"], 5, 114, REFERENCE["MRMCaov"]["MS(R)"][name], printed["cov2"], 0.0, 1, 45)
        assert (auc.error, auc.df) == pytest.approx((printed["error"], printed["df"]), rel=1e-6)
        step = stats.t.ppf(0.975, auc.df) * auc.error
        assert (auc.value - step, auc.value + step) == pytest.approx((printed["low"], printed["high"]), abs=1e-7)
        value, low, high = auc.interval()
        steps = np.diff(special.logit([low, value, high])) * value * (1 - value)
        np.testing.assert_allclose(steps, step)  # the same on the scale of the log odds
        assert auc.p(0.5) < 0.001
        assert auc.p(high) == pytest.approx(0.05, abs=1e-6)


def test_power_is_that_of_rjafroc_and_sizes_reach_it() -> None:
    difference = obuchowski_rockette(reader_aucs(van_dyke())).differences["1", "2"]
    for readers, cases, power in REFERENCE["RJafroc"]["power"]:
        assert difference.power(0.05, readers, cases) == pytest.approx(power, abs=1e-6)
    needed = cases_needed(difference, 0.05, 6, 0.8)
    assert difference.power(0.05, 6, needed) >= 0.8 > difference.power(0.05, 6, needed - 10)
    assert cases_needed(difference, 0.01, 3, 0.9) is None


def test_imrmc_reads_the_export_and_finds_the_same_aucs() -> None:
    table = van_dyke()
    some = table[(3 * table["case"] + 2 * table["reader"].astype(int) + table["test"].astype(int)) % 7 != 0]
    aucs = reader_aucs(some)
    oracle = REFERENCE["iMRMC"]
    np.testing.assert_allclose(aucs.auc, [oracle["auc"]["1"], oracle["auc"]["2"]], atol=1e-9)
    variance = np.einsum("trtr->tr", aucs.covariance)
    np.testing.assert_allclose(variance, [oracle["variance"]["1"], oracle["variance"]["2"]], rtol=0.05, atol=1e-6)
    whole = obuchowski_rockette(reader_aucs(table))  # U statistics there, the jackknife here
    for name, (value, squared) in list(oracle["all"].items())[:2]:
        assert (whole.tests[name].value, whole.tests[name].error ** 2) == pytest.approx((value, squared), rel=0.02)
    assert whole.differences["1", "2"].p() == pytest.approx(oracle["all"]["difference"][2], abs=1e-3)
    lines = imrmc(some.assign(case="a, b " + some["case"].astype(str)), " Van\nDyke").splitlines()
    assert lines[:6] == ["Van Dyke", "NR: 5", "N0: 69", "N1: 45", "NM: 2", "BEGIN DATA:"]
    assert lines[6].startswith("-1,a_b_") and lines[6].endswith(",truth,0")
    assert len(lines) == 6 + 114 + len(some)
    assert all(line.count(",") == 3 for line in lines[6:])
    with pytest.raises(ParameterError, match="a reader differ only in commas"):
        imrmc(some.assign(reader=np.where(some["reader"] == "1", "a b", "a,b")), "title")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 4))
def test_aucs_and_covariances_equal_brute_force(seed: int, readers: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    cases = 14
    positive = np.arange(cases) % 2 == 0
    case, reader = np.meshgrid(np.arange(cases), np.arange(readers))
    table = pd.DataFrame({"test": "a", "reader": reader.ravel(), "case": case.ravel()})
    table = table.assign(positive=positive[table["case"]], rating=rng.integers(levels, size=len(table)))
    table = table[(rng.random(len(table)) > 0.1) | (table["case"] < 4)]  # readers differ in their cases

    def auc(keep: np.ndarray) -> np.ndarray:
        of = [
            [(keep & (table["reader"] == r) & (table["positive"] == kind)) for kind in (True, False)]
            for r in range(readers)
        ]
        pairs = [np.subtract.outer(*(rating[rows.to_numpy()] for rows in each)) for each in of]
        return np.array([(np.sign(wins) / 2 + 0.5).mean() for wins in pairs])

    rating, case = table["rating"].to_numpy(), table["case"].to_numpy()
    aucs = reader_aucs(table)
    np.testing.assert_allclose(aucs.auc[0], auc(case >= 0))
    without = np.stack([auc(case != out) for out in range(cases)]) - auc(case >= 0)
    expected = (aucs.cases - 1) / aucs.cases * without.T @ without
    np.testing.assert_allclose(aucs.covariance[0, :, 0], expected, atol=1e-12)


def test_tests_that_share_negative_cases_are_correlated_by_these_alone() -> None:
    table = simulated_readers.Raters(readers=4, cases=30).draw(np.random.default_rng(3))
    real, first = table[~table["positive"]], table[table["positive"]]
    second = first.assign(test="b", case="b" + first["case"], rating=first["rating"].to_numpy()[::-1])
    both = pd.concat([real, first, real.assign(test="b"), second])
    aucs = reader_aucs(both)
    assert (aucs.cases, aucs.cases_of_tests) == (45, [30, 30])
    analysis = obuchowski_rockette(aucs)
    assert (analysis.tests["a"].cases, analysis.differences["a", "b"].cases) == (30, 45)
    alone = [reader_aucs(both[both["test"] == test]) for test in ("a", "b")]
    for number, one in enumerate(alone):
        np.testing.assert_allclose(aucs.auc[number], one.auc[0])
    ratio = (aucs.cases - 1) / aucs.cases / (29 / 30)
    np.testing.assert_allclose(aucs.covariance[0, :, 0], ratio * alone[0].covariance[0, :, 0])
    assert 0 < np.abs(aucs.covariance[0, 0, 1, 0]) < aucs.covariance[0, 0, 0, 0]


def test_perfect_and_constant_readers_have_defined_numbers() -> None:
    rows = [("a", r, c, c < 10, float(c < 10)) for r in "xyz" for c in range(25)]
    perfect = pd.DataFrame(rows, columns=list(COLUMNS))
    auc = obuchowski_rockette(reader_aucs(perfect)).tests["a"]
    exact = stats.binomtest(10, 10).proportion_ci()
    assert tuple(auc.interval()) == pytest.approx((1, exact.low, 1))
    assert auc.p(0.5) == pytest.approx(stats.binomtest(10, 10).pvalue)
    inverse = obuchowski_rockette(reader_aucs(perfect.assign(rating=-perfect["rating"]))).tests["a"]
    assert tuple(inverse.interval()) == pytest.approx((0, 0, 1 - exact.low))
    constant = obuchowski_rockette(reader_aucs(perfect.assign(rating=3))).tests["a"]
    assert (constant.value, constant.p(0.5)) == (0.5, 1.0)
    with pytest.raises(ParameterError, match="vary neither"):
        constant.interval()
    # Readers who are alike: the error is that of cases, with infinitely many degrees of freedom.
    noise = np.random.default_rng(0).normal(size=25)
    alike = obuchowski_rockette(reader_aucs(perfect.assign(rating=np.tile(noise, 3)))).tests["a"]
    assert alike.df == np.inf
    low, high = alike.interval()[1:]
    slope = alike.value * (1 - alike.value)
    assert np.ptp(special.logit([low, high])) * slope == pytest.approx(2 * stats.norm.ppf(0.975) * alike.error)
    assert 0 < alike.power(0.2, 3, 25) < 1


def test_what_has_no_auc_is_refused_or_left_out() -> None:
    table = van_dyke()
    few = table[(table["reader"] != "4") | (table["case"] < 3)]
    assert reader_aucs(few).left_out == ["4"]
    with pytest.raises(ParameterError, match="Fewer than two readers"):
        reader_aucs(table[table["reader"] == "1"])
    with pytest.raises(ParameterError, match="is positive in one row and negative"):
        reader_aucs(pd.concat([table, table.iloc[:1].assign(test="3", positive=~table["positive"].iloc[0])]))


@pytest.mark.slow
@pytest.mark.parametrize(("readers", "seen"), [(3, 1.0), (6, 0.5)])
def test_intervals_cover_for_simulated_readers_and_cases(readers: int, seen: float) -> None:
    raters = simulated_readers.Raters(readers=readers, cases=60, seen=seen)
    rng = np.random.default_rng(11)
    aucs = [obuchowski_rockette(reader_aucs(raters.draw(rng))).tests["a"] for _ in range(300)]
    covered = [auc.interval().low <= raters.auc <= auc.interval().high for auc in aucs]
    assert 0.92 < np.mean(covered) < 0.985
    assert [auc.p(raters.auc) > 0.05 for auc in aucs] == covered
    assert np.mean([auc.value for auc in aucs]) == pytest.approx(raters.auc, abs=0.01)


def test_the_interval_of_an_auc_holds_it_and_has_a_width() -> None:
    for auc in (0.0, 1.0):
        exact = stats.binomtest(int(8 * auc), 8).proportion_ci()
        assert auc_interval(auc, 0.0, 8) == pytest.approx((auc, exact.low, exact.high))
    found = auc_interval(0.98, 0.05, 8)
    assert 0 < found.low < 0.98 < found.high < 1
    odds = np.log(np.array(found) / (1 - np.array(found)))
    assert odds[1] + odds[2] == pytest.approx(2 * odds[0])
