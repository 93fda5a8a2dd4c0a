"""Compare how alike the two views of a breast are in phantoms and in real mammograms, to tune the phantoms.

    python benchmarks/phantom_pairs.py REAL --out OUT [--count 112] [--seed 0]

REAL is a folder of real images (pictures with a table of labels, or DICOM) with CC and MLO of the same breasts, or a
store of them of 12 bits at 320 x 256, mirrored to the left. The sheet of pairs in OUT shows real images and is not for
publication. The table is printed and kept as benchmarks/results/phantom_pairs.md.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mammogan.data.ingest import Settings, ingest
from mammogan.data.pairs import view_pairs
from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.render import render
from mammogan.data.store import Store, quantize
from mammogan.metrics.view_agreement import FACTS, agreement, view_facts
from mammogan.parallel import in_processes
from mammogan.types import ImageStack

SIZE, BITS = (320, 256), 12
BOOTSTRAPS, SHOWN = 2000, 8
RESULT = Path(__file__).parent / "results" / "phantom_pairs.md"
Facts = dict[str, np.ndarray]


def quantities(facts: np.ndarray) -> Facts:
    """Return single numbers of images from `view_facts` (n, k), (n,) each."""
    area, dense, line, profile = (facts[:, columns] for columns in FACTS.values())
    return {
        "breast area, ln of height²": area[:, 0],
        "dense share": dense[:, 0],
        "nipple line, height": line[:, 0],
        "tissue profile, mean depth, height": profile.mean(1),
        "tissue profile, spread, height": profile.std(1),
    }


def correlation(first: np.ndarray, second: np.ndarray, patients: np.ndarray, seed: int) -> tuple[float, ...]:
    """Return Pearson's correlation and its 95 % interval by bootstrap over patients."""
    rng, rows = np.random.default_rng(seed), [np.flatnonzero(patients == one) for one in np.unique(patients)]
    draws = []
    for _ in range(BOOTSTRAPS):
        chosen = np.concatenate([rows[number] for number in rng.integers(len(rows), size=len(rows))])
        draws.append(np.corrcoef(first[chosen], second[chosen])[0, 1])
    return float(np.corrcoef(first, second)[0, 1]), *(float(x) for x in np.quantile(draws, [0.025, 0.975]))


def facts_of(pairs: pd.DataFrame, images: ImageStack, bits: int) -> list[np.ndarray]:
    """Return the facts of the CC and of the MLO of each pair, rows as in `view_pairs`."""
    return [
        np.concatenate([view_facts(images[int(row)][None], bits, view) for row in pairs[view.lower()]])
        for view in ("CC", "MLO")
    ]


def draw_phantom(seed: int, index: int) -> np.ndarray:
    """Draw an image of the population of a seed as a store shows it, chest wall at the left: (h, w), uint16."""
    number, which = divmod(index, 4)
    laterality, view = VIEWS[which]
    shown = render(seed, number, view, laterality, height=SIZE[0], width=SIZE[1]).shown
    return quantize(shown if laterality == "L" else shown[:, ::-1], BITS)


def compare(sets: dict[str, tuple[pd.DataFrame, list[np.ndarray]]], seed: int) -> list[str]:
    """Return the lines of the tables: correlations between views, and chances that true pairs agree better."""
    lines = [
        "| Quantity | r, real | r, phantoms | Within | Real CC, MLO | Phantoms CC, MLO |",
        "|---|---|---|---|---|---|",
    ]
    values = {name: [quantities(facts) for facts in both] for name, (_, both) in sets.items()}
    for name in values["real"][0]:
        r, spread = {}, {}
        for key, (pairs, _) in sets.items():
            cc, mlo = (view[name] for view in values[key])
            r[key] = correlation(cc, mlo, pairs["patient"].to_numpy(str), seed)
            spread[key] = ", ".join(f"{np.mean(x):.2f} ± {np.std(x):.2f}" for x in (cc, mlo))
        within = "yes" if r["real"][1] <= r["phantoms"][0] <= r["real"][2] else "no"
        cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*r[key]) for key in ("real", "phantoms")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {within} | {spread['real']} | {spread['phantoms']} |")
    lines += ["", "| Measure of `mammogan pairs` | AUC, real | AUC, phantoms | Within |", "|---|---|---|---|"]
    for name, columns in FACTS.items():
        auc = {
            key: agreement(cc[:, columns], mlo[:, columns], pairs["patient"].to_numpy(str), seed).auc
            for key, (pairs, (cc, mlo)) in sets.items()
        }
        within = "yes" if auc["real"].low <= auc["phantoms"].value <= auc["real"].high else "no"
        cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*auc[key]) for key in ("real", "phantoms")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {within} |")
    return lines


