"""Reconstruction of the scores in Table 4: histograms, printed figures that they miss, and answers that fit them.

The searches (`readers.py`) are exhaustive. Attempts are arrays (..., 2, 11), the histograms of all attempts and of the
first ones. What is returned is a reconstruction, not data.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammogan.paper import readers
from mammogan.paper.histograms import SCORES, chi_square, chi_square_p, highest_chi_square_p, rate_and_deviation
from mammogan.paper.printed import CHI_SQUARE_P, QUESTIONS, SLACK, TABLE4, group
from mammogan.paper.readers import ALL, FIRST, P_VALUES, SAMPLES, Radiologists
from mammogan.stats.responses import TRAITS

NOTE = "Reconstruction from printed figures, not data: who answered what is not known."


@dataclass(frozen=True)
class Reconstruction:
    """Attempts of every stratum that meet all printed figures that can be met together."""

    radiologists: Radiologists  # the only solution
    nonradiologists: np.ndarray  # (m, 2, 11), all solutions
    chosen: int  # index of the solution that represents them
    radiologist_counts: dict[str, int]  # candidates after each step of the search
    nonradiologist_counts: dict[str, int]

    def strata(self, others: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return attempts by row of Table 4, and of "Trainees" and "No breast specialists".

        Args:
            others: (..., 2, 11), solutions for the nonradiologists; the chosen one by default.
        """
        others = self.nonradiologists[self.chosen] if others is None else others
        whole = self.radiologists.whole + others
        repeated = whole[..., ALL, :] - whole[..., FIRST, :]
        strata = {"All participants": whole, "Nonradiologists": others, **self.radiologists.strata()}
        return {**strata, "Repeated efforts": np.stack([repeated, np.zeros_like(repeated)], -2)}

    def ranges(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the lowest and highest number in each cell over all solutions, (11,) each, of all attempts."""
        strata = self.strata(self.nonradiologists).items()
        cells = {name: attempts[..., ALL, :].reshape(-1, len(SCORES)) for name, attempts in strata}
        return {name: (rows.min(0), rows.max(0)) for name, rows in cells.items()}


def reconstruct() -> Reconstruction:
    """Search for the histograms of all strata; the solution nearest to Bin(10, 1/2) is chosen for nonradiologists.

    Raises:
        ValueError: the radiologists' figures leave no solution or several.
    """
    solutions, counts = readers.search_radiologists()
    if len(solutions) != 1:
        raise ValueError(f"The radiologists' figures leave {len(solutions)} solutions; one was expected.")
    whole = solutions[0].whole
    others, other_counts = readers.search_nonradiologists(whole)
    chosen = int(np.argmin(chi_square(others[:, ALL] + whole[ALL])))
    return Reconstruction(solutions[0], others, chosen, counts, other_counts)


def residuals(reconstruction: Reconstruction) -> pd.DataFrame:
    """Return every printed figure on readers with its value in the reconstruction.

    Returns:
        One row per figure: figure, sample, printed, reconstructed, residual, met.
    """
    strata = reconstruction.strata()
    rows: list[tuple[str, str, float, float, int]] = []
    for row, sample in ((TABLE4[0], ALL), (TABLE4[0], FIRST), *((row, ALL) for row in TABLE4[1:])):
        rate, deviation = rate_and_deviation(strata[row.name][sample])
        rows.append((f"Table 4, {row.name}: rate", SAMPLES[sample], row.rate, rate, 3))
        rows.append((f"Table 4, {row.name}: deviation", SAMPLES[sample], row.deviation, deviation, 3))
    for split in P_VALUES:
        figure = f"Kruskal-Wallis P, {split.name}"
        rows.append((figure, SAMPLES[split.sample], split.p, split.p_in(strata), split.decimals))
    for sample, p in enumerate(chi_square_p(strata["All participants"])):
        rows.append(("Chi-square P, eleven bins", SAMPLES[sample], CHI_SQUARE_P, p, 3))
    # "Only one radiologist noticed these artifacts ... and subsequently correctly identified nine of 10".
    rows.append(("Text: attempts with nine right", SAMPLES[ALL], 1, int(strata["All participants"][ALL, 9:].sum()), 0))
    table = pd.DataFrame(rows, columns=["figure", "sample", "printed", "reconstructed", "decimals"])
    table["residual"] = table["reconstructed"] - table["printed"]
    table["met"] = table["residual"].abs() <= 0.5 * 10.0 ** -table.pop("decimals") + SLACK
    return table


def left_out() -> pd.DataFrame:
    """Search for the radiologists without each of their six P values in turn.

    Returns:
        One row per P value: its name, sample, printed; the solutions without it, and how many of them have it as
        printed; its lowest and highest value among them; how many have at most one score of nine or ten, as the text.
    """
    rows = []
    for split in (split for split in P_VALUES if split.stratum != "Radiologists"):
        solutions, _ = readers.search_radiologists(split)
        p = np.array([split.p_in(solution.strata()) for solution in solutions])
        as_printed = int((np.abs(p - split.p) <= 0.5 * 10.0**-split.decimals + SLACK).sum())
        one_nine = sum(int(solution.whole[ALL, 9:].sum()) <= 1 for solution in solutions)
        sample = SAMPLES[split.sample]
        rows.append((split.name, sample, split.p, len(solutions), as_printed, p.min(), p.max(), one_nine))
    columns = ["P left out", "sample", "printed", "solutions", "as printed", "lowest", "highest", "one nine at most"]
    return pd.DataFrame(rows, columns=columns)


def conflicts(reconstruction: Reconstruction, without: pd.DataFrame) -> pd.DataFrame:
    """Return sets of printed figures that no data can have, and the solutions left when one of them is given up.

    Args:
        reconstruction, without: results of `reconstruct` and `left_out`.

    Returns:
        One row per figure of a set: set, figure, solutions (whole numbers, or histograms) that the others of the set
        leave. Nothing satisfies the whole set. Where no row is 0 it is a smallest one: any figure less frees it.

    Raises:
        ValueError: a set has a solution.
    """
    radiologists, others, everybody = map(group, ("Radiologists", "Nonradiologists", "All participants"))
    a, b = radiologists.sums, others.sums
    count, known = reconstruction.nonradiologist_counts, reconstruction.radiologists.whole[ALL]
    squares = everybody.possible_squares(a.total + b.total)
    possible = highest_chi_square_p(known, others.attempts) >= CHI_SQUARE_P - 0.0005
    sets = {
        "rates of Table 4": _that_add_up([a.total], [b.total], everybody.possible_totals),
        "deviations of Table 4, all attempts": _that_add_up([a.squares], [b.squares], squares),
        "P of radiologists against others": {
            "": count["both, text"],
            "P of all attempts": len(reconstruction.nonradiologists),
            "P of first attempts": count["p_all, text"],
            "text: nobody else had nine right": count["both"],
        },
        "radiologists: Table 4, six P values, one score of nine": {
            "": int(known[9:].sum() <= 1),
            "text: one score of nine": 1,
            **{f"P of {row[0]}, {row[1]}": int(row[-1]) for row in without.itertuples(index=False)},
        },
        "chi-square of all attempts": {
            "": count["chi_square"],
            "chi-square P = .999": count["all"],
            "row of nonradiologists (at least)": int(possible),
        },
    }
    for name, solutions in sets.items():
        if together := solutions.pop(""):
            raise ValueError(f"The set {name!r} has {together} solutions; it does not conflict.")
    rows = [(name, figure, n) for name, solutions in sets.items() for figure, n in solutions.items()]
    return pd.DataFrame(rows, columns=["set", "figure", "solutions without it"])


def _that_add_up(first: Collection[int], second: Collection[int], whole: Collection[int]) -> dict[str, int]:
    """Count the ways to choose one of each that add up (under ""), and the ways without the row of each."""
    return {
        "": sum(a + b in whole for a in first for b in second),
        "row of radiologists": len(second) * len(whole),
        "row of nonradiologists": len(first) * len(whole),
        "row of all participants": len(first) * len(second),
    }


def draw_answers(reconstruction: Reconstruction, successes: np.ndarray, seed: int) -> pd.DataFrame:
    """Return a table of answers that has the reconstructed histograms, traits and successes of each question.

    Which question an attempt got right, who is both trainee and specialist, and who came back is not known and drawn at
    random within those margins: of tests that depend on it only their spread over seeds says anything.

    Args:
        reconstruction: histograms of the strata.
        successes: (10,) right answers to each question.
        seed: random seed.

    Returns:
        session, reader, question, correct and the traits of `responses.TRAITS`.
    """
    rng = np.random.default_rng(seed)
    known, others = reconstruction.radiologists, reconstruction.nonradiologists[reconstruction.chosen]
    returning: list[int] | None = None
    while returning is None:
        first = _people(Radiologists(*(a[FIRST] for a in known)), others[FIRST], rng)
        again = _people(Radiologists(*(a[ALL] - a[FIRST] for a in known)), others[ALL] - others[FIRST], rng)
        returning = _matches(first, again, list(rng.permutation(len(first))))
    people, persons = first + again, [*range(len(first)), *returning]
    correct = with_margins(np.array([score for score, *_ in people]), successes, rng)
    rows = [
        (f"s{session:03d}", f"r{persons[session]:03d}", question + 1, int(correct[session, question]), *traits)
        for session, (_, *traits) in enumerate(people)
        for question in range(QUESTIONS)
    ]
    return pd.DataFrame(rows, columns=["session", "reader", "question", "correct", *TRAITS])


Person = tuple[int, str, str, str, str, str]  # score and `responses.TRAITS`


def _people(radiologists: Radiologists, others: np.ndarray, rng: np.random.Generator) -> list[Person]:
    """Return scores and traits of attempts whose margins are the given histograms, (11,) each."""
    people: list[Person] = []
    for score, n in enumerate(radiologists.whole):
        rest, trainees = radiologists.rest[score], radiologists.trainees[score]
        for rank_of_training, rank in zip(rng.permutation(n), rng.permutation(n), strict=True):
            board, trainee = ("no", "yes") if rank_of_training < trainees else ("yes", "no")
            specialist = "no" if rank < rest else "yes"
            screening = "" if rank < rest else "no" if rank < rest + radiologists.others[score] else "yes"
            people.append((score, "yes", board, trainee, specialist, screening))
    return people + [(int(score), "no", "", "", "", "") for score in np.repeat(SCORES, others)]


def _matches(first: list[Person], again: list[Person], order: list[int]) -> list[int] | None:
    """Return a first attempt of the same traits for each repeated one, in an order; None where there are too few."""
    matches = []
    for _, *traits in again:
        match = next((number for number in order if list(first[number][1:]) == traits), None)
        if match is None:
            return None
        matches.append(match)
        order.remove(match)
    return matches


def with_margins(rows: np.ndarray, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random 0/1 matrix with these sums of rows and columns.

    Rows are filled in the columns that need most (Gale and Ryser), then pairs of rows trade ones (Strona et al. 2014).

    Raises:
        ValueError: there is no such matrix.
    """
    left = np.array(columns)
    matrix = np.zeros((len(rows), len(columns)), np.int8)
    for i in np.argsort(-rows, kind="stable"):
        filled = np.argsort(-left, kind="stable")[: rows[i]]
        matrix[i, filled] = 1
        left[filled] -= 1
    if left.any():
        raise ValueError("No 0/1 matrix has these sums of rows and columns; check them.")
    for _ in range(20 * len(rows)):
        a, b = rng.choice(len(rows), 2, replace=False)
        differ = np.flatnonzero(matrix[a] != matrix[b])
        traded = rng.permutation(matrix[a, differ])
        matrix[a, differ], matrix[b, differ] = traded, 1 - traded
    return matrix
