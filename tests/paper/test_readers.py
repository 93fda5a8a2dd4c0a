"""Searches for the scores in Table 4: every solution meets the printed figures, by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from mammogan.paper import printed, readers
from mammogan.paper.histograms import SCORES
from mammogan.paper.readers import ALL, ALL_SPLITS, FIRST, FIRST_SPLITS, Splits, chance_of_agreement, tie_structures


def scores_of(histogram: np.ndarray) -> np.ndarray:
    return np.repeat(SCORES, histogram)


def test_ties_allow_the_printed_values_together() -> None:
    for splits in (ALL_SPLITS, FIRST_SPLITS):
        assert len(tie_structures(splits))
        assert chance_of_agreement(splits, 25, seed=0) < 0.05
    # The printed "board-certified radiologists (n = 55)" would make 66 radiologists.
    assert not len(tie_structures(Splits(*(replace(split, whole=66) for split in ALL_SPLITS))))


def test_an_unknown_p_value_agrees_with_every_one() -> None:
    unknown = ALL_SPLITS.without(ALL_SPLITS.screening).screening
    assert unknown.bounds == (0.0, np.inf)
    assert ALL_SPLITS.without(None) == ALL_SPLITS


def test_solutions_without_one_p_value_have_the_others() -> None:
    solutions, counts = readers.search_radiologists(ALL_SPLITS.screening)
    assert counts["solutions"] == len(solutions) > 1
    assert len({str(solution.strata()) for solution in solutions}) == len(solutions)
    for solution in solutions:
        strata = solution.strata()
        for part, rest, sample, p in (
            ("Trainees", "Board qualified", ALL, 0.9783),
            ("Specializing in breast", "No breast specialists", ALL, 0.0773),
            ("Trainees", "Board qualified", FIRST, 0.4091),
            ("Specializing in breast", "No breast specialists", FIRST, 0.2840),
        ):
            scores = [scores_of(strata[name][sample]) for name in (part, rest)]
            assert round(float(stats.kruskal(*scores).pvalue), 4) == p
        for name in ("Radiologists", "Board qualified", "Specializing in breast", "Screening radiologist"):
            group = printed.group(name)
            scores = scores_of(strata[name][ALL])
            assert (len(scores), round(scores.mean() / 10, 3)) == (group.attempts, group.rate)
            assert round(scores.std() / 10, 3) == group.deviation


def test_progress_counts_histograms() -> None:
    calls: list[tuple[str, int, int]] = []
    _, counts = readers.search_radiologists(progress=lambda task, done, total, note: calls.append((task, done, total)))
    assert calls == [("histograms", n, counts["specialists"]) for n in range(counts["specialists"])]
