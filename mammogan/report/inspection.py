"""All that the inspection chapter says about two sets of images, as tables: what is left when the images are gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.artifacts.blobs import FIELD_MM, count_blobs, scales
from mammogan.artifacts.detectors import Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.data.images import Images
from mammogan.metrics.spectrum import radial_power_spectrum

TABLES = ("synthetic", "real", "spectra", "spots", "counts")


def compare_images(
    real: Images,
    synthetic: Images,
    *,
    most: int = 1000,
    most_real: int = 2000,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Compare two sets of images of one size.

    Args:
        real, synthetic: images; at most the first `most` synthetic ones are studied.
        most: see there.
        most_real: real images that they are set beside, drawn at random.
        seed: of the draw of real images.

    Returns:
        synthetic: a row an image: index, view, surprise to each detector and "any", nearest (index of the nearest real
        image by thumbnail), distance (to it and the next two), ratio (of distance to the median among real images).
        real: the same of the real images, each judged by those of other patients; without names.
        spectra: frequency (cycles a pixel), real, synthetic (mean power).
        spots: a row a spot: set, diameter_mm, contrast, brightness.
        counts: a row an image: set, patient (a number), spots, smallest_mm (what this grid shows).
    """
    n = min(len(synthetic), most)
    made = synthetic.take(np.arange(n))
    rows = np.random.default_rng(seed).permutation(len(real))[:most_real]
    rows.sort()
    judges = real.take(rows)
    pixels, reals = made.pixels, judges.pixels
    reference, table = facts_table(reals, real.bits), facts_table(pixels, synthetic.bits)
    fitted = Detectors(reference, judges.patients, judges.views)
    own = fitted.distance(reference, fitted.patients)
    scores = fitted.scores(table, made.views)
    scores.insert(0, "index", np.arange(n))
    scores.insert(1, "view", made.views)
    scores["nearest"] = rows[fitted.nearest(table)]
    scores["distance"] = fitted.distance(table)
    scores["ratio"] = scores["distance"] / np.median(own)
    controls = fitted.own_scores()
    controls.insert(0, "view", judges.views)
    controls["distance"], controls["ratio"] = own, own / np.median(own)

    found, counts = [], []
    for name, images in (("real", judges), ("synthetic", made)):
        spacing = images.spacing_mm
        spots, number = count_blobs(images.pixels, images.bits, spacing)
        found.append(spots.assign(set=name)[["set", "diameter_mm", "contrast", "brightness"]])
        patients = np.unique(images.patients, return_inverse=True)[1]
        known = np.where(np.isfinite(spacing), spacing, FIELD_MM / images.size[0])
        smallest = 2 * np.sqrt(2) * scales(images.size[0], float(np.median(known)))[0] * float(np.median(known))
        counts.append(pd.DataFrame({"set": name, "patient": patients, "spots": number, "smallest_mm": smallest}))
    (frequency, power), (_, other) = radial_power_spectrum(reals), radial_power_spectrum(pixels)
    white = [(2**images.bits - 1) ** 2 for images in (real, synthetic)]
    spectra = pd.DataFrame({"frequency": frequency, "real": power / white[0], "synthetic": other / white[1]})
    return {
        "synthetic": scores,
        "real": controls,
        "spectra": spectra,
        "spots": pd.concat(found, ignore_index=True),
        "counts": pd.concat(counts, ignore_index=True),
    }


def write_tables(tables: dict[str, pd.DataFrame], folder: str | Path) -> Path:
    """Write the tables as CSV, six digits each."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        tables[name].to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return folder


def read_tables(folder: str | Path) -> dict[str, pd.DataFrame]:
    """What `write_tables` wrote."""
    return {
        name: pd.read_csv(Path(folder) / f"{name}.csv", keep_default_na=False, na_values={"ratio": ""})
        for name in TABLES
    }
