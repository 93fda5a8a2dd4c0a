"""Figures of a reader study: scores, rates, times, power, and the published tables re-derived."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy import stats

from mammogan.report.style import REAL, SYNTHETIC, WIDTH

ABOVE = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2}  # a legend above its axis
LINES, OTHERS = ["-", "--", "-.", ":"], ["#009E73", "#CC79A7"]  # and colors next to those of `style`


def success_rates(table: pd.DataFrame, margin: float, width: float = WIDTH) -> Figure:
    """Draw the success rates of groups with exact intervals, guessing, and the band of equivalence.

    Args:
        table: group, successes, trials, rate, low, high; optional "low (clusters)" and "high (clusters)" give a second
            interval of each group.
        margin: margin of equivalence.
        width: width of the figure, inches.
    """
    figure, axis = plt.subplots(figsize=(width, 0.4 * len(table) + 1.2), layout="constrained")
    rows = np.arange(len(table))[::-1]
    axis.axvspan(0.5 - margin, 0.5 + margin, color=SYNTHETIC, alpha=0.12, lw=0, label=f"equivalence, ± {margin:g}")
    axis.axvline(0.5, color="0.3", lw=1, ls="--", label="guessing")
    rate = table["rate"].to_numpy()
    spread = np.abs(table[["low", "high"]].to_numpy().T - rate)
    if "low (clusters)" in table:
        wide = np.abs(table[["low (clusters)", "high (clusters)"]].to_numpy(float).T - rate)
        axis.errorbar(rate, rows - 0.13, xerr=wide, fmt="s", ms=4, color="0.2", capsize=3, label="clusters")
        label = "answers as independent, exact"
        axis.errorbar(rate, rows + 0.13, xerr=spread, fmt="o", color=REAL, capsize=3, label=label)
    else:
        axis.errorbar(rate, rows, xerr=spread, fmt="o", color=REAL, capsize=3)
    axis.set_yticks(rows, [f"{row.group} ({row.successes} of {row.trials})" for row in table.itertuples()])
    axis.set_xlabel("share of pairs answered right, 95 % interval")
    axis.legend(**ABOVE)
    return figure


def some(ticks: np.ndarray, most: int = 21) -> np.ndarray:
    """Return at most so many of the ticks, evenly; 21 labels have room over the width of a page."""
    return ticks[:: 1 + (len(ticks) - 1) // most]


def question_rates(table: pd.DataFrame) -> Figure:
    """Draw the success rate of each question with its exact interval: learning would show as a slope."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3), layout="constrained")
    spread = np.abs(table[["low", "high"]].to_numpy().T - table["rate"].to_numpy())
    axis.errorbar(table["question"], table["rate"], yerr=spread, fmt="o", color=REAL, capsize=3)
    axis.axhline(0.5, color="0.3", lw=1, ls="--")
    axis.set(xticks=some(table["question"].to_numpy()), xlabel="question", ylabel="share answered right")
    return figure


def table3_residuals(cells: pd.DataFrame) -> Figure:
    """Draw re-derived minus printed P of Table 3 per pair of questions: question, against, printed, re-derived."""
    # "> .99" is all that is printed of a P value of 1.
    met = (cells["printed"] == 1) & (cells["re-derived"] > 0.99)
    residual = cells.assign(residual=1000 * (cells["re-derived"] - cells["printed"]).where(~met, 0.0))
    grid = residual.pivot(index="question", columns="against", values="residual")
    grid = grid.reindex(index=range(1, 11), columns=range(1, 11))
    figure, axis = plt.subplots(figsize=(WIDTH, 5), layout="constrained")
    look = {"cmap": "RdBu_r", "vmin": -3, "vmax": 3, "annot": True, "fmt": ".1f"}
    sns.heatmap(grid, ax=axis, cbar_kws={"label": "re-derived - printed P, thousandths"}, **look)
    axis.set(xlabel="question", ylabel="question")
    axis.tick_params(left=False, bottom=False, labelrotation=0)
    return figure


