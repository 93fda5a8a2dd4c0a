"""Several generators in one ranking: paired differences, order, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from noise import pictures
from small_stores import make_store
from typer.testing import CliRunner

from mammogan.__main__ import app
from mammogan.metrics.fidelity import kernel_distance
from mammogan.metrics.resampling import ResamplingDesign, interval, scored
from mammogan.report.ranking import MEASURES, Several, apart, measured, ranked

DESIGN = ResamplingDesign(40, 40, draws=12, splits=3)


def test_differences_are_those_of_the_same_draws() -> None:
    rng = np.random.default_rng(0)
    real, one, two = (rng.normal(shift, 1, (40, 3)) for shift in (0, 0.3, 0.6))
    rows = scored(real, Several([one, two]), apart(lambda x, y: {"KID": kernel_distance(x, y)}, ["a", "b"]), DESIGN)
    by_name = rows.set_index("measure")
    pairs = [(kernel_distance(real[r], one[s]), kernel_distance(real[r], two[s])) for r, s in DESIGN.intervals()]
    whole = kernel_distance(real, two) - kernel_distance(real, one)
    expected = interval(whole, [b - a for a, b in pairs])
    np.testing.assert_allclose(by_name.loc[[("KID", "b", "a")], ["score", "low", "high"]].to_numpy()[0], expected)
    assert by_name.loc[[("KID", "a", "b")], "ceiling"].iloc[0] == 0  # two sets of real images


@pytest.mark.slow
def test_a_blurred_set_comes_after_its_original_and_a_copy_of_it_does_not_differ() -> None:
    images = pictures(80, 40, 32)
    real, good = images[:40], images[40:]
    bad = ((good.astype(float) + np.roll(good, 1, 1) + np.roll(good, 1, 2) + np.roll(good, 2, 1)) / 4).astype(
        good.dtype
    )
    scores = measured(real, {"bad": bad, "good": good, "again": good.copy()}, 12, DESIGN)
    table = ranked(scores)
    assert list(table["generator"]) == ["again", "good", "bad"]
    assert "texture" in table["outside"].iloc[2]
    assert table["outside"].iloc[1] == ""
    assert "; +0.0 (" in table["texture"].iloc[1]
    assert set(MEASURES) <= set(table.columns)


def test_moments_alone_rank_by_gray_levels() -> None:
    images = pictures(80, 40, 32)
    table = ranked(measured(images[:40], {"a": images[40:], "b": images[40:] // 2}, 12, DESIGN, None))
    assert list(table.columns) == ["generator", "mean_rank", "gray levels", "outside"]
    assert list(table["generator"]) == ["a", "b"]


@pytest.mark.slow
def test_the_command_ranks_and_reports_on_each(tmp_path: Path) -> None:
    paths = [make_store(tmp_path / name, 20, seed).path for name, seed in (("real", 1), ("one", 2), ("two", 3))]
    out = tmp_path / "out"
    command = ["align", *map(str, paths), "--out", str(out), "--draws", "3", "--splits", "2", "--permutations", "5"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    results = json.loads((out / "results.json").read_text())
    assert {results[f"alignment.ranking.{place}"]["value"] for place in (1, 2)} == {"one", "two"}
    assert " 0 other" not in results["alignment.summary.01"]["value"]
    page = (out / "report.html").read_text()
    for name in ("one", "two"):
        assert f'href="generators/{name}/report.html"' in page
        assert (out / "generators" / name / "report.html").is_file()
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0  # the folder is known as its own
    twins = [*command[:3], command[2], *command[4:]]
    assert "Two generators have one name" in str(CliRunner().invoke(app, [*twins[:-6], "--force"]).exception)
