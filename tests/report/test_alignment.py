"""Sections of the alignment: words are filled in, and what is not a finite number is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammogan.metrics.information import QUANTITIES
from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.report import alignment

# Numbers of one row of `resampling.summary`, whose ceiling is 0 and has no ratio.
ROW = {"score": 0.5, "low": 0.4, "high": 0.6, "score_n": 0.45, "ceiling": 0.0, "ceiling_low": -0.1, "ceiling_high": 0.1}
ROW |= {"ratio": np.nan, "ratio_low": np.nan, "ratio_high": np.nan, "n": 20, "n_ceiling": 9}
ROW |= {"difference": 0.45, "difference_low": 0.3, "difference_high": 0.6}


def test_a_score_table_writes_each_number_with_its_interval() -> None:
    table = alignment.score_table(pd.DataFrame([{"pair": "M1, M2", **ROW}]), ["pair"], 2, "floor")
    assert table.iloc[0].to_dict() == {
        "pair": "M1, M2",
        "score": "0.50 (0.40 to 0.60)",
        "score, n = 9": "0.45",
        "floor": "0.00 (-0.10 to 0.10)",
        "score / floor": "undefined",
        "score - floor": "0.45 (0.30 to 0.60)",
        "outside": "nearer than real images",
    }


def test_a_ratio_to_a_ceiling_of_0_is_left_out() -> None:
    rows = [
        {"moment": moment, "reading": reading, **ROW, "chance": 0.01, "p": 0.2}
        for moment in MOMENT_NAMES
        for reading in QUANTITIES
    ]
    section = alignment.table2_section(pd.DataFrame(rows))
    assert "information.M1.neighbors.ceiling" in section.values
    assert not any(key.endswith(".ratio") for key in section.values)
    value = section.values["table2.M3.information"]
    assert (value.value, value.paper, value.fmt, value.how) == (
        0.5, 0.04096, ".4f", "n = 20; chance reaches 0.0100, P = 0.200; other images"
    )  # fmt: skip
    assert section.table("information")["P"].tolist() == ["0.200"] * 5


def test_words_are_in_one_line_and_quote_the_facts() -> None:
    rows = pd.DataFrame({"a": [1]})
    section = alignment.worded("coverage", rows, {}, {}, {}, n=5)
    assert len(section.text) == 2 and not any("\n" in line or "  " in line for line in section.text)
    feature = alignment.worded("features", rows, {}, {}, {}, feature="net.pt", most=20, seed=3, enough="")
    assert feature.text[0].startswith("Features: net.pt; standardized")
