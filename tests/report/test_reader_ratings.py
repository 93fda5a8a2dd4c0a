"""Sections on sides, ratings, agreement, evidence, and single readers and images: which appear, and their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_readers
from answers import answers
from scipy import stats
from sklearn.metrics import roc_auc_score

from mammogan.report.html import Table
from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.reader_ratings import agreement, choices, confidence, evidence, levels, repeats, roc, sections
from mammogan.report.reader_study import analyse
from mammogan.stats.equivalence import bayes_factor
from mammogan.stats.responses import NEEDED, check_responses, ratings

RATERS = simulated_readers.Raters(readers=5, cases=40)


def rated(**more: object) -> StudyAnswers:
    return StudyAnswers(check_responses(simulated_readers.rated_answers(RATERS, 3, **more)), simulations=99)


def values(section, study: StudyAnswers) -> dict[str, tuple[float, ...]]:
    """Return (value, low, high), or (value,), of the numbers of a section by key."""
    tables = [item for item in section(study) if isinstance(item, Table)]
    return {key: (v.value, *(v.interval or ())) for table in tables for key, v in table.values.items()}


def test_sections_appear_where_the_columns_allow_them() -> None:
    def titles(table: pd.DataFrame) -> list[str]:
        return [section.__name__ for section in sections(StudyAnswers(check_responses(table.astype(str)))).values()]

    assert titles(answers()[list(NEEDED)].iloc[:30]) == ["evidence", "levels"]
    assert titles(answers()) == ["choices", "agreement", "evidence", "levels"]
    sure = answers().assign(confidence=3)
    assert titles(sure) == ["choices", "confidence", "agreement", "evidence", "levels"]
    single = simulated_readers.rated_answers(RATERS, 3)
    assert titles(single) == ["choices", "roc", "confidence", "agreement", "evidence", "levels"]
    assert "roc" not in titles(single.drop(columns="image_id"))


def test_repeats_and_checks() -> None:
    table = answers().assign(again_answer="", checks_answered=2, checks_right=2)
    table.loc[table["question"] == 1, "again_answer"] = "left"
    missed = table["session"] == "s03"
    study = StudyAnswers(check_responses(table.astype(str)))
    assert repeats in sections(study).values()
    asked = table[table["question"] == 1]
    share = (asked["chosen_side"] == "left").mean()
    interval = stats.binomtest(int((asked["chosen_side"] == "left").sum()), len(asked)).proportion_ci()
    assert values(repeats, study)["repeats.same"] == pytest.approx((share, interval.low, interval.high))
    assert "30 attention checks were asked, and all answered right." in list(repeats(study))
    table.loc[missed, "checks_right"] = 1
    said = [item for item in repeats(StudyAnswers(check_responses(table.astype(str)))) if isinstance(item, str)]
    assert "missed in the attempts s03 (30 checks in all)" in said[-1]
    single = rated().table.assign(again_answer=lambda table: table["answer"])
    assert values(repeats, StudyAnswers(single))["repeats.same"][0] == 1


@pytest.mark.slow
def test_a_report_of_single_images_and_two_generators(tmp_path: Path) -> None:
    study = rated(generators={"A": 0.3, "B": 1.2})
    study.table["reader"] = r"$\no$" + study.table["reader"]  # no formula
    page = analyse(study, tmp_path).read_text()
    for title in sections(study):
        assert f">{title}</h2>" in page
    assert "nan" not in page.lower().replace("nan<", "")
    assert 'href="data/ratings.imrmc"' in page
    assert (tmp_path / "figures" / "roc.png").stat().st_size > 5000
    lines = (tmp_path / "data" / "ratings.imrmc").read_text().splitlines()
    assert lines[1:5] == ["NR: 5", "N0: 20", "N1: 40", "NM: 2"]
    found = {key: entry["value"] for key, entry in json.loads((tmp_path / "results.json").read_text()).items()}
    table = ratings(study.table)
    for name in "AB":
        groups = [group for _, group in table[table["test"] == name].groupby("reader")]
        expected = np.mean([roc_auc_score(group["positive"], group["rating"]) for group in groups])
        assert found[f"study.auc.{name}"] == pytest.approx(expected)
    assert found["study.auc.difference.A.B"] == pytest.approx(found["study.auc.A"] - found["study.auc.B"])
    curves = pd.read_csv(tmp_path / "data" / "roc.csv")
    areas = [np.trapezoid(c["hits"], c["false alarms"]) for _, c in curves.groupby(["test", "reader"])]
    by_reader = pd.read_csv(tmp_path / "data" / "aucs.csv")
    assert areas == pytest.approx(by_reader.loc[by_reader["reader"] != "all", "AUC"].tolist())
    sizes = pd.read_csv(tmp_path / "data" / "sizes.csv")
    assert sizes.columns.tolist() == ["readers", "AUC 0.55", "AUC 0.6", "AUC 0.7", "difference 0.1"]


@pytest.mark.slow
@pytest.mark.parametrize("right", [0, 1])
def test_ratings_that_are_all_right_or_all_wrong_have_a_report(tmp_path: Path, right: int) -> None:
    study = rated(generators={"A": 0.3, "B": 1.2})
    answer = np.where((study.table["is_synthetic"] == "yes") == bool(right), "synthetic", "real")
    study.table = study.table.assign(answer=answer, correct=right)
    assert "the size of the next study" in analyse(study, tmp_path).read_text()
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["study.auc.A"]["value"] == right and "study.auc.difference.A.B" not in found
    assert "the difference in AUC of A and B" in study.missing


def test_a_side_that_readers_prefer_is_found() -> None:
    rng = np.random.default_rng(0)
    table = answers().assign(chosen_side=lambda t: np.where(rng.random(len(t)) < 0.85, "left", t["real_side"]))
    table["correct"] = (table["chosen_side"] == table["real_side"]).astype(int)
    found = values(choices, StudyAnswers(check_responses(table.astype(str))))
    assert found["choice.left"][0] == (table["chosen_side"] == "left").mean()
    assert found["choice.left"][1] > 0.5
    assert found["choice.criterion"][2] < 0
    assert values(choices, rated())["choice.synthetic"][0] == (rated().table["answer"] == "synthetic").mean()


def test_confidence_agreement_and_evidence() -> None:
    study = rated()
    found = values(confidence, study)
    right = study.table["correct"] == 1
    assert found["confidence.auc"][0] == pytest.approx(roc_auc_score(right, study.table["confidence"]))
    by_level = next(item.frame for item in confidence(study) if isinstance(item, Table))
    assert by_level["answers"].sum() == len(study.table)
    assert by_level["rate"].tolist() == study.table.groupby("confidence")["correct"].mean().tolist()
    many = StudyAnswers(study.table.assign(confidence=np.arange(len(study.table), dtype=float)))
    assert len(next(item.frame for item in confidence(many) if isinstance(item, Table))) == 5
    agreed = values(agreement, study)
    assert set(agreed) == {"agreement.alpha", "agreement.kappa"}
    once_more = pd.concat([study.table, study.table.assign(question=study.table["question"] + 100)])
    assert values(agreement, StudyAnswers(once_more)) == agreed  # a reader does not agree with himself
    weighed, c = values(evidence, study), study.clustered()
    trials = len(study.table) / c.design_effect
    assert weighed["bayes.guessing"][0] == pytest.approx(bayes_factor(trials * right.mean(), trials))
    assert weighed["bayes.guessing"][0] > 5 * bayes_factor(right.sum(), len(right))


def test_rates_of_readers_and_images_are_shrunk() -> None:
    study = rated()
    tables = {item.name: item.frame for item in levels(study) if isinstance(item, Table) and item.name}
    assert set(tables) == {"by_reader", "by_image_id"}
    images = tables["by_image_id"]
    assert images["answers"].sum() == len(study.table)
    overall = study.table["correct"].mean()
    assert images["estimate"].std() < images["rate"].std()
    assert images["estimate"].is_monotonic_increasing
    assert stats.spearmanr(images["estimate"], images["rate"]).statistic > 0.99
    assert abs(images["estimate"].mean() - overall) < 0.05
    for table in tables.values():
        assert (table["high"] - table["low"] > 0.01).all()
    shown = [item for item in levels(study) if isinstance(item, Table) and item.caption]
    assert [len(item.frame) for item in shown] == [5, 20]
    # Readers who are all right or all wrong have no mixed model; their rates remain, with exact intervals.
    apart = pd.DataFrame({"reader": np.repeat(list("abcd"), 5), "question": np.tile(np.arange(1, 6), 4)})
    apart["correct"] = apart["reader"].isin(["a", "b"]).astype(int)
    study = StudyAnswers(check_responses(apart.astype(str)))
    _, said, table, _ = levels(study)
    assert said.endswith("exact and not shrunk.")
    exact = stats.binomtest(0, 5).proportion_ci()
    assert table.frame.loc[0, ["estimate", "low", "high"]].tolist() == pytest.approx([0, exact.low, exact.high])


def test_what_has_no_area_is_said() -> None:
    study = rated()
    real = StudyAnswers(study.table[study.table["is_synthetic"] == "no"])
    assert list(choices(real))
    assert real.missing["sensitivity and criterion"].startswith("All images are of one kind")
    few = StudyAnswers(study.table[study.table["reader"].isin(["r0"])])
    assert [str(item)[:26] for item in roc(few)] == ["Fewer than two readers rat"]
    constant = StudyAnswers(study.table.assign(answer="real", confidence=1.0))
    assert [str(item)[:16] for item in roc(constant)] == ["The ratings vary"]
    left = study.table[(study.table["reader"] != "r1") | (study.table["question"] < 3)]
    assert "Left out, as they rated fewer than two images of a kind: r1." in list(roc(StudyAnswers(left)))
