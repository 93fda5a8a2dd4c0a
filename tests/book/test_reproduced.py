"""The Sphinx extension of the book: roles, directives, banner, badge, and what fails a build."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
import reproduced
from book_fixtures import STAGES, build, settings, stage_files

from mammogan.report import provenance
from mammogan.report.provenance import ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A book of one page around chapters of fixtures."""
    settings(tmp_path)
    chapters = "".join(f"  - file: book/executed/{stage}\n" for stage in STAGES)
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    (tmp_path / "book" / "index.md").write_text(
        "# Start\n\n$x^2$ {val}`readers.size:paper` {val}`deviations.size` {cite:p}`karras2018`\n\n"
        "{val}`readers.size:estimate` {val}`readers.name:estimate`\n\n"
        "{paper}`Table 1` {paper}`not in it; its introduction is`\n\n"
        ":::{fold} All <numbers>\n```{compare} readers.size\n```\n:::\n\n"
        "from -0.5 to `-1.5`\n\n"
        "```{bibliography}\n```\n"
    )
    for stage in STAGES:
        stage_files(tmp_path / "book" / "executed", stage)
    return tmp_path


def page(source: Path, name: str) -> str:
    return (source / "_build" / "html" / f"{name}.html").read_text()


@pytest.mark.slow
def test_numbers_tables_banner_and_data(source: Path) -> None:
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    chapter = page(source, "book/executed/05_reader_statistics")
    assert ">12.3\N{NO-BREAK SPACE}%<" in chapter
    assert "10.0 to 15.0\N{NO-BREAK SPACE}%" in chapter
    assert "verdict-reproduced" in chapter
    assert "n = " in chapter.split("caption-text")[1][:200]
    assert '<div class="run-banner run-banner-smoke" role="note">' in chapter
    assert "SMOKE RUN" in page(source, "book/index")
    assert "Origin of the results on this page" in chapter
    assert "Origin of the results" not in page(source, "book/index")
    assert 'href="../../data/05_reader_statistics/points.csv"' in chapter
    points = (source / "book/executed/05_reader_statistics/data/points.csv").read_text()
    assert (source / "_build/html/data/05_reader_statistics/points.csv").read_text() == points
    assert 'href="../../code/05_reader_statistics.html#points"' in chapter
    assert "style.spectra" in re.sub("<[^>]+>", "", page(source, "code/05_reader_statistics"))
    assert "def spectra" in re.sub("<[^>]+>", "", page(source, "code/05_reader_statistics"))
    assert 'data-stale="current"' in chapter
    assert 'data-stale="current"' in page(source, "book/index")
    measured = json.loads((ROOT / reproduced.MEASURED["deviations"]).read_text())
    assert f">{measured['deviations.size']['value']}<" in page(source, "book/index")
    assert "<svg" in page(source, "book/index")
    assert ">12.3\N{NO-BREAK SPACE}% (10.0 to 15.0\N{NO-BREAK SPACE}%)<" in page(source, "book/index")
    assert ">In the paper: Table 1<" in page(source, "book/index")
    assert ">Not in the paper; its introduction is<" in page(source, "book/index")
    plain = re.sub("<[^>]+>", "", page(source, "book/index"))
    assert "from \N{MINUS SIGN}0.5 to -1.5" in plain  # code may be copied
    closed = r'<details class="hide"><summary>All &lt;numbers&gt;</summary>.*12\.3.*</details>'
    assert re.search(closed, page(source, "book/index"), re.S)
    assert "https://cdn" not in chapter

    # A new number reaches the page in an incremental build, and another profile gets another banner.
    folder = source / "book" / "executed" / "05_reader_statistics"
    results = folder / "results.json"
    entries = json.loads(results.read_text())
    entries["readers.size"] |= {"value": 99.9, "tolerance": None, "verdict": "cannot be compared"}
    results.write_text(json.dumps(entries))
    for path in (source / "book" / "executed").glob("*/provenance.json"):
        record = json.loads(path.read_text()) | {"profile": "reference"}
        record["files"]["results.json"] = provenance.file_hash(path.with_name("results.json"))
        # Code that changed since is shown, and does not fail a profile that is not run again in minutes.
        record["modules"]["mammogan/report/style.py"] = "another"
        path.write_text(json.dumps(record))
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    chapter = page(source, "book/executed/05_reader_statistics")
    assert ">99.9\N{NO-BREAK SPACE}%<" in chapter
    assert 'class="run-banner' not in chapter and 'class="run-line' in chapter
    assert "SMOKE" not in chapter
    assert 'data-stale="stale"' in chapter
    assert re.search(r"mammogan/report/style\.py</code> <strong>changed</strong>", chapter)


