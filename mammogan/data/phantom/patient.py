"""Patients and vendors of the phantom population."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammogan.data.dicom_writer import Device
from mammogan.data.phantom.texture import BETA

VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))  # of one patient, in order
DENSITIES = {"A": 0.10, "B": 0.40, "C": 0.40, "D": 0.10}  # share of each BI-RADS class
GLANDULAR = {"A": 0.07, "B": 0.18, "C": 0.33, "D": 0.48}  # share of the breast's interior, mean of the class
# Normally distributed among patients: mean, standard deviation, bounds.
BODY = {
    "height": (106, 13, 74, 135),
    "depth": (124, 22, 70, 165),
    "thickness": (55, 12, 25, 90),
    "beta": (BETA, 0.12, 2.6, 3.4),
}


@dataclass(frozen=True)
class Vendor:
    """A fictional device: its name, windows and display."""

    device: Device
    function: str  # VOI LUT function
    low: int  # stored value that the default window displays black
    high: int  # and white
    more: tuple[tuple[str, float], ...]  # other windows: explanation, factor on the width
    contrast: float  # factor on the gray values


VENDORS = (
    Vendor(Device("Phantom Imaging", "Alba"), "LINEAR", 0, 4095, (), 1.0),
    Vendor(Device("Phantom Imaging", "Alba II"), "LINEAR", 300, 3700, (("HARDER", 0.8), ("SOFTER", 1.25)), 1.08),
    Vendor(Device("Specimen Works", "Clara"), "SIGMOID", 1400, 3000, (("HARDER", 0.8),), 0.94),
)


def are_phantoms(manifest: pd.DataFrame) -> bool:
    """Return True if all images of a store are phantoms and may be published, unlike pictures of people."""
    return bool(manifest["manufacturer"].isin({vendor.device.manufacturer for vendor in VENDORS}).all())


@dataclass(frozen=True)
class Patient:
    """Properties that the four views of a patient share; lengths in millimeters."""

    age: int
    density: str
    glandular: float
    height: float  # half of the breast's height
    depth: float  # chest wall to nipple
    thickness: float
    beta: float
    strands: float  # share of the gland in strands rather than clouds
    clumps: float  # unevenness of the gland
    gamma: float
    gain: float


def patient(seed: int, number: int) -> Patient:
    """Draw the properties of a patient, by number in the population of a seed."""
    rng = np.random.default_rng([seed, number, 0])

    def normal(mean: float, deviation: float, low: float, high: float) -> float:
        return float(np.clip(rng.normal(mean, deviation), low, high))

    age = int(normal(56, 9, 40, 84))  # the paper's 56 +- 9 years
    # Older breasts are less dense: the class comes from a score that falls with age.
    score = 0.5 + 0.5 * np.tanh(0.55 * (rng.normal() - 0.35 * (age - 56) / 9))
    density = "ABCD"[int(np.searchsorted(np.cumsum(list(DENSITIES.values()))[:3], score))]
    return Patient(
        age,
        density,
        normal(GLANDULAR[density], 0.05, 0.03, 0.8),
        **{name: normal(*distribution) for name, distribution in BODY.items()},
        strands=float(rng.uniform(0.25, 0.9)),
        clumps=float(rng.uniform(0.3, 1.1)),
        gamma=normal(1.0, 0.13, 0.7, 1.4),
        gain=float(np.exp(rng.normal(0, 0.10))),
    )
