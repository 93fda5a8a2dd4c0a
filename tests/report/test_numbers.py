"""Words of numbers: patterns of keys, facts, units, and texts in place of numbers."""

from __future__ import annotations

import math
import tomllib
from importlib.resources import files

import pytest

from mammogan.report.html import digits
from mammogan.report.numbers import described, filled, raised
from mammogan.report.results import Value
from mammogan.types import Estimate


def test_keys_find_their_words() -> None:
    values = described("artifacts", {"spots.real": Estimate(0.5, 0.4, 0.6), "spots.real.share": 26.0})
    assert values["spots.real"] == Value(0.5, (0.4, 0.6), fmt=".2f", label="spots per real image", how="mean")
    assert (values["spots.real.share"].unit, values["spots.real.share"].fmt) == ("%", ".0f")
    (value,) = described("readers", {"deviation.all": Value(0.16, None, 0.161, 0.0005)}, n=133).values()
    assert (value.label, value.paper, value.tolerance) == ("SD of 133 attempts (all)", 0.161, 0.0005)


@pytest.mark.parametrize(
    ("p", "text"),
    [(1, "P = 1.000"), (0.0344, "P = 0.034"), (0.0005, "P = 0.001"), (4e-70, "P < 0.001"), (math.nan, "P = nan")],
)
def test_a_p_value_is_never_0(p: float, text: str) -> None:
    assert filled("here {p:P}\nand {n:.1f}", p=p, n=2) == f"here {text} and 2.0"


def test_a_text_has_neither_format_nor_unit() -> None:
    (value,) = described("training", {"minutes": "not kept"}).values()
    assert (value.value, value.fmt, value.unit) == ("not kept", "", "")


def test_a_number_without_words_is_a_fault() -> None:
    with pytest.raises(KeyError, match=r"artifacts\.unknown"):
        described("artifacts", {"unknown": 1})


def test_every_line_has_a_format_a_label_and_at_most_a_method() -> None:
    chapters = tomllib.loads(files("mammogan.report").joinpath("numbers.toml").read_text(encoding="utf-8"))
    for words in (words for chapter in chapters.values() for words in chapter.values()):
        assert 2 <= len(words) <= 3
        format(1.0, words[0].partition(" ")[0])
        assert words[1]


def test_a_page_prints_powers_of_ten_and_no_exponents() -> None:
    assert raised(f"{9.2e-08:.3g}") == "9.2 \N{MULTIPLICATION SIGN} 10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT EIGHT}"
    assert digits(-1.25e-05) == "\N{MINUS SIGN}" + raised("1.25e-05")
    assert [digits(n) for n in (1330, 24_000, 2e6)] == ["1330", "24\u202f000", "2\u202f000\u202f000"]
    assert raised("-0.42") == "\N{MINUS SIGN}0.42" and raised("inf") == "inf"


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images are"), (1, "1 image is"), (1.3, "1 image is"), (2, "2 images are")]
)
def test_words_follow_their_number(number: float, words: str) -> None:
    assert filled("{n:.0f} {n:image|images} {n:is|are}", n=number) == words
