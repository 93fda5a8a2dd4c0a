"""Recall and precision of each detector of artifacts for damage planted in real images and in phantoms.

    python benchmarks/artifacts.py REAL_STORE PHANTOM_STORE [--size 80 64] [--seed 0]

The detectors are fitted to half of the patients; in the images of the other half each class of damage is planted once.
No image is kept.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from planted_damage import DAMAGE, plant
from scipy import stats
from sklearn.metrics import roc_auc_score

from mammogan.artifacts.detectors import DETECTORS, Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.data.images import Images, open_images
from mammogan.data.store import quantize

RESULT = Path(__file__).with_name("results") / "artifacts.md"
PREVALENCE = 0.10  # of artifacts, at which precision is stated: the mean of the paper's two rates
THRESHOLD = 2.0  # surprise: one real image in a hundred


def detection(images: Images, seed: int) -> pd.DataFrame:
    """Return area under the ROC curve, recall and precision of each detector for each class of damage."""
    rng = np.random.default_rng(seed)
    names = np.unique(images.patients)
    half = np.isin(images.patients, rng.permutation(names)[: len(names) // 2])
    pixels = np.asarray(images.pixels[:])
    detectors = Detectors(facts_table(pixels[half], images.bits), images.patients[half], images.views[half])
    clean = detectors.scores(facts_table(pixels[~half], images.bits), images.views[~half])
    rows = []
    for kind in DAMAGE:
        draws = np.random.default_rng([seed, list(DAMAGE).index(kind)])
        gray = pixels[~half] / (2**images.bits - 1)
        damaged = np.stack([quantize(plant(image, kind, draws), images.bits) for image in gray])
        scores = detectors.scores(facts_table(damaged, images.bits), images.views[~half])
        for detector in (*DETECTORS, "any"):
            a, b = clean[detector].to_numpy(), scores[detector].to_numpy()
            hits, alarms = int((b >= THRESHOLD).sum()), int((a >= THRESHOLD).sum())
            recall, false = hits / len(b), alarms / len(a)
            low, high = stats.binomtest(hits, len(b)).proportion_ci(method="exact")
            flagged = recall * PREVALENCE + false * (1 - PREVALENCE)
            rows.append(
                {
                    "damage": kind,
                    "detector": detector,
                    "images": len(b),
                    "auc": roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b])),
                    "recall": recall,
                    "low": low,
                    "high": high,
                    "alarms": false,
                    "precision": recall * PREVALENCE / flagged if flagged else np.nan,
                }
            )
    return pd.DataFrame(rows)


def table(name: str, rates: pd.DataFrame) -> list[str]:
    """Return two tables of one set: the best detector and all together by damage; areas under the curve of all."""
    alarms = rates[rates["damage"] == rates["damage"].iloc[0]].set_index("detector")["alarms"]
    lines = [
        f"### {name}, {rates['images'].iloc[0]} images damaged, as many not",
        "",
        "| Damage | Best detector | AUC | Recall | Precision | AUC of all together | Recall | Precision |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for damage, part in rates.groupby("damage", sort=False):
        single = part[part["detector"] != "any"]
        best, every = single.loc[single["auc"].idxmax()], part[part["detector"] == "any"].iloc[0]
        cells = []
        for row in (best, every):
            precision = "none flagged" if np.isnan(row["precision"]) else f"{row['precision']:.0%}"
            recall = f"{row['recall']:.0%} ({row['low']:.0%} to {row['high']:.0%})"
            cells += [f"{row['auc']:.2f}", recall, precision]
        lines.append(f"| {damage} | {best['detector']} | {' | '.join(cells)} |")
    lines += ["", f"Flagged without damage: {', '.join(f'{d} {a:.0%}' for d, a in alarms.items())}.", ""]
    wide = rates.pivot(index="damage", columns="detector", values="auc").loc[list(DAMAGE), [*DETECTORS, "any"]]
    lines += [f"| AUC | {' | '.join(wide.columns)} |", "|---" * (1 + wide.shape[1]) + "|"]
    lines += [f"| {damage} | {' | '.join(f'{v:.2f}' for v in row)} |" for damage, row in wide.iterrows()]
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("phantom", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=(80, 64))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    size = tuple(arguments.size)
    lines = [
        f"{datetime.now(UTC).date()}; {size[0]} x {size[1]} pixels, seed {arguments.seed}. One artifact in each "
        "image of half of the patients, strength drawn from hardly to plainly visible; detectors fitted to the other "
        f"half. Flagged is a surprise of {THRESHOLD:g} or more. Recall with exact 95 % intervals; precision where "
        f"{PREVALENCE:.0%} of images have this artifact and no other. An AUC of .5 is blindness.",
        "",
    ]
    for name, path in (("Real images", arguments.real), ("Phantoms", arguments.phantom)):
        lines += table(name, detection(open_images(path, size), arguments.seed))
    lines.append(
        "Real images: CDD-CESM, low-energy images (Khaled et al. 2021, doi:10.7937/29kw-ae92; Sci Data 9:122, 2022; "
        "The Cancer Imaging Archive), CC BY 4.0; letterboxed upstream, cropped here."
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
