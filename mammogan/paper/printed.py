"""Numbers that the paper prints: its tables and its text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from mammogan.types import Size


@dataclass(frozen=True)
class Quote:
    """A number in the text of the paper."""

    key: str  # name of the result
    value: float | int
    where: str  # place in the paper
    unit: str = ""
    fmt: str = ""  # format specification


# Name in Figure 5, size in pixels, key of the reference in book/references.bib.
RESOLUTIONS = (
    ("WGAN-GP", Size(128, 128), "gulrajani2017"),
    ("StarGAN", Size(128, 128), "choi2018"),
    ("Glow", Size(256, 256), "kingma2018"),
    ("CycleGAN", Size(512, 512), "zhu2017"),
    ("BigGAN", Size(512, 512), "brock2019"),
    ("PGGAN", Size(1024, 1024), "karras2018"),
    ("the paper's", Size(1280, 1024), "korkinof2021"),
)

# Table 1, "Mutual Information between Real and Synthetic Image Moments"; the printed upper triangle.
TABLE1 = np.array(
    [
        [0.7681, 0.7735, 0.7778, 0.7786, 0.7765],
        [np.nan, 0.7392, 0.7438, 0.7644, 0.7464],
        [np.nan, np.nan, 0.6961, 0.7247, 0.7075],
        [np.nan, np.nan, np.nan, 0.7524, 0.7211],
        [np.nan, np.nan, np.nan, np.nan, 0.6057],
    ]
)
# Table 2, "Mutual Information and Average Number of Neighbors between Image Moments".
TABLE2_INFORMATION = np.array([0.01772, 0.04087, 0.04096, 0.01138, 0.0])
TABLE2_NEIGHBORS = np.array([5.44, 5.32, 5.32, 5.47, 5.53])
NEIGHBORS_K = 3  # "the distance to the third nearest neighbor"
IMAGES = 1000  # per set, in each comparison
COVERAGE = (0.80, 0.91)  # abstract: 80 % - 91 % overlap in their support

QUESTIONS = 10
ATTEMPTS = 133  # Table 4, "All participants"
KRUSKAL_P = 0.84  # Results, "Reader Study"
CHI_SQUARE_P = 0.999
RADIOLOGISTS_P = 0.4928  # "radiologists (n = 64) versus nonradiologists (n = 69)"
READERS = 117
ARTIFACTS = {"CC": 64, "MLO": 136}  # of 1000 images each
INSPECTED = 1000

# Table 3, upper triangle, row by row. "> .99" is printed where the P value rounds to 1.
_ROWS = """
.221 .541 .067 .541 .328 .271 .178 .541 .623
.541 .541 .541 .807 .903 .903 .541 .463
.221 1.00 .714 .624 .463 1.00 .903
.221 .392 .463 .624 .221 .178
.713 .624 .463 1.00 .903
.903 .714 .714 .624
.807 .624 .541
.463 .392
.903
"""
TABLE3 = {pair: float(value) for pair, value in zip(combinations(range(QUESTIONS), 2), _ROWS.split(), strict=True)}


class Sums(NamedTuple):
    """Number of scores of a group, their sum, and the sum of their squares."""

    attempts: int
    total: int
    squares: int

    def __sub__(self, part: Sums) -> Sums:
        """Return the sums of the group without a part of it."""
        return Sums(*(a - b for a, b in zip(self, part, strict=True)))


SLACK = 1e-9  # of comparisons with printed decimals, against binary rounding


@dataclass(frozen=True)
class Group:
    """One row of Table 4: attempts, mean success rate and its standard deviation, as printed."""

    name: str
    attempts: int
    rate: float
    deviation: float

    @property
    def possible_totals(self) -> range:
        """Numbers of correct answers whose rate rounds to the printed one."""
        trials = QUESTIONS * self.attempts
        fits = [k for k in range(trials + 1) if abs(k / trials - self.rate) <= 0.0005 + 1e-12]
        return range(fits[0], fits[-1] + 1) if fits else range(0)

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


TABLE4 = (
    Group("All participants", 133, 0.492, 0.161),
    Group("Radiologists", 64, 0.488, 0.164),
    Group("Nonradiologists", 69, 0.493, 0.159),
    Group("Board qualified", 53, 0.487, 0.165),
    Group("Specializing in breast", 37, 0.457, 0.148),
    Group("Screening radiologist", 35, 0.460, 0.152),
    Group("Repeated efforts", 16, 0.475, 0.192),
)


def group(name: str) -> Group:
    """Return the row of Table 4 with this name."""
    return next(row for row in TABLE4 if row.name == name)
