"""Page on works before and after the paper: their table, and the rates of right answers in one forest plot."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from mammogan.paper.studies import studies
from mammogan.report.numbers import keep
from mammogan.report.results import Results
from mammogan.report.style import REAL, SYNTHETIC, WIDTH
from mammogan.stats.proportions import exact_interval

THIS = "korkinof2021"


def title(key: str) -> str:
    """Return a name for a reference: "Park 2021"."""
    return f"{key[:-4].capitalize()} {key[-4:]}"


def works() -> pd.DataFrame:
    """Return one row per work; with the exact 95 % interval of all answers where right ones are known."""
    rows = []
    for study in studies():
        results = [study.result]
        for rate in study.rates[:1]:  # of all readers; the figure has the groups
            share, low, high = (100 * number for number in exact_interval(rate.right, rate.answers))
            counted = f"{rate.right} of {rate.answers} right, {share:.1f} % ({low:.1f} to {high:.1f} %)"
            results.append(counted)
        rows.append((title(study.key), study.model, study.size, study.readers, "; ".join(results), study.read))
    return pd.DataFrame(rows, columns=["Work", "Model", "Pixels", "Readers", "Result", "What could be read"])


def rates() -> pd.DataFrame:
    """Return key, group, right, answers, rate, low and high of the groups of readers whose right answers are known."""
    rows = [
        (study.key, rate.name, rate.right, rate.answers, *exact_interval(rate.right, rate.answers))
        for study in studies()
        for rate in study.rates
    ]
    return pd.DataFrame(rows, columns=["key", "group", "right", "answers", "rate", "low", "high"])


def forest(table: pd.DataFrame) -> Figure:
    """Draw the rates of `rates` with their intervals; the paper's in another color than those of other works."""
    figure, axis = plt.subplots(figsize=(WIDTH, 0.36 * len(table) + 0.9), layout="constrained")
    for row, one in enumerate(table.itertuples()):
        color, marker = (REAL, "o") if one.key == THIS else (SYNTHETIC, "s")
        spread = [[one.rate - one.low], [one.high - one.rate]]
        axis.errorbar(one.rate, row, xerr=spread, fmt=marker, color=color, capsize=3)
        axis.text(1.02, row, f"{one.right} of {one.answers}", transform=axis.get_yaxis_transform(), va="center")
    axis.axvline(0.5, color="0.3", lw=1, ls="--")
    axis.text(0.5, -0.75, "guessing", ha="center", va="bottom", color="0.3")
    axis.set_yticks(range(len(table)), [f"{title(one.key)}: {one.group}" for one in table.itertuples()])
    axis.set(xlabel="share of right answers, 95 % interval", ylim=(len(table) - 0.4, -0.8))
    return figure


def other_studies(results: Results) -> None:
    """Keep the table of works, the forest plot, and the rate of all answers of each study."""
    table = rates()
    results.table("works", works())
    results.figure("since", forest(table), table)
    whole = table.drop_duplicates("key")
    for one in whole.itertuples():
        keep(results, {f"since.{one.key}": [100 * one.rate, 100 * one.low, 100 * one.high]})
    single = whole.set_index("key").loc["park2021", "rate"]
    # Green & Swets 1966: unbiased judgments of one image are right with Phi(d'/2), choices of two with Phi(d'/sqrt(2)).
    paired = stats.norm.cdf(2**0.5 * stats.norm.ppf(single))
    keep(results, {"since.answers": int(whole["answers"].sum()), "since.paired": 100 * float(paired)})
