"""Results refuse what is stored twice or not finite, and say whether a number of the paper was met."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

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
