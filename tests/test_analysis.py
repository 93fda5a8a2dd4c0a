"""Analysis of any reader study: its report against SciPy, foreign tables, the mixed model against lme4."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import simulated_readers
from scipy import stats

from mammogan.paper import table3
from mammogan.report import reader_study
from mammogan.report.results import Results
from mammogan.stats import equivalence, proportions, rank_tests
from mammogan.stats.mixed import mixed_logistic
from mammogan.stats.responses import NEEDED, check

LME4 = json.loads(Path(__file__).with_name("r_mixed.json").read_text())
READERS, QUESTIONS = 14, 6


def answers() -> pd.DataFrame:
    """A study with everything: traits, images shown again, times, and one repeated attempt."""
    rng = np.random.default_rng(5)
    rows = []
    for session in range(READERS + 1):
        reader = session % READERS  # the last attempt is the first reader's second
        radiologist = "yes" if reader % 2 else "no"
        for question in range(1, QUESTIONS + 1):
            real, synthetic = rng.integers(8, size=2)
            side, chosen = rng.choice(["left", "right"], 2)
            rows.append({
                "session": f"s{session:02d}", "reader": f"r{reader}", "question": question,
                "pair": f"{real}-{synthetic}", "left": "a", "right": "b", "real_side": side, "chosen_side": chosen,
                "correct": int(side == chosen), "seconds": round(float(rng.lognormal(2, 0.5)), 1),
                "confirmed_at": f"2026-01-01T{session:02d}:00:{question:02d}+00:00", "radiologist": radiologist,
                "board_certified": "" if reader % 2 == 0 else "yes" if reader % 4 == 1 else "no",
                "trainee": "" if reader % 2 == 0 else "no" if reader % 4 == 1 else "yes",
                "breast_specialist": "" if reader % 2 == 0 else "yes" if reader % 3 else "no",
                "screening": "", "years": reader if reader % 5 else "",
                "real_id": f"x{real}", "synthetic_id": f"y{synthetic}",
            })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    answers().to_csv(folder / "responses.csv", index=False)
    study = reader_study.read_study(folder / "responses.csv", simulations=200, margin=0.2)
    return reader_study.analyse(study, folder / "out").parent


def test_numbers_equal_scipy(report: Path) -> None:
    found = {key: entry["value"] for key, entry in json.loads((report / "results.json").read_text()).items()}
    table = answers()
    right, n = int(table["correct"].sum()), len(table)
    test = stats.binomtest(right, n)
    assert found["study.rate"] == pytest.approx(right / n)
    assert found["study.p"] == pytest.approx(test.pvalue)
    matrix = table.pivot(index="session", columns="question", values="correct").to_numpy()
    assert found["study.questions.kruskal.p"] == pytest.approx(stats.kruskal(*matrix.T).pvalue)
    assert found["study.readers"] == READERS
    assert found["study.repeats"] == 1
    years = pd.read_csv(report / "data" / "years.csv").set_index("group")
    said = [reader for reader in range(READERS) if reader % 5]
    assert years.loc["all"].tolist() == [len(said), *np.quantile(said, [0, 0.25, 0.5, 0.75, 1])]
    assert years.loc["radiologists", "most"] == 13
    assert found["study.seconds"] == pytest.approx(table["seconds"].median())
    scores = table.groupby(["session", "radiologist"])["correct"].mean().reset_index()
    groups = [scores.loc[scores["radiologist"] == value, "correct"] for value in ("yes", "no")]
    strata = pd.read_csv(report / "data" / "strata.csv")
    assert strata["P"].iloc[0] == pytest.approx(stats.kruskal(*groups).pvalue)
    assert (strata["P (Holm)"] >= strata["P"]).all()


def test_the_report_holds_every_section(report: Path) -> None:
    page = (report / "report.html").read_text()
    for title in ("Who took part", "Scores of attempts", "Over the questions", "Groups of readers", "Response times",
                  "Readers and images as random effects", "The next study", "Families of tests"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page
    for name in ("scores", "questions", "groups", "times", "power"):
        assert f'src="figures/{name}.png"' in page
        assert (report / "figures" / f"{name}.png").stat().st_size > 5000
    assert "nan" not in page.lower().replace("nan<", "")


def test_three_columns_are_enough(tmp_path: Path) -> None:
    answers().iloc[: READERS * QUESTIONS][list(NEEDED)].to_csv(tmp_path / "a.csv", index=False)
    study = reader_study.read_study(tmp_path / "a.csv", simulations=99)
    page = reader_study.analyse(study, tmp_path / "out", chapter="other").read_text()
    assert {"response times", "images as random effects", "groups against each other"} <= set(study.missing)
    assert "there is no column seconds" in page
    assert "other.rate" in json.loads((tmp_path / "out" / "results.json").read_text())


def test_mixed_model_equals_lme4() -> None:
    y, readers, images, question = (np.array(LME4[name]) for name in ("y", "reader", "image", "question"))
    fit = mixed_logistic(y, {"reader": readers, "image": images}, {"question": question})
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(LME4["log_likelihood"], abs=2e-3)
    np.testing.assert_allclose([b for b, _ in fit.coefficients.values()], LME4["coefficients"], atol=5e-3)
    np.testing.assert_allclose([e for _, e in fit.coefficients.values()], LME4["errors"], rtol=0.05)
    assert fit.deviations["reader"] == pytest.approx(LME4["sd_reader"], abs=0.01)
    assert fit.deviations["image"] == pytest.approx(LME4["sd_image"], abs=0.01)
    for name in ("reader", "image"):
        gain = 2 * (LME4["log_likelihood"] - LME4[f"without_{name}"])
        assert fit.p[name] == pytest.approx(stats.chi2.sf(gain, 1) / 2, abs=2e-3)


def test_mixed_model_refuses_what_it_cannot_fit() -> None:
    with pytest.raises(ValueError, match="the same"):
        mixed_logistic(np.ones(6), {"reader": np.arange(6) // 2})
    with pytest.raises(ValueError, match="no level twice"):
        mixed_logistic(np.array([0, 1, 0, 1]), {"reader": np.arange(4)})


def differing_images(spread: float) -> pd.DataFrame:
    """A study of three columns and the images shown; they differ by `spread` in log odds."""
    y, shown = simulated_readers.Readers(images=spread, readers=80, pool=25).draw(np.random.default_rng(1))
    reader, question = np.indices(y.shape)
    columns = {"reader": reader, "question": question + 1, "correct": y, "real_id": shown}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}).astype(str)


def test_intervals_that_do_not_hold_are_marked(tmp_path: Path) -> None:
    said = {}
    for spread in (0.0, 0.9):
        study = reader_study.StudyAnswers(check(differing_images(spread)), simulations=99)
        page = reader_study.analyse(study, tmp_path / str(spread)).read_text()
        found = json.loads((tmp_path / str(spread) / "results.json").read_text())
        said[spread] = "real images differ by more than chance" in page
        assert ("too narrow" in found["study.rate"]["how"]) is said[spread]
        both = found["study.clustered.rate"]
        assert both["how"] == "t interval, readers and real images as clusters"
    assert said == {0.0: False, 0.9: True}
    width, wider = (np.ptp(found[f"study.{key}"]["interval"]) for key in ("rate", "clustered.rate"))
    assert wider > 1.5 * width
    low, high = both["interval"]
    assert f"Report {both['value']:.3f} ({low:.3f} to {high:.3f})" in page
    assert len(study.warnings) == 1
    assert study.warnings[0] in page
    spread_of = pd.read_csv(tmp_path / "0.9" / "data" / "independence.csv").set_index("clusters")
    assert spread_of.loc["real images", "P"] < 0.001 < 0.05 < spread_of.loc["readers", "P"]
    groups = pd.read_csv(tmp_path / "0.9" / "data" / "groups.csv").iloc[0]
    assert groups["low (clusters)"] == pytest.approx(low)
    design = found["study.design_effect"]["value"]
    assert design == pytest.approx(
        (wider / 2 / stats.t.ppf(0.975, 24)) ** 2 / (both["value"] * (1 - both["value"]) / 800)
    )


def test_numbers_of_several_studies_and_the_note_they_carry(tmp_path: Path) -> None:
    tables = [check(differing_images(spread)) for spread in (0.0, 0.9)]
    table = reader_study.spread([reader_study.StudyAnswers(t) for t in tables], [reader_study.overall]).set_index("key")
    rates = sorted(t["correct"].mean() for t in tables)
    assert table.loc["rate", ["lowest", "highest"]].tolist() == pytest.approx(rates)
    low = [proportions.exact_interval(t["correct"].sum(), 800)[0] for t in tables]
    assert table.loc["rate, low", ["lowest", "highest"]].tolist() == pytest.approx(sorted(low))
    results = Results(tmp_path, "chapter")
    part = reader_study.distribution(
        reader_study.StudyAnswers(tables[0], note="A note.", simulations=99), results.part("again")
    )
    assert part.pictures[0].caption.startswith("A note. ")
    assert plt.gcf().get_suptitle() == "A note."
    plt.close("all")
    assert (tmp_path / "figures" / "again_scores.png").exists()
    results.save()
    assert "chapter.again.fit.p" in json.loads((tmp_path / "results.json").read_text())


def test_sizes_of_the_next_study() -> None:
    needed = equivalence.answers_for_equivalence(0.1, 0.9)
    assert equivalence.power_of_equivalence(needed, 0.1) >= 0.9 > equivalence.power_of_equivalence(needed - 20, 0.1)
    needed = equivalence.answers_for_difference(0.7, 0.9)
    assert equivalence.power_of_difference(needed, 0.7) >= 0.9 > equivalence.power_of_difference(needed - 20, 0.7)
    with pytest.raises(ValueError, match="one half"):
        equivalence.answers_for_difference(0.5, 0.9)


def test_simulated_readers() -> None:
    rng = np.random.default_rng(0)
    answers, shown = simulated_readers.Readers(rate=0.7, learning=0.3, readers=4000).draw(rng)
    assert answers.mean() == pytest.approx(0.66, abs=0.03)
    assert answers[:, -1].mean() - answers[:, 0].mean() > 0.3
    assert shown.max() < 60
    lost, _ = simulated_readers.Readers(rate=0.9, gave_up=1.0, readers=4000).draw(rng)
    assert lost[:, 0].mean() == pytest.approx(0.9, abs=0.02)
    assert lost[:, -1].mean() == pytest.approx(0.5, abs=0.03)
    spread, _ = simulated_readers.Readers(ability=1.0, readers=4000).draw(rng)
    assert spread.sum(1).var() > 1.5 * 2.5
    # The shortcut in `classical` is the test of the analysis.
    small, _ = simulated_readers.Readers(readers=40, questions=4).draw(rng)
    counts = small.sum(0)
    first, second = np.triu_indices(4, 1)
    closed = table3.conover_p(np.abs(counts[first] - counts[second]), counts, 40)
    np.testing.assert_allclose(rank_tests.conover(list(small.T))[first, second], closed, rtol=1e-9)


def test_simulated_studies_find_what_is_there() -> None:
    chosen = {name: simulated_readers.SCENARIOS[name] for name in ("all guess", "both differ")}
    table = simulated_readers.simulate(50, scenarios=chosen)
    for test in ("beta-binomial, readers differ", "Tarone, readers differ", "Tarone, images differ"):
        assert table.loc[test, "both differ"] > 0.8 > 0.2 > table.loc[test, "all guess"]
    assert table.loc["coverage: t interval over readers and images"].min() >= 0.88
    assert table.loc["coverage: exact interval", "both differ"] < 0.85
    pd.testing.assert_frame_equal(table, simulated_readers.simulate(50, scenarios=chosen))


def test_simulated_studies_do_not_depend_on_how_they_are_cut() -> None:
    name, readers = "readers learn", simulated_readers.SCENARIOS["readers learn"]
    whole = simulated_readers.outcomes(name, readers, range(4))
    parts = [simulated_readers.outcomes(name, readers, numbers) for numbers in (range(2), range(2, 4))]
    pd.testing.assert_frame_equal(whole, pd.concat(parts))
    other = simulated_readers.outcomes(name, readers, range(4), seed=1)
    assert not whole.equals(other)
    found = simulated_readers.outcomes(name, readers, range(2), analysis=simulated_readers.mixed)
    assert list(found.columns) == [
        "coverage: mixed model, averaged",
        "mixed model, readers differ",
        "mixed model, images differ",
        "mixed model, slope over questions",
    ]
