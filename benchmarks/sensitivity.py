"""Sensitivity of each measure: controlled damage to images, and the damage that n + n images detect at 80 % power.

    python benchmarks/sensitivity.py STORE --name NAME --title TEXT [--size 80 64] [--n 1000] [--draws 20]

STORE is a store of real images or of phantoms, 12 bits, with at least 2 n images of that size. Writes
benchmarks/results/sensitivity_NAME.csv and .md; they hold statistics and no image.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from damage_sensitivity import sensitivity

from mammogan.data.store import Store
from mammogan.report.sensitivity import seen

RESULTS = Path(__file__).parent / "results"


def markdown(table: pd.DataFrame, title: str) -> str:
    """Return the table as the book includes it: effect, and the smallest damage that is detected."""
    damages, measures = (list(dict.fromkeys(table[column])) for column in ("damage", "measure"))
    cells = table.set_index(["measure", "damage"])
    facts = table.drop_duplicates("damage").set_index("damage")
    heads = [f"{name}, {facts.loc[name, 'nominal']:g} {facts.loc[name, 'unit']}" for name in damages]
    lines = [title, "", "| Measure | " + " | ".join(heads) + " |", "|---" * (len(damages) + 1) + "|"]
    for measure in measures:
        row = []
        for damage in damages:
            cell = cells.loc[(measure, damage)]
            least = f"{cell['detectable']:.2g}" if np.isfinite(cell["detectable"]) else "none"
            row.append(f"{cell['effect']:+.1f} ({least})")
        lines.append(f"| {measure} | " + " | ".join(row) + " |")
    words = seen(table)
    lines += ["", "| " + " | ".join(words) + " |", "|---" * len(words.columns) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in words.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--title", required=True, help="description of the images, with attribution")
    parser.add_argument("--size", type=int, nargs=2, default=(80, 64))
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--most", type=int, default=3000, help="largest number of images from the store")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    store = Store.open(given.store)
    images = np.asarray(store.images(tuple(given.size))[: given.most])
    started = time.perf_counter()
    table = sensitivity(
        images,
        n=given.n,
        draws=given.draws,
        factors=(0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5),
        groups=store.manifest["patient"].to_numpy()[: given.most],
        seed=given.seed,
        progress=lambda name: print(f"{time.perf_counter() - started:6.0f} s  {name}", flush=True),
    )
    minutes = (time.perf_counter() - started) / 60
    title = (
        f"{given.title} {len(images)} images of {given.size[0]} x {given.size[1]} pixels, 12 bits; "
        f"{given.n} + {given.n} in {given.draws} draws of disjoint sets by patient, seed {given.seed}; "
        f"{datetime.now(UTC).date()}; {platform.machine()}, {os.cpu_count()} cores, {minutes:.0f} minutes. "
        "Effect in standard deviations of chance, and in brackets the smallest damage that is detected with 80 % power "
        "at the 5 % level, in the unit of the column (none: not even the largest tried)."
    )
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / f"sensitivity_{given.name}.csv", index=False, float_format="%.4g")
    (RESULTS / f"sensitivity_{given.name}.md").write_text(markdown(table, title))


if __name__ == "__main__":
    main()
