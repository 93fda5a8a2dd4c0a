"""The report on a reader study: every section, any table of three columns, and numbers of several studies."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from answers import QUESTIONS, READERS, answers, differing_images

from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.reader_sections import distribution, overall
from mammogan.report.reader_study import SECTIONS, analyse, spread, write_section
from mammogan.report.results import Results
from mammogan.stats.proportions import exact_interval
from mammogan.stats.responses import NEEDED, check_responses


def test_the_report_holds_every_section(tmp_path: Path) -> None:
    study = StudyAnswers(check_responses(answers().astype(str)), simulations=200, margin=0.2)
    page = analyse(study, tmp_path).read_text()
    for title in (*SECTIONS, "Families of tests"):
        assert f"<h2>{title}</h2>" in page
    for name in ("scores", "questions", "groups", "times", "power"):
        assert f'src="figures/{name}.png"' in page
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 5000
    assert "nan" not in page.lower().replace("nan<", "")


def test_three_columns_are_enough(tmp_path: Path) -> None:
    table = answers().iloc[: READERS * QUESTIONS][list(NEEDED)].astype(str)
    study = StudyAnswers(check_responses(table), simulations=99)
    page = analyse(study, tmp_path / "out", chapter="other").read_text()
    assert {"response times", "images as random effects", "groups against each other"} <= set(study.missing)
    assert "there is no column seconds" in page
    assert "other.rate" in json.loads((tmp_path / "out" / "results.json").read_text())


def test_numbers_of_several_studies_and_the_note_they_carry(tmp_path: Path) -> None:
    tables = [check_responses(differing_images(size)) for size in (0.0, 0.9)]
    table = spread([StudyAnswers(t) for t in tables], [overall]).set_index("key")
    rates = sorted(t["correct"].mean() for t in tables)
    assert table.loc["rate", ["lowest", "highest"]].tolist() == pytest.approx(rates)
    low = [exact_interval(t["correct"].sum(), 800).low for t in tables]
    assert table.loc["rate, low", ["lowest", "highest"]].tolist() == pytest.approx(sorted(low))
    results = Results(tmp_path, "chapter")
    study = StudyAnswers(tables[0], note="A note.", simulations=99)
    part = write_section(distribution, study, results.part("again"))
    assert part.pictures[0].caption.startswith("A note. ")
    assert plt.gcf().get_suptitle() == "A note."
    plt.close("all")
    assert (tmp_path / "figures" / "again_scores.png").exists()
    results.save()
    assert "chapter.again.fit.p" in json.loads((tmp_path / "results.json").read_text())
