"""Minus signs of pages and figures."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from mammogan.report.html import Part, Table, write_page
from mammogan.report.results import Results
from mammogan.report.signs import page_with_minus, with_minus


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_every_negative_number_has_a_minus_sign_and_its_digits(numbers) -> None:
    text = f"{'; '.join(f'{number:+z.3f} ({number:z.2f} to {-number:z.2f})' for number in numbers)}."
    signed = with_minus(text)
    assert "-" not in signed
    assert signed.replace("\N{MINUS SIGN}", "-") == text


def test_what_was_rounded_to_zero_has_no_sign() -> None:
    assert with_minus("-0.00 to -0.01 (-0, -0.0), -0.") == "0.00 to \N{MINUS SIGN}0.01 (0, 0.0), 0."


def test_what_is_no_negative_number_keeps_its_hyphen() -> None:
    for text in ("2019-2021", "1-2", "2026-12-01", "GAN-2", "--seed", "-n", "1e-05", "cdd-cesm", "a - b", "3.-4"):
        assert with_minus(text) == text
    assert with_minus("(-.5)") == "(\N{MINUS SIGN}.5)"


def test_a_page_keeps_code_formulas_and_tags() -> None:
    page = (
        '<p style="margin: -1px">from -1 to <code>x[-1]</code> -2</p><pre>a\n<b>-3</b></pre><dl><dt class="sig">f(a=-4)'
        '</dt><dd>-5</dd></dl><svg><path d="M -6"/><text>-6</text></svg><script>n = -7 < -8;</script><td>-.9</td>'
    )
    signed = page_with_minus(page)
    assert signed.replace("\N{MINUS SIGN}", "-") == page
    assert [signed[k + 1] for k, sign in enumerate(signed) if sign == "\N{MINUS SIGN}"] == ["1", "2", "5", "."]


def test_reports_and_figures_have_minus_signs_and_their_tables_have_hyphens(tmp_path) -> None:
    frame = pd.DataFrame({"gain": [-0.25], "interval": ["-0.5 to -0.125"]})
    page = write_page(tmp_path / "page.html", "Title", ["from -2"], [Part("A", tables=[Table("n = -3", frame)])])
    text = page.read_text()
    assert all(number.replace("-", "\N{MINUS SIGN}") in text for number in ("-2<", "-3", "-0.250", "-0.5 to -0.125"))
    figure, axis = plt.subplots()
    labels = [axis.text(0, 0, text) for text in ("-1.5", "$10^{-3}$")]
    axis.plot(np.arange(3), [-1.0, 0, 1])
    Results(tmp_path / "results", "x").figure("y", figure, frame)
    assert [label.get_text() for label in labels] == ["\N{MINUS SIGN}1.5", "$10^{-3}$"]
    assert (tmp_path / "results" / "data" / "y.csv").read_text() == "gain,interval\n-0.25,-0.5 to -0.125\n"
