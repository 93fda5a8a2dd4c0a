"""Numbers that the paper prints: its tables and its text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Quote:
    """One number of the paper's text: `key`, value, unit, format, and the place where it stands."""

    key: str
    value: float | int
    where: str
    unit: str = ""
    fmt: str = ""


# Name in the figure, height and width in pixels, key of the reference in book/references.bib.
RESOLUTIONS = (
    ("WGAN-GP", (128, 128), "gulrajani2017"),
    ("StarGAN", (128, 128), "choi2018"),
    ("Glow", (256, 256), "kingma2018"),
    ("CycleGAN", (512, 512), "zhu2017"),
    ("BigGAN", (512, 512), "brock2019"),
    ("PGGAN", (1024, 1024), "karras2018"),
    ("the paper's", (1280, 1024), "korkinof2021"),
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
IMAGES = 1000  # a set, in each comparison
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


@dataclass(frozen=True)
class Group:
    """One row of Table 4: attempts, mean success rate and its standard deviation, as printed."""

    name: str
    attempts: int
    rate: float
    deviation: float

    @property
    def totals(self) -> range:
        """Numbers of correct answers whose rate rounds to the printed one."""
        trials = QUESTIONS * self.attempts
        fits = [k for k in range(trials + 1) if abs(k / trials - self.rate) <= 0.0005 + 1e-12]
        return range(fits[0], fits[-1] + 1) if fits else range(0)


TABLE4 = (
    Group("All participants", 133, 0.492, 0.161),
    Group("Radiologists", 64, 0.488, 0.164),
    Group("Nonradiologists", 69, 0.493, 0.159),
    Group("Board qualified", 53, 0.487, 0.165),
    Group("Specializing in breast", 37, 0.457, 0.148),
    Group("Screening radiologist", 35, 0.460, 0.152),
    Group("Repeated efforts", 16, 0.475, 0.192),
)
