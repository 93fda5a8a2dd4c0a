"""Which measure detects which damage, in words and as a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammogan.report.sensitivity import seen, sensitivity_figure


def damage_table() -> pd.DataFrame:
    """Return two kinds of damage, each seen by some measures and missed or rewarded by others."""
    rows = [
        ("copies", "FID", -9.0, 10.0),
        ("copies", "precision", 4.0, 20.0),
        ("copies", "authenticity", -7.0, 8.0),
        ("copies", "spectrum, dB", -0.1, np.inf),
        ("blur", "FID", 5.0, 0.3),
        ("blur", "precision", -6.0, 0.1),
        ("blur", "authenticity", 0.2, np.inf),
        ("blur", "spectrum, dB", 8.0, 0.1),
    ]
    table = pd.DataFrame(rows, columns=["damage", "measure", "effect", "detectable"]).assign(unit="px", largest=0.5)
    return table.assign(nominal=0.5)


def test_measures_are_named_in_words() -> None:
    words = seen(damage_table(), most=2).set_index("damage")
    assert words.loc["copies"].tolist() == ["up to 0.5 px", "authenticity (8)", "FID; precision", "spectrum, dB"]
    assert words.loc["blur"].tolist() == ["up to 0.5 px", "spectrum, dB (0.1); precision (0.1)", "", "authenticity"]


def test_figure_has_a_cell_per_measure_and_damage() -> None:
    (axis,) = sensitivity_figure(damage_table()).axes
    assert [text.get_text() for text in axis.texts] == [
        "-9.0\n10", "+5.0\n0.3", "+4.0\n20", "-6.0\n0.1", "-7.0\n8", "+0.2\n-", "-0.1\n-", "+8.0\n0.1"
    ]  # fmt: skip
