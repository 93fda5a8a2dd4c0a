"""Numbers that the paper prints: its tables and its text, kept in printed.toml."""

from __future__ import annotations

import tomllib
from itertools import chain, combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mammogan.types import Size

_PRINTED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


class Quote(NamedTuple):
    """A number in the text of the paper."""

    key: str  # name of the result
    value: float | int
    where: str  # place in the paper
    unit: str = ""
    fmt: str = ""  # format specification


class Tolerance(NamedTuple):
    """A difference from a printed number that counts as agreement."""

    value: float
    of: str  # what is compared
    why: str


TOLERANCES = {key: Tolerance(**facts) for key, facts in _PRINTED["tolerances"].items()}
QUOTES = tuple(Quote(key, **facts) for key, facts in _PRINTED["quotes"].items())
# Name in Figure 5, size in pixels, key of the reference in book/references.bib.
RESOLUTIONS = tuple((name, Size(height, width), key) for name, height, width, key in _PRINTED["resolutions"])

TABLE1 = np.array(_PRINTED["table1"])  # (5, 5), NaN below the diagonal
TABLE2_INFORMATION = np.array(_PRINTED["table2_information"])  # (5,)
TABLE2_NEIGHBORS = np.array(_PRINTED["table2_neighbors"])  # (5,)
NEIGHBORS_K = 3  # "the distance to the third nearest neighbor"
IMAGES = 1000  # per set, in each comparison

_QUOTED = {quote.key: quote.value for quote in QUOTES}
QUESTIONS, ATTEMPTS, READERS, INSPECTED = (int(_QUOTED[key]) for key in ("pairs", "attempts", "readers", "inspected"))
COVERAGE = _QUOTED["coverage_low"] / 100, _QUOTED["coverage_high"] / 100  # overlap in their support
ARTIFACTS = {"CC": 64, "MLO": 136}  # of 1000 images each
KRUSKAL_P = _QUOTED["kruskal"]
CHI_SQUARE_P = 0.999
RADIOLOGISTS_P = 0.4928  # "radiologists (n = 64) versus nonradiologists (n = 69)"
SLACK = 1e-9  # of comparisons with printed decimals, against binary rounding

TABLE3 = dict(zip(combinations(range(QUESTIONS), 2), chain(*_PRINTED["table3"]), strict=True))  # {(0, 1): P, ...}


class Sums(NamedTuple):
    """Number of scores of a group, their sum, and the sum of their squares."""

    attempts: int
    total: int
    squares: int

    def __sub__(self, part: Sums) -> Sums:
        """Return the sums of the group without a part of it."""
        return Sums(*(a - b for a, b in zip(self, part, strict=True)))


class Group(NamedTuple):
    """One row of Table 4: attempts, mean success rate and its standard deviation, as printed."""

    name: str
    attempts: int
    rate: float
    deviation: float

    @property
    def possible_totals(self) -> list[int]:
        """Numbers of correct answers whose rate rounds to the printed one."""
        trials = QUESTIONS * self.attempts
        return [k for k in range(trials + 1) if abs(k / trials - self.rate) <= 0.0005 + 1e-12]

    def possible_squares(self, total: int) -> list[int]:
        """Return the sums of squared scores that round to the printed deviation, for scores with sum `total`.

        A sum of squares is odd where the sum is.
        """
        n = self.attempts
        low, high = (n * (QUESTIONS * (self.deviation + side)) ** 2 + total**2 / n for side in (-0.0005, 0.0005))
        first, last = int(np.ceil(low - SLACK)), int(np.floor(high + SLACK))
        return [q for q in range(first, last + 1) if (q - total) % 2 == 0]

    @property
    def sums(self) -> Sums:
        """The only sums that the row allows; every row except the first has them."""
        (total,) = self.possible_totals
        (squares,) = self.possible_squares(total)
        return Sums(self.attempts, total, squares)


TABLE4 = tuple(Group(name, *row) for name, row in _PRINTED["table4"].items())


def group(name: str) -> Group:
    """Return the row of Table 4 with this name."""
    return next(row for row in TABLE4 if row.name == name)
