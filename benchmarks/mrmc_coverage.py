"""Coverage of the interval of an AUC over readers and cases, by simulation.

    python benchmarks/mrmc_coverage.py [STUDIES]

writes benchmarks/results/mrmc_coverage.md, and rated_answers.csv, a simulated study that chapter 5 analyzes. The truth
is the expected AUC of all readers and cases like these.
"""

from __future__ import annotations

import datetime
import itertools
import platform
import sys
from pathlib import Path

import numpy as np
from scipy import stats
from simulated_readers import Raters, rated_answers

from mammogan.atomic import replacing
from mammogan.stats.mrmc import obuchowski_rockette, reader_aucs

RESULTS = Path(__file__).with_name("results") / "mrmc_coverage.md"
EXAMPLE = RESULTS.with_name("rated_answers.csv")
READERS, CASES = (3, 5, 10), (20, 60, 100)
POPULATIONS = {
    "guess": {"separation": 0.0},
    "some can tell": {"separation": 0.7},
    "most can tell": {"separation": 1.5},
}


def coverage(population: str, readers: int, cases: int, studies: int) -> np.ndarray:
    """Return the coverage of the interval and of the symmetric one, and the mean width of the first."""
    raters = Raters(readers=readers, cases=cases, **POPULATIONS[population])
    rng = np.random.default_rng([readers, cases, *population.encode()])
    rows = []
    for _ in range(studies):
        auc = obuchowski_rockette(reader_aucs(raters.draw(rng))).tests["a"]
        value, low, high = auc.interval()
        step = stats.t.ppf(0.975, auc.df) * auc.error
        rows.append((low <= raters.auc <= high, abs(value - raters.auc) <= step, high - low))
    return np.mean(rows, axis=0)


def main(studies: int = 400) -> None:
    example = rated_answers(Raters(readers=6, cases=60), seed=1, generators={"A": 0.0, "B": 0.7})
    example.to_csv(EXAMPLE, index=False)
    rows = []
    for population, readers, cases in itertools.product(POPULATIONS, READERS, CASES):
        ours, symmetric, width = coverage(population, readers, cases, studies)
        auc = Raters(**POPULATIONS[population]).auc
        rows.append([population, f"{auc:.2f}", readers, cases, f"{100 * ours:.1f}", f"{100 * symmetric:.1f}"])
        rows[-1].append(f"{width:.2f}")
        print(*rows[-1], flush=True)
    header = ["population", "AUC", "readers", "cases", "log odds", "symmetric", "mean width"]
    note = (
        f"{datetime.datetime.now(datetime.UTC):%d %B %Y}, one core of {platform.machine()}. Percent of {studies} "
        "simulated studies (Roe & Metz) in which the 95 % interval of the AUC over readers and cases covers the "
        f"expected AUC; standard error {100 * np.sqrt(0.05 * 0.95 / studies):.1f} points at 95 %. Half of the cases "
        "are synthetic. Symmetric is the interval that MRMCaov and RJafroc print, with the same error and degrees "
        "of freedom; the width is that on the scale of the log odds."
    )
    lines = [header, ["---", *["---:"] * 6], *rows]
    with replacing(RESULTS) as aside:
        table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
        aside.write_text(f"{note}\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