def score_distribution(table: pd.DataFrame, groups: dict[str, np.ndarray]) -> Figure:
    """Draw Figure 7: the histogram of scores next to that of guessing, and kernel densities of the groups' rates.

    Args:
        table: right, attempts, by guessing (attempts expected); one row per score from 0 to the number of questions.
        groups: {name: scores of its attempts}.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.6), layout="constrained")
    left.bar(table["right"], table["attempts"], color=SYNTHETIC, alpha=0.75, label="attempts")
    look = {"ms": min(4, 80 / len(table)), "lw": 1, "label": "guessing"}
    left.plot(table["right"], table["by guessing"], "o-", color="0.2", **look)
    left.set(xlabel="right answers", ylabel="attempts")
    left.set_xticks(some(table["right"].to_numpy(), most=11))
    left.legend()
    rate = np.linspace(0, 1, 301)
    colors, lines = ["0.2", REAL, SYNTHETIC, *OTHERS], ["-", *LINES]
    for (name, scores), color, line in zip(groups.items(), colors, lines, strict=False):
        if np.ptp(scores) > 0:
            density = stats.gaussian_kde(np.asarray(scores) / (len(table) - 1), "silverman")(rate)
            right.plot(rate, density, line, color=color, label=f"{name} ({len(scores)})")
    right.axvline(0.5, color="0.5", lw=0.8, ls="--")
    right.set(xlabel="rate of right answers per attempt", ylabel="density", xlim=(0, 1))
    right.set_ylim(bottom=0)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def response_times(table: pd.DataFrame) -> Figure:
    """Draw the time to each answer by question, right and wrong answers apart; columns question, seconds, correct."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    answers = table.assign(answer=table["correct"].map({1: "right", 0: "wrong"}))
    look = {"palette": {"right": REAL, "wrong": SYNTHETIC}, "boxprops": {"alpha": 0.55}, "fliersize": 3, "gap": 0.15}
    sns.boxplot(answers, x="question", y="seconds", hue="answer", hue_order=["right", "wrong"], ax=axis, **look)
    axis.set_yscale("log")
    plain_ticks(axis.yaxis)
    axis.set(xticks=some(axis.get_xticks()), xlabel="question", ylabel="seconds to the answer")
    axis.legend(**ABOVE)
    return figure


def power_curves(table: pd.DataFrame) -> Figure:
    """Draw power against the number of independent answers; columns answers and one per test."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    look = {"style": LINES, "color": [SYNTHETIC, REAL, *OTHERS], "logx": True, "ylim": (0, 1.02)}
    table.plot(x="answers", ax=axis, xlabel="independent answers", ylabel="power", **look)
    axis.axhline(0.9, color="0.5", lw=0.8)
    plain_ticks(axis.xaxis)
    axis.legend()
    return figure


def roc_curves(curves: pd.DataFrame, aucs: pd.DataFrame) -> Figure:
    """Draw the empirical ROC curves of readers, and their AUCs next to the average over readers.

    Args:
        curves: test, reader, false alarms, hits; points of each curve in their order.
        aucs: test, reader ("all" is the average), AUC, low, high.
    """
    tests = aucs["test"].unique()
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.8), layout="constrained")
    rows = np.arange(len(aucs))[::-1]
    for test, color in zip(tests, [SYNTHETIC, REAL, *OTHERS] * len(tests), strict=False):
        for number, (_, curve) in enumerate(curves[curves["test"] == test].groupby("reader")):
            label = test.replace("$", r"\$") if not number else None  # a name is not a formula
            left.plot(curve["false alarms"], curve["hits"], color=color, lw=0.9, alpha=0.7, label=label)
        of_test = (aucs["test"] == test).to_numpy()
        some = aucs[of_test]
        spread = np.abs(some[["low", "high"]].to_numpy().T - some["AUC"].to_numpy())
        right.errorbar(some["AUC"], rows[of_test], xerr=spread, fmt="o", ms=4, color=color, capsize=2)
    left.plot([0, 1], [0, 1], color="0.5", lw=0.8, ls="--")
    left.set(xlabel="real images called synthetic", ylabel="synthetic images called synthetic", aspect="equal")
    if len(tests) > 1:
        left.legend()
    right.axvline(0.5, color="0.5", lw=0.8, ls="--")
    names = [f"{row.test}, {row.reader}" if len(tests) > 1 else str(row.reader) for row in aucs.itertuples()]
    right.set_yticks(rows, names, fontsize=9 if len(aucs) < 25 else 4, parse_math=False)
    right.set(xlabel="area under the ROC curve, 95 % interval", xlim=(0, 1))
    return figure


def plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2, 5, 10, ..."""
    axis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_locator=NullLocator())


def histogram_ranges(table: pd.DataFrame) -> Figure:
    """Draw reconstructed histograms (stratum, right, attempts, lowest, highest), and scores by guessing as lines.

    Ranges span all solutions; a dot without one is determined.
    """
    attempts = table.groupby("stratum")["attempts"].transform("sum")
    table = table.assign(guessing=attempts * stats.binom.pmf(table["right"], table["right"].max(), 0.5))
    table["stratum"] += " (" + attempts.astype(str) + ")"
    grid = sns.FacetGrid(table, col="stratum", col_wrap=3, height=1.9, aspect=WIDTH / 3 / 1.9, sharey=False)
    grid.map(plt.plot, "right", "guessing", color="0.4", lw=1)
    grid.map(plt.vlines, "right", "lowest", "highest", color=REAL, lw=2)
    grid.map(plt.plot, "right", "attempts", color=SYNTHETIC, marker="o", ms=4, ls="")
    grid.set_titles("{col_name}").set_axis_labels("right answers of ten", "attempts")
    grid.set(xticks=np.sort(table["right"].unique())[::2])
    grid.figure.set_layout_engine("constrained")
    return grid.figure
