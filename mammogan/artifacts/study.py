"""All that the inspection chapter says about two sets of images, as tables: what is left when the images are gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.artifacts.candidates import Candidates, facts_table
from mammogan.artifacts.sources import Images
from mammogan.artifacts.spots import FIELD_MM, scales, spots_of
from mammogan.metrics.features import extract, pixel_features
from mammogan.metrics.memorisation import Memorisation, Nearest, nearest_training
from mammogan.metrics.spectrum import image_spectra

TABLES = ("synthetic", "real", "spectra", "spots", "counts", "copies")


def study(
    real: Images,
    synthetic: Images,
    *,
    most: int = 1000,
    most_real: int = 2000,
    trained: str = "",
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Compare two sets of images of one size.

    Args:
        real, synthetic: images; at most the first `most` synthetic ones are studied.
        most: see there.
        most_real: real images that detectors, spectra and spots look at, drawn at random; copies are looked for among
            all of them.
        trained: split of the real images that the generator was trained on; "" where it saw all.
        seed: of the draw of real images.

    Returns:
        synthetic: a row an image: index, view, surprise to each detector and "any", nearest (index of the nearest real
        image by thumbnail), distance (to it and the next two), ratio (of distance to the median among real images).
        real: the same of the real images, each judged by those of other patients; without names.
        spectra: frequency (cycles a pixel), real, synthetic (mean power).
        spots: a row a spot: set, diameter_mm, contrast, brightness.
        counts: a row an image: set, patient (a number), spots, smallest_mm (what this grid shows).
        copies: see `nearest_table`.

    Raises:
        ValueError: no real image is of the split `trained`.
    """
    n = min(len(synthetic), most)
    made = synthetic.take(np.arange(n))
    rows = np.random.default_rng(seed).permutation(len(real))[:most_real]
    rows.sort()
    judges = real.take(rows)
    pixels, reals = made.pixels, judges.pixels
    reference, table = facts_table(reals, real.bits), facts_table(pixels, synthetic.bits)
    fitted = Candidates(reference, judges.patients, judges.views)
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
        spots, number = spots_of(images.pixels, images.bits, spacing)
        found.append(spots.assign(set=name)[["set", "diameter_mm", "contrast", "brightness"]])
        patients = np.unique(images.patients, return_inverse=True)[1]
        known = np.where(np.isfinite(spacing), spacing, FIELD_MM / images.size[0])
        smallest = 2 * np.sqrt(2) * scales(images.size[0], float(np.median(known)))[0] * float(np.median(known))
        counts.append(pd.DataFrame({"set": name, "patient": patients, "spots": number, "smallest_mm": smallest}))
    frequency, power = image_spectra(reals / (2**real.bits - 1))
    _, other = image_spectra(pixels / (2**synthetic.bits - 1))
    spectra = pd.DataFrame({"frequency": frequency, "real": power.mean(0), "synthetic": other.mean(0)})
    return {
        "synthetic": scores,
        "real": controls,
        "spectra": spectra,
        "spots": pd.concat(found, ignore_index=True),
        "counts": pd.concat(counts, ignore_index=True),
        "copies": nearest_table(real, made, trained),
    }


def nearest_table(real: Images, synthetic: Images, trained: str = "") -> pd.DataFrame:
    """The training image that is most like each synthetic and each held-out image, as `copies` reads them.

    Args:
        real, synthetic: images.
        trained: split of the real images that the generator was trained on. Those of the other splits are held out;
            where there are none, or with "", each patient is held out in turn.

    Returns:
        set ("synthetic" or "held out"), image (its index in its set; real images are numbered over all splits),
        training (index of the real image), distance, reach and other: see `memorisation.Nearest`.

    Raises:
        ValueError: no real image is of the split `trained`.
    """
    seen = np.ones(len(real), bool)
    if trained:
        seen = np.asarray(real.splits if real.splits is not None else [""] * len(real)) == trained
    if not seen.any():
        raise ValueError(f"No real image is of the split {trained!r}; name the one that the generator was trained on.")
    reals = extract(real.pixels, real.bits, pixel_features)
    train, patients = reals[seen], real.patients[seen]
    others = np.flatnonzero(~seen)
    if len(others):
        held_out = nearest_training(train, patients, reals[others])
    else:
        others, held_out = np.arange(len(real)), nearest_training(train, patients, train, patients)
    made = nearest_training(train, patients, extract(synthetic.pixels, synthetic.bits, pixel_features))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "set": name,
                    "image": rows,
                    "training": np.flatnonzero(seen)[found.index],
                    "distance": found.distance,
                    "reach": found.reach,
                    "other": found.other,
                }
            )
            for name, rows, found in (
                ("synthetic", np.arange(len(synthetic)), made),
                ("held out", others, held_out),
            )
        ],
        ignore_index=True,
    )


def copies(table: pd.DataFrame, seed: int = 0) -> Memorisation:
    """The audit of a table of `nearest_table`.

    Args:
        table: as it is, or read from its CSV.
        seed: of the bootstrap.
    """
    synthetic, held_out = (
        Nearest(*(part[name].to_numpy() for name in ("training", "distance", "other", "reach")))
        for part in (table[table["set"] == name] for name in ("synthetic", "held out"))
    )
    return Memorisation.of(synthetic, held_out, seed=seed)


def write_study(tables: dict[str, pd.DataFrame], folder: str | Path) -> Path:
    """Write the tables as CSV, six digits each."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        tables[name].to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return folder


def read_study(folder: str | Path) -> dict[str, pd.DataFrame]:
    """What `write_study` wrote."""
    return {
        name: pd.read_csv(Path(folder) / f"{name}.csv", keep_default_na=False, na_values={"ratio": ""})
        for name in TABLES
    }