@pytest.mark.slow
def test_what_fails_a_build(source: Path) -> None:
    """Unknown keys; a failed cell, a missing notebook, a number that its notebook did not write, stale code."""
    texts = {
        "{val}`readers.unknown`": "there is no result 'readers.unknown'",
        "{val}`readers.name:interval`": "there is no result 'readers.name:interval'",
        "{csv}`readers/unknown`": "there is no data 'readers/unknown'",
        "```{compare} nothing.*\n```": "no result with a paper's value matches 'nothing.*'",
        "$\\frac{1$": "MathJax does not accept the formula",
    }
    body = "\n\n".join(texts)
    (source / "book" / "index.md").write_text(f"# Start\n\n{body}\n\n```{{bibliography}}\n:all:\n```\n")
    executed = source / "book" / "executed"
    (executed / "01_preprocessing.ipynb").unlink()
    content = nbformat.read(executed / "02_progressive_training.ipynb", 4)
    content.cells[2].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=["x"])]
    nbformat.write(content, executed / "02_progressive_training.ipynb")
    results = executed / "03_artifact_inspection" / "results.json"
    results.write_text(results.read_text().replace("12.34", "12.35"))
    record = executed / "04_moment_alignment" / "provenance.json"
    record.write_text(
        record.read_text().replace(json.loads(record.read_text())["modules"]["mammogan/report/style.py"], "00")
    )
    results = executed / "05_reader_statistics" / "results.json"
    results.write_text(results.read_text().replace("reproduced", "not reproduced"))
    done = build(source)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for sentence in (
        *texts.values(),
        "01_preprocessing.ipynb is missing",
        "02_progressive_training holds a failed cell (ValueError)",
        "03_artifact_inspection/results.json is not what its notebook wrote",
        "the numbers of 04_moment_alignment are stale, mammogan/report/style.py changed",
        "the verdict of readers.size does not follow from its numbers",
    ):
        assert sentence in said, sentence


@pytest.mark.slow
def test_one_stale_number_alone_fails_a_build(source: Path) -> None:
    (source / "book" / "executed" / "01_preprocessing" / "data" / "points.csv").write_text("a,b\n1,3\n")
    assert build(source).returncode != 0


def test_arithmetic_of_a_claim() -> None:
    """One slip is enough, in print or in the text; what was measured on images says nothing about print."""
    follows, slip = ({"basis": "print", "verdict": verdict} for verdict in ("follows from print", "slip in print"))
    agree, contradict = ({"basis": "text", "verdict": verdict} for verdict in ("agree", "contradict"))
    unchecked, measured = {"basis": "print", "verdict": "not checkable"}, {"basis": "images", "verdict": "reproduced"}
    assert reproduced.arithmetic([follows, agree, unchecked, measured]) == ("follows from print", " (2 of 2)")
    assert reproduced.arithmetic([follows, slip, contradict]) == ("slip in print", " (2 of 3)")
    assert reproduced.arithmetic([measured, unchecked]) == ("not checkable", "")
    assert reproduced.arithmetic([]) == ("not checkable", "")


def test_condition_of_a_claim() -> None:
    results = {"a.p": {"value": 0.03}, "a.name": {"value": "nobody"}}
    assert reproduced.holds("a.p <= 0.05", results) and not reproduced.holds("a.p > 0.05", results)
    assert not reproduced.holds("a.name >= 0", results)
    with pytest.raises(KeyError):
        reproduced.holds("a.q < 1", results)


def test_the_number_of_the_paper_has_the_digits_in_print() -> None:
    entry = {"format": ".4f", "unit": "", "value": 0.4875}
    assert reproduced.format_paper({**entry, "paper": 0.488}) == "0.488"
    assert reproduced.format_paper({**entry, "paper": 117.0, "unit": "%"}) == "117\N{NO-BREAK SPACE}%"


def test_durations_and_energy() -> None:
    assert reproduced.duration(3) == "3 s"
    assert reproduced.duration(150) == "2.5 min"
    assert reproduced.duration(102) == "100 s"  # and not 1e+02
    assert reproduced.duration(3 * 86400) == "3 days"
    record = {"seconds": 3600.0, "device": "2 x NVIDIA H100"}
    cost = reproduced.costs({"02_progressive_training": record})
    assert cost["cost.energy_all"]["value"] == "1.4\N{NO-BREAK SPACE}kWh"
    assert cost["cost.02_progressive_training"]["value"] == "60 min"
