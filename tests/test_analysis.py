"""Analysis of any reader study: its report against SciPy, and tables from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import simulated_readers
from scipy import stats

from mammogan.report import reader_study
from mammogan.report.results import Results
from mammogan.stats import proportions
from mammogan.stats.responses import NEEDED, check_responses

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


def differing_images(spread: float) -> pd.DataFrame:
    """A study of three columns and the images shown; they differ by `spread` in log odds."""
    y, shown = simulated_readers.Readers(images=spread, readers=80, pool=25).draw(np.random.default_rng(1))
    reader, question = np.indices(y.shape)
    columns = {"reader": reader, "question": question + 1, "correct": y, "real_id": shown}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}).astype(str)


def test_intervals_that_do_not_hold_are_marked(tmp_path: Path) -> None:
    said = {}
    for spread in (0.0, 0.9):
        study = reader_study.StudyAnswers(check_responses(differing_images(spread)), simulations=99)
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
    tables = [check_responses(differing_images(spread)) for spread in (0.0, 0.9)]
    table = reader_study.spread([reader_study.StudyAnswers(t) for t in tables], [reader_study.overall]).set_index("key")
    rates = sorted(t["correct"].mean() for t in tables)
    assert table.loc["rate", ["lowest", "highest"]].tolist() == pytest.approx(rates)
    low = [proportions.exact_interval(t["correct"].sum(), 800).low for t in tables]
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