def sides(pairs: pd.DataFrame, both: list[np.ndarray]) -> str:
    """Return a sentence on how alike left and right breasts of one patient are."""
    at = pairs.reset_index(names="row").pivot(index="patient", columns="laterality", values="row").dropna().astype(int)
    if len(at) < 10:
        return ""
    parts = []
    for name, values in quantities(both[0]).items():
        r = np.corrcoef(values[at["L"]], values[at["R"]])[0, 1]
        parts.append(f"{name.split(', height')[0].split(', ln')[0]} {r:.2f}")
    return f"Left against right CC of one patient, r: {'; '.join(parts)} ({len(at)} patients)."


def draw_sheet(sets: dict[str, tuple[pd.DataFrame, ImageStack]], path: Path) -> None:
    """Write a picture: pairs of each set, CC next to MLO, chest walls at the left."""
    rows = []
    for pairs, images in sets.values():
        chosen = pairs.sample(SHOWN, random_state=0)
        row = [images[int(pair[view])] for _, pair in chosen.iterrows() for view in ("cc", "mlo")]
        rows += [np.hstack(row[:SHOWN]), np.hstack(row[SHOWN:])]
    Image.fromarray((np.vstack(rows) / (2**BITS - 1) * 255).astype(np.uint8)).save(path)


def main() -> None:
    """Parse the command line, compare, and write the table and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=112)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = Settings(height=SIZE[0], width=SIZE[1], bits=BITS, laterality="left")
    with tempfile.TemporaryDirectory() as folder:
        is_store = (arguments.real / "zarr.json").is_file()
        real = Store.open(arguments.real) if is_store else ingest([arguments.real], Path(folder) / "real", settings)
        phantoms = np.stack([*in_processes(partial(draw_phantom, arguments.seed), range(arguments.count), 2)])
        breasts = [
            (4 * number + side, 4 * number + 2 + side, str(number), "LR"[side])
            for number in range(arguments.count // 4)
            for side in (0, 1)
        ]
        images: dict[str, tuple[pd.DataFrame, ImageStack]] = {
            "real": (view_pairs(real), real.images(SIZE)),
            "phantoms": (pd.DataFrame(breasts, columns=["cc", "mlo", "patient", "laterality"]), phantoms),
        }
        draw_sheet(images, arguments.out / "pairs.png")
        sets = {key: (pairs, facts_of(pairs, stack, BITS)) for key, (pairs, stack) in images.items()}
        counts = {key: len(pairs) for key, (pairs, _) in sets.items()}
        header = [
            "# Two views of one breast: phantoms and real mammograms",
            "",
            f"{datetime.now(UTC).date()}; {counts['real']} real pairs of views and {counts['phantoms']} of phantoms "
            f"(seed {arguments.seed}) at {SIZE[0]} x {SIZE[1]}. Pearson's correlation between the views with a 95 % "
            "interval by bootstrap over patients; whether the phantoms' value is within the real interval; mean ± "
            "standard deviation. AUC: chance that a true pair agrees better than one of two patients. Definitions: "
            "`mammogan.metrics.view_agreement`.",
            "",
        ]
        lines = [*header, *compare(sets, arguments.seed), "", f"Phantoms: {sides(*sets['phantoms'])}", ""]
    lines.append(
        "Real images: CDD-CESM, low-energy images (Khaled et al. 2021, doi:10.7937/29kw-ae92; Sci Data 9:122, 2022; "
        "The Cancer Imaging Archive), CC BY 4.0; letterboxed upstream, cropped here."
    )
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
