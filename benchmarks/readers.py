"""Simulated reader studies: coverage of every interval, false positives and power of every test of the analysis.

    python benchmarks/readers.py [STUDIES [MIXED [MINUTES]]]

writes benchmarks/results/readers.md and readers.csv. The mixed model needs half a second per study and gets MIXED
studies of each population. Outcomes are kept below runs/benchmarks/ in blocks, so that the same command continues a run
that was interrupted, or that stopped after MINUTES; blocks of other code are not used.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pandas as pd
import simulated_readers
from simulated_readers import SCENARIOS, outcomes

from mammogan.atomic import replacing
from mammogan.report import provenance

RESULTS = Path(__file__).with_name("results")
BLOCK = 25  # studies
ANALYSES = {"classical": simulated_readers.classical, "mixed": simulated_readers.mixed}


def block(path: Path, analysis: str, name: str, numbers: range) -> None:
    """Simulate some studies of a population and write their outcomes."""
    table = outcomes(name, SCENARIOS[name], numbers, analysis=ANALYSES[analysis])
    with replacing(path) as aside:
        table.to_csv(aside, index_label="study")


def main(studies: int = 1000, mixed_studies: int = 100, minutes: int = 24 * 60) -> None:
    end = time.monotonic() + 60 * minutes
    code = provenance.code_hash([Path(simulated_readers.__file__).read_text(encoding="utf-8")])
    kept = provenance.ROOT / "runs" / "benchmarks" / f"readers-{code[:12]}"
    kept.mkdir(parents=True, exist_ok=True)
    counts = {"classical": studies, "mixed": mixed_studies}
    paths = {
        (analysis, name, numbers): kept / f"{analysis}-{name.replace(' ', '_')}-{numbers.start}-{numbers.stop}.csv"
        for analysis, count in counts.items()
        for name in SCENARIOS
        for numbers in (range(k, min(k + BLOCK, count)) for k in range(0, count, BLOCK))
    }
    missing = [key for key, path in paths.items() if not path.exists()]
    print(f"{len(paths) - len(missing)} of {len(paths)} blocks are kept in {kept}", flush=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        tasks = [pool.submit(block, paths[key], *key) for key in missing]
        for number, task in enumerate(as_completed(tasks), 1):
            task.result()
            print(f"{number} of {len(tasks)} blocks", flush=True)
            if time.monotonic() > end:
                pool.shutdown(cancel_futures=True)
                sys.exit("Stopped; the same command continues.")
    parts = []
    for analysis, count in counts.items():
        columns = {
            name: pd.concat(
                [pd.read_csv(paths[key], index_col="study") for key in paths if key[:2] == (analysis, name)]
            )
            for name in SCENARIOS
            if count
        }
        assert all(len(table) == count and table.index.is_unique for table in columns.values())
        if columns:
            table = pd.DataFrame({name: table.mean() for name, table in columns.items()})
            table.insert(0, "studies", count)
            parts.append(table)
    write(pd.concat(parts))


def write(table: pd.DataFrame) -> None:
    """Write the shares as a table of percentages, and as numbers."""
    table.index.name = "interval or test"
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / "readers.csv", float_format="%.4g")
    header = ["interval or test", *table.columns]
    lines = [" | ".join(header), " | ".join(["---", *["---:"] * len(table.columns)])]
    lines += [
        " | ".join([str(name), f"{row['studies']:.0f}", *(f"{100 * x:.1f}" for x in row.drop("studies"))])
        for name, row in table.iterrows()
    ]
    usual = SCENARIOS["all guess"]
    errors = [
        f"{100 * np.sqrt(0.05 * 0.95 / n):.1f} points with {n:.0f} studies" for n in sorted(set(table["studies"]))
    ]
    note = (
        f"{datetime.datetime.now(datetime.UTC):%d %B %Y}. Percent of simulated studies of {usual.readers} readers, "
        f"{usual.questions} questions and {usual.pool} images in which an interval covers the rate over all readers "
        "and images, or a test rejects at 5 %. The standard error of 5 or 95 % is " + " and ".join(errors) + "."
    )
    text = note + "\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"
    (RESULTS / "readers.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
