"""Patients and vendors of the phantom population."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mammogan.data.dicom_writer import Header
from mammogan.data.phantom.texture import BETA

Lesion = dict[str, float | str]

VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))  # of one patient, in order
DENSITIES = {"A": 0.10, "B": 0.40, "C": 0.40, "D": 0.10}  # share of each BI-RADS class
GLANDULAR = {"A": 0.10, "B": 0.24, "C": 0.42, "D": 0.62}  # share of the breast's interior, mean of the class


@dataclass(frozen=True)
class Vendor:
    """A fictional device: its name, windows and display."""

    manufacturer: str
    model: str
    function: str
    low: int  # stored value that is shown black by the default window
    high: int  # stored value that is shown white
    more: tuple[tuple[str, float], ...]  # other windows: explanation, factor on the width
    contrast: float


VENDORS = (
    Vendor("Phantom Imaging", "Alba", "LINEAR", 0, 4095, (), 1.0),
    Vendor("Phantom Imaging", "Alba II", "LINEAR", 300, 3700, (("HARDER", 0.8), ("SOFTER", 1.25)), 1.08),
    Vendor("Specimen Works", "Clara", "SIGMOID", 1400, 3000, (("HARDER", 0.8),), 0.94),
)


def are_phantoms(manifest: pd.DataFrame) -> bool:
    """Whether all images of a store were drawn here and may be shown: pictures of people stay where they are."""
    return bool(manifest["manufacturer"].isin({vendor.manufacturer for vendor in VENDORS}).all())


@dataclass(frozen=True)
class Patient:
    """What the four views of a patient share; lengths in millimeters."""

    age: int
    density: str
    glandular: float
    height: float  # half of the breast's height
    depth: float  # chest wall to nipple
    thickness: float
    beta: float
    strands: float  # how much of the gland lies in strands rather than clouds
    gamma: float
    gain: float


@dataclass
class Phantom:
    """One image and what is in it.

    Attributes:
        pixels: (height, width), uint16 in 0 ... 4095 as stored; what they look like is up to `header`.
        shown: (height, width), float in [0, 1], as the default window shows them.
        header: for `mammogan.data.dicom_writer.write`.
        density: BI-RADS class, A to D.
        lesions: kind, place (mm from the chest wall and from the middle) and size of each.
    """

    pixels: np.ndarray = field(repr=False)
    shown: np.ndarray = field(repr=False)
    header: Header
    density: str
    lesions: list[Lesion]


def patient(seed: int, number: int) -> Patient:
    """Draw what a patient's views share."""
    rng = np.random.default_rng([seed, number, 0])
    age = int(np.clip(rng.normal(56, 9), 40, 84))  # the paper's 56 +- 9 years
    # Older breasts are less dense: the class comes from a score that falls with age.
    score = 0.5 + 0.5 * np.tanh(0.55 * (rng.normal() - 0.35 * (age - 56) / 9))
    density = "ABCD"[int(np.searchsorted(np.cumsum(list(DENSITIES.values()))[:3], score))]
    return Patient(
        age=age,
        density=density,
        glandular=float(np.clip(rng.normal(GLANDULAR[density], 0.05), 0.03, 0.8)),
        height=float(np.clip(rng.normal(106, 12), 74, 135)),
        depth=float(np.clip(rng.normal(118, 19), 70, 165)),
        thickness=float(np.clip(rng.normal(55, 12), 25, 90)),
        beta=float(np.clip(rng.normal(BETA, 0.12), 2.6, 3.4)),
        strands=float(rng.uniform(0.35, 0.8)),
        gamma=float(np.clip(rng.normal(1.0, 0.13), 0.7, 1.4)),
        gain=float(np.exp(rng.normal(0, 0.10))),
    )
