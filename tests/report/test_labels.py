"""Labels of two observers in words and as tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from mammogan.__main__ import app
from mammogan.errors import InspectionError
from mammogan.report.labels import observed, report
from mammogan.report.results import Results


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """An inspection of 20 synthetic and 4 real images, labeled by two observers."""
    kinds = ["synthetic"] * 20 + ["real"] * 4
    key = {"number": range(1, 25), "kind": kinds, "view": ["CC", "MLO"] * 12, "id": "x", "index": 0}
    pd.DataFrame(key).to_csv(tmp_path / "key.csv", index=False)
    for observer, odd in (("Ada", range(1, 11)), ("Bo", range(1, 9))):
        rows = [(observer, number, "outline" if number in odd else "") for number in range(1, 25)]
        columns = ["observer", "number", "artifacts"]
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / f"labels_{observer}.csv", index=False)
    return tmp_path


def test_rates_views_and_agreement_in_words(labeled: Path, tmp_path: Path) -> None:
    text = report(labeled, sorted(labeled.glob("labels*.csv")), tmp_path / "report")
    assert "Ada: 10 of 20 synthetic images with an artifact, 50.0 % (27.2 to 72.8 %)" in text
    assert "the paper 6.4 %" in text
    assert "Ada and Bo: kappa 0.8" in text
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"rates.csv", "views.csv", "agreement.csv"}
    with pytest.raises(InspectionError):
        report(tmp_path / "report", [], tmp_path / "other")


def test_the_command_replaces_its_own_tables_only(labeled: Path, tmp_path: Path) -> None:
    command = ["labels", str(labeled), *map(str, sorted(labeled.glob("labels*.csv")))]

    def call(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*command, *options])
        return done.exit_code, str(done.exception or done.output)

    for _ in range(2):  # the folder in the inspection is this command's own
        assert call()[0] == 0
    (labeled / "report" / "mine.csv").touch()
    assert "mine.csv would be lost" in call()[1]
    (labeled / "report" / "mine.csv").unlink()
    assert (labeled / "report" / "rates.csv").read_text().startswith("observer,kind,view,artifact,")
    out = tmp_path / "tables"
    assert call("--out", str(out))[0] == 0
    assert call("--out", str(out)) == (1, f"The folder {out} is not empty; give another folder.")
    assert call("--out", str(out), "--force")[0] == 0
    (out / "mine.csv").write_text("mine")
    assert "mine.csv would be lost" in call("--out", str(out), "--force")[1]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "rates.csv").write_text("rates of exchange")
    assert call("--out", str(foreign), "--force")[0] == 1
    assert (foreign / "rates.csv").read_text() == "rates of exchange"


def test_tables_of_the_chapter(labeled: Path, tmp_path: Path) -> None:
    results = Results(tmp_path / "out", "artifacts")
    rates, detected = observed(results, str(labeled), 0)
    assert results.entries["observed.synthetic"]["value"] == 50
    assert results.entries["observed"]["value"].startswith("An observer, Ada, found an artifact in 10 of 20 synthetic")
    assert set(rates["observer"]) == {"Ada", "Bo"}
    assert rates.loc["synthetic"].query("observer == 'Bo' and view == 'all' and artifact == 'any'")["found"].item() == 8
    assert "no candidates" in detected.iloc[0, 0]
    assert (tmp_path / "out" / "data" / "labels_rates.csv").exists()
    assert "observed.pairs" not in results.entries
    (labeled / "pairs.csv").write_text("question,correct\n" + "".join(f"{k},{int(k > 2)}\n" for k in range(1, 11)))
    again = Results(tmp_path / "again", "artifacts")
    observed(again, str(labeled), 0)
    bounds = stats.binomtest(8, 10).proportion_ci(method="exact")
    assert again.entries["observed.pairs"]["value"] == 80
    assert again.entries["observed.pairs"]["interval"] == pytest.approx([100 * bound for bound in bounds])
    assert again.entries["observed"]["value"].endswith("named the real one in 8 of 10 (44 to 97 %).")
    nobody = Results(tmp_path / "none", "artifacts")
    assert "nobody" in observed(nobody, "", 0)[0].iloc[0, 0]
    assert "Nobody" in nobody.entries["observed"]["value"]
