"""Simulated reader studies: coverage of every interval, false positives and power of every test of the analysis.

    python benchmarks/readers.py [STUDIES [MIXED]]

writes benchmarks/results/readers.md and readers.csv. The mixed model takes a second a study and gets MIXED studies of
three scenarios.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.readers.simulation import SCENARIOS, classical, mixed, simulate

RESULTS = Path(__file__).with_name("results")
CROSSED = ("all guess", "readers differ", "images differ")


def main(studies: int = 1000, mixed_studies: int = 100) -> None:
    parts = []
    for count, analysis, names in ((studies, classical, SCENARIOS), (mixed_studies, mixed, CROSSED)):
        if count:
            chosen = {name: SCENARIOS[name] for name in names}
            table = simulate(count, analysis=analysis, scenarios=chosen, progress=lambda name: print(name, flush=True))
            table.insert(0, "studies", count)
            parts.append(table)
    table = pd.concat(parts)
    table.index.name = "interval or test"
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / "readers.csv", float_format="%.4g")
    shown = table.drop(columns="studies").map(lambda x: "" if np.isnan(x) else f"{100 * x:.1f}")
    header = ["interval or test", "studies", *shown.columns]
    lines = [" | ".join(header), " | ".join(["---"] * len(header))]
    lines += [
        " | ".join([name, str(n), *row])
        for name, n, row in zip(table.index, table["studies"], shown.to_numpy(), strict=True)
    ]
    usual = SCENARIOS["all guess"]
    note = (
        f"{datetime.datetime.now(datetime.UTC):%d %B %Y}. Percent of simulated studies of {usual.readers} "
        f"readers and {usual.questions} questions in which an interval covers the truth, or a test "
        "rejects at 5 %. One standard error is 0.7 points at 5 % of 1000 studies."
    )
    text = note + "\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"
    (RESULTS / "readers.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
