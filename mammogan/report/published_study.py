"""Chapter on the published reader study: its printed tables re-derived, and what follows from them.

Functions keep their numbers in the results that they are given, and return the tables to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

from mammogan.paper import printed, readers, table3, table4
from mammogan.paper.histograms import BY_GUESSING, SCORES, chi_square_p, histograms_of, kruskal_h
from mammogan.paper.printed import ATTEMPTS, CHI_SQUARE_P, INSPECTED, QUESTIONS, READERS, TABLE3, TABLE4, group
from mammogan.report.numbers import keep
from mammogan.report.results import Results, Value
from mammogan.stats import equivalence, proportions, rank_tests

TRIALS = QUESTIONS * ATTEMPTS
RATE = printed.TOLERANCES["rate"].value


def table3_solutions(results: Results, search: table3.Search) -> pd.DataFrame:
    """Return every vector of ten counts that Table 3 allows, with total, Kruskal-Wallis P and cells met."""
    table = pd.DataFrame(search.solutions, columns=[f"question {question}" for question in range(1, QUESTIONS + 1)])
    table["total"] = search.solutions.sum(1)
    table["Kruskal-Wallis P"] = [table3.kruskal_p(row) for row in search.solutions]
    table["cells met to 3 decimals"] = [table3.agreement(row).equal for row in search.solutions]
    digits = " or ".join(sorted({str(total % 10) for total in table["total"]}))
    keep(results, {"table3.space": search.space, "table3.solutions": len(table), "table3.last_digits": digits})
    return table


def table3_cells(results: Results, successes: np.ndarray) -> pd.DataFrame:
    """Re-derive the P values of Table 3 from the (10,) right answers of each question.

    Kept: the smallest P after Holm, and P values that are printed differently for one difference.

    Returns:
        question, against, difference, printed, re-derived, Holm.
    """
    answers = list(rank_tests.answers_from_counts(successes, ATTEMPTS).T)
    p, adjusted = rank_tests.conover(answers), rank_tests.conover(answers, "holm")
    rows = [
        (a + 1, b + 1, abs(int(successes[a] - successes[b])), printed, p[a, b], adjusted[a, b])
        for (a, b), printed in TABLE3.items()
    ]
    table = pd.DataFrame(rows, columns=["question", "against", "difference", "printed", "re-derived", "Holm"])
    keep(results, {"holm": float(table["Holm"].min())})
    for difference in (3, 4):
        values = sorted(set(table.loc[table["difference"] == difference, "printed"]))
        keep(results, {f"rounding.{difference}": " and ".join(f"{value:.3f}" for value in values)})
    return table


def table4_rates(results: Results, total: int, margin: float) -> pd.DataFrame:
    """Return the rates of Table 4 with exact and clustered intervals, and a test of the printed deviations.

    `total` are the right answers of all attempts; each other row allows one number only.
    """
    rights = [total, *(row.sums.total for row in TABLE4[1:])]
    counts = [(row.name, right, QUESTIONS * row.attempts) for row, right in zip(TABLE4, rights, strict=True)]
    table = equivalence.group_table(counts, margin)
    n, deviation = (np.array([getattr(row, name) for row in TABLE4]) for name in ("attempts", "deviation"))
    binomial = table["rate"] * (1 - table["rate"]) / QUESTIONS
    table["SD"], table["SD by guessing"] = deviation, np.sqrt(binomial)
    table["p_spread"] = stats.chi2.sf(n * deviation**2 / binomial, n - 1)
    effect = deviation**2 * n / (n - 1) / binomial
    samples = zip(table["rate"], table["trials"], effect, n - 1, strict=True)
    table[["low (clusters)", "high (clusters)"]] = [proportions.EffectiveSample(*row).bounds() for row in samples]
    for row, in_print in zip(table.itertuples(), TABLE4, strict=True):
        key, counted = f"table4.{row.group.split()[0].lower()}", f"{row.successes} of {row.trials}"
        value = Value(row.rate, (row.low, row.high), in_print.rate, RATE, "print")
        keep(results, {key: value}, name=row.group, counts=counted, p=row.p_equivalence)
    spread = {"smallest": table["p_spread"].min(), "all": table["p_spread"][0], "effect": effect[0]}
    keep(results, {f"spread.{key}": number for key, number in spread.items()})
    return table


def first_row(results: Results) -> None:
    """Work out what the other rows of Table 4 leave for its first row: right answers and standard deviations."""
    trials = QUESTIONS * READERS
    near = [str(k) for k in range(trials + 1) if abs(k / trials - TABLE4[0].rate) <= 0.0005]
    radiologists, others, repeats = (
        np.array(group(name).sums) for name in ("Radiologists", "Nonradiologists", "Repeated efforts")
    )
    keep(results, {"first_attempts": " or ".join(near), "repeats.right": int(repeats[1])})
    whole = radiologists + others  # attempts, right answers and squared scores add up
    for key, (n, right, squares) in {"all": whole, "first": whole - repeats}.items():
        deviation = float(np.sqrt(squares / n - (right / n) ** 2)) / QUESTIONS
        keep(results, {f"deviation.{key}": Value(deviation, None, TABLE4[0].deviation, RATE, "print")}, n=n)


def chi_square_by_guessing(results: Results, simulations: int, seed: int) -> None:
    """Simulate the chi-square test of scores in eleven bins under guessing, on counts and on shares.

    Kept: how often P rounds to .999 or more, and the smallest P of the test on shares; each simulated study has 133
    attempts.
    """
    scores = np.random.default_rng(seed).binomial(QUESTIONS, 0.5, (simulations, ATTEMPTS))
    observed = np.stack([np.bincount(row, minlength=len(SCORES)) for row in scores])
    on_counts = ((observed - ATTEMPTS * BY_GUESSING) ** 2 / (ATTEMPTS * BY_GUESSING)).sum(1)
    on_shares = ((observed / ATTEMPTS - BY_GUESSING) ** 2 / BY_GUESSING).sum(1)
    p, p_shares = stats.chi2.sf(on_counts, QUESTIONS), stats.chi2.sf(on_shares, QUESTIONS)
    as_good = 100 * float((p >= CHI_SQUARE_P - 0.0005).mean())
    numbers = {"chi_square.as_good": as_good, "chi_square.on_shares": float(p_shares.min())}
    keep(results, numbers, simulations=simulations)


def specialists(results: Results, margin: float) -> None:
    """Test each side of equivalence for breast specialists: better than 1/2 + margin, and worse than 1/2 - margin."""
    row = group("Specializing in breast")
    right, trials = row.sums.total, QUESTIONS * row.attempts
    better = float(stats.binomtest(right, trials, 0.5 + margin, "less").pvalue)
    worse = float(stats.binomtest(right, trials, 0.5 - margin, "greater").pvalue)
    rate = [100 * bound for bound in proportions.exact_interval(right, trials)]
    keep(results, {"specialists.rate": rate, "specialists.right": right, "specialists.answers": trials})
    keep(results, {"specialists.better": better, "specialists.worse": worse})


def radiologists_against_others(results: Results, whole: np.ndarray, nines: int, margin: float) -> None:
    """Compute the Kruskal-Wallis and chi-square P values that Table 4 allows, and what its rates say of the two groups.

    The means and deviations of Table 4 do not determine these P values. Given the radiologists, every histogram of the
    nonradiologists with the sums of their row has P values of its own.

    Args:
        results: keeps the numbers.
        whole: (11,) reconstructed histogram of the radiologists, all attempts.
        nines: fewest nonradiologists with nine or ten right that both printed P values against them leave.
        margin: margin of equivalence.
    """
    first, second = group("Radiologists"), group("Nonradiologists")
    every = histograms_of(second.sums)
    p = stats.chi2.sf(kruskal_h(whole, every + whole), 1)
    median, low, high = np.quantile(p, [0.5, 0.05, 0.95])
    in_print = readers.ALL_RADIOLOGISTS.agrees(whole, every + whole)
    pairs = len(readers.P_VALUES) * len(TABLE4)
    counts = [first.sums.total, QUESTIONS * first.attempts, second.sums.total, QUESTIONS * second.attempts]
    compared = test_proportions_2indep(*counts, value=margin, compare="diff", alternative="smaller")
    ends = confint_proportions_2indep(*counts, compare="diff", method="newcomb")
    rates = 100 * np.array([first.sums.total / counts[1] - second.sums.total / counts[3], *ends])
    numbers = {
        "stratum": Value(float(median), (float(low), float(high)), printed.RADIOLOGISTS_P, basis="print"),
        "strata.histograms": len(every),
        "strata.lowest": float(p.min()),
        "strata.highest": float(p.max()),
        "strata.equal": int(in_print.sum()),
        "strata.near": 100 * float((np.abs(p - printed.RADIOLOGISTS_P) <= 0.05).mean()),
        "strata.coincidence": 100 * (1 - (1 - 1e-4) ** pairs),
        "strata.nines": nines,
        "strata.difference": rates.tolist(),
        "strata.better": float(compared.pvalue),
        "chi_square": Value(
            float(chi_square_p(every + whole).max()),
            paper=CHI_SQUARE_P,
            tolerance=printed.TOLERANCES["chi_square"].value,
            basis="print",
        ),
    }
    keep(results, numbers)


def tolerances() -> pd.DataFrame:
    """Return the tolerances of comparisons with print: compared, tolerance, reason."""
    rows = [(one.of, f"{one.value:g}", one.why) for one in printed.TOLERANCES.values()]
    return pd.DataFrame(rows, columns=["compared", "tolerance", "reason"])


def tie_structures(results: Results, draws: int, seed: int) -> None:
    """Count the tie sums at which all printed P values of the radiologists occur, and those of arbitrary P values.

    Tie sums between 2 and 12 % of n^3 - n count; scores near Bin(10, 1/2) have about 4 %.
    """
    for key, splits in (("all", readers.ALL_SPLITS), ("first", readers.FIRST_SPLITS)):
        share = readers.tie_structures(splits) / (splits.trainees.whole**3 - splits.trainees.whole)
        chance = 100 * readers.chance_of_agreement(splits, draws, seed)
        keep(results, {f"ties.{key}": int(((share > 0.02) & (share < 0.12)).sum()), f"ties.{key}.chance": chance})
    as_text = readers.Splits(*(replace(split, whole=66) for split in readers.ALL_SPLITS))
    keep(results, {"board.ties": len(readers.tie_structures(as_text))})


def strata_table(reconstruction: table4.Reconstruction) -> pd.DataFrame:
    """Return the reconstructed histograms: stratum, right, attempts, lowest, highest (over all solutions), first."""
    tables, ranges = [], reconstruction.ranges()
    for name, (every, first) in reconstruction.strata().items():
        low, high = ranges[name]
        cells = {"right": SCORES, "attempts": every, "lowest": low, "highest": high, "first": first}
        tables.append(pd.DataFrame({"stratum": name, **cells}))
    return pd.concat(tables, ignore_index=True)


def other_answers(
    reconstruction: table4.Reconstruction, successes: np.ndarray, draws: int, seed: int
) -> Iterator[pd.DataFrame]:
    """Yield tables of answers that the reconstruction allows, with random solutions for what is not determined."""
    rng = np.random.default_rng([seed, 1])
    for number in range(1, draws + 1):
        other = replace(reconstruction, chosen=int(rng.integers(len(reconstruction.nonradiologists))))
        yield table4.draw_answers(other, successes, seed + number)


def shared_images(results: Results, correlation: float = 0.05) -> None:
    """Work out the coverage of the exact interval when answers to one image are correlated, also for 60 images.

    A correlation of .05 within images is a standard deviation of .11 between their rates.
    """
    new = INSPECTED * (1 - (1 - 1 / INSPECTED) ** TRIALS)
    # Two images per pair, each in so many other pairs.
    effects = [1 + 2 * correlation * (TRIALS - 1) / images for images in (INSPECTED, 60)]
    coverage, few = (100 * proportions.actual_coverage(effect) for effect in effects)
    image = {"correlation": correlation, "coverage": coverage, "effect": effects[0], "few": few}
    keep(results, {"shown": TRIALS, "shared": 100 * (1 - new / TRIALS)})
    keep(results, {f"image.{key}": number for key, number in image.items()})
