"""Results refuse what is stored twice or not finite, and say whether a number of the paper was met."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammogan.report import style
from mammogan.report.results import Results, Value, verdict


def test_results(tmp_path: Path) -> None:
    results = Results(tmp_path, "chapter")
    assert results.value("a", 1.0, interval=(0.5, 1.5), paper=1.05, tolerance=0.05) == 1
    with pytest.raises(ValueError, match="stored already"):
        results.value("a", 2)
    with pytest.raises(ValueError, match="finite"):
        results.value("b", float("nan"))
    with pytest.raises(ValueError, match="finite"):
        results.keep({"b": Value(1.0, (0.0, np.inf))})
    results.part("more").keep({"b": Value(np.int64(3), label="three", unit="%")})
    entries = json.loads(results.save().read_text())
    assert entries["chapter.a"]["verdict"] == "reproduced"
    assert entries["chapter.a"]["interval"] == [0.5, 1.5]
    assert entries["chapter.more.b"] == {"value": 3, "label": "three", "unit": "%", "format": "", "how": ""}


def test_verdict() -> None:
    assert verdict(1.0, 1.2, 0.1) == "not reproduced"
    assert verdict(1.0, 1.2, None) == "cannot be compared"
    assert verdict(1.0, None, 0.1) is None


def test_a_verdict_says_what_the_number_rests_on(tmp_path: Path) -> None:
    """Arithmetic on printed numbers reproduces nothing."""
    assert [verdict(1.0, 1.05, tolerance, "print") for tolerance in (0.1, 0.01, None)] == [
        "follows from print",
        "slip in print",
        "not checkable",
    ]
    assert verdict(1.0, 1.05, 0.1, "text") == "agree" and verdict(1.0, 1.05, 0.01, "text") == "contradict"
    entry = Value(1.0, paper=1.05, tolerance=0.1, basis="print").entry("a")
    assert (entry["basis"], entry["verdict"]) == ("print", "follows from print")


def test_charts_are_kept_as_svg_too_and_radiographs_on_black_at_their_gray_levels(tmp_path: Path) -> None:
    style.apply_style()
    results, data = Results(tmp_path, "chapter"), pd.DataFrame({"a": [1]})
    power = {name: np.array([2.0, 1.0]) for name in ("real", "synthetic")}
    chart = results.figure("chart", style.spectra(np.array([0.1, 0.2]), power), data)
    ramp = np.tile(np.arange(4) * 85, (5, 1))
    sheet = results.figure("sheet", style.contact_sheet([ramp] * 3, 8, 2), data)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"chart.png", "chart.svg", "sheet.png"}
    assert not plt.get_fignums()  # what was written is shown from its file
    assert chart._repr_png_() == (tmp_path / "figures" / "chart.png").read_bytes()
    with Image.open(sheet.path) as picture:
        assert picture.width == round(200 * style.WIDTH)
        gray = np.asarray(picture.convert("L"))
    assert set(np.unique(gray)) <= {0, 85, 170, 255} and gray[-1, -1] == 0
    assert (tmp_path / "figures" / "chart.svg").read_text().count('width="557.28pt"') == 1
