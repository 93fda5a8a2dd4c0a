"""Figures of a reader study: scores, rates, times, power, and the published tables re-derived."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from mammogan.report.style import REAL, SYNTHETIC

ABOVE = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "fontsize": 8}  # a legend above its axis


def success_rates(table: pd.DataFrame, margin: float) -> Figure:
    """Draw the success rates of groups with exact intervals, guessing, and the band of equivalence.

    Args:
        table: group, successes, trials, rate, low, high; optional "low (clusters)" and "high (clusters)" give a second
            interval of each group.
        margin: margin of equivalence.
    """
    figure, axis = plt.subplots(figsize=(7.5, 0.45 * len(table) + 1.2))
    rows = np.arange(len(table))[::-1]
    axis.axvspan(0.5 - margin, 0.5 + margin, color=SYNTHETIC, alpha=0.12, lw=0, label=f"equivalence, ± {margin:g}")
    axis.axvline(0.5, color="0.3", lw=1, ls="--", label="guessing")
    rate = table["rate"].to_numpy()
    shift = 0.13 if "low (clusters)" in table else 0.0
    if shift:
        wide = np.abs(table[["low (clusters)", "high (clusters)"]].to_numpy(float).T - rate)
        axis.errorbar(rate, rows - shift, xerr=wide, fmt="s", ms=4, color="0.2", capsize=3, label="clusters, t")
    spread = np.abs(table[["low", "high"]].to_numpy().T - rate)
    label = "answers as independent, exact" if shift else None
    axis.errorbar(rate, rows + shift, xerr=spread, fmt="o", color=REAL, capsize=3, label=label)
    axis.set_yticks(rows, [f"{row.group} ({row.successes} of {row.trials})" for row in table.itertuples()])
    axis.set_xlabel("share of pairs answered right, 95 % interval")
    axis.legend(**ABOVE)
    figure.tight_layout()
    return figure


def question_rates(table: pd.DataFrame) -> Figure:
    """Draw the success rate of each question with its exact interval: learning would show as a slope."""
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    spread = np.abs(table[["low", "high"]].to_numpy().T - table["rate"].to_numpy())
    axis.errorbar(table["question"], table["rate"], yerr=spread, fmt="o", color=REAL, capsize=3)
    axis.axhline(0.5, color="0.3", lw=1, ls="--")
    axis.set(xticks=table["question"], xlabel="question", ylabel="share answered right")
    figure.tight_layout()
    return figure


def table3_residuals(cells: pd.DataFrame) -> Figure:
    """Draw re-derived minus printed P of Table 3 per pair of questions: question, against, printed, re-derived."""
    # "> .99" is all that is printed of a P value of 1.
    met = (cells["printed"] == 1) & (cells["re-derived"] > 0.99)
    residual = cells.assign(residual=1000 * (cells["re-derived"] - cells["printed"]).where(~met, 0.0))
    grid = residual.pivot(index="question", columns="against", values="residual")
    grid = grid.reindex(index=range(1, 11), columns=range(1, 11))
    figure, axis = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
    look = {"cmap": "RdBu_r", "center": 0, "annot": True, "fmt": ".1f", "annot_kws": {"fontsize": 6}}
    sns.heatmap(grid, ax=axis, cbar_kws={"label": "re-derived - printed P, thousandths"}, **look)
    axis.set(xlabel="question", ylabel="question")
    axis.tick_params(left=False, bottom=False, labelrotation=0)
    return figure


def score_distribution(counts: np.ndarray, questions: int, groups: dict[str, np.ndarray]) -> Figure:
    """Draw Figure 7: the histogram of scores next to that of guessing, and kernel densities of the groups' rates.

    Args:
        counts: (questions + 1,) attempts with each score.
        questions: questions per attempt.
        groups: {name: scores of its attempts}.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
    score = np.arange(questions + 1)
    left.bar(score, counts, color=SYNTHETIC, alpha=0.75, label="attempts")
    guessing = counts.sum() * stats.binom.pmf(score, questions, 0.5)
    left.plot(score, guessing, "o-", color="0.2", ms=4, lw=1, label="guessing")
    left.set(xlabel="right answers", ylabel="attempts")
    if questions <= 20:
        left.set_xticks(score)
    left.legend()
    rate = np.linspace(0, 1, 301)
    colors, lines = ("0.2", REAL, SYNTHETIC, "#009E73", "#CC79A7"), ("-", "-", "--", "-.", ":")
    for (name, scores), color, line in zip(groups.items(), colors, lines, strict=False):
        if np.ptp(scores) > 0:
            density = stats.gaussian_kde(np.asarray(scores) / questions, "silverman")(rate)
            right.plot(rate, density, line, color=color, label=f"{name} ({len(scores)})")
    right.axvline(0.5, color="0.5", lw=0.8, ls="--")
    right.set(xlabel="rate of right answers per attempt", ylabel="density", xlim=(0, 1))
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    return figure


def response_times(table: pd.DataFrame) -> Figure:
    """Draw the time to each answer by question, right and wrong answers apart; columns question, seconds, correct."""
    figure, axis = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    answers = table.assign(answer=table["correct"].map({1: "right", 0: "wrong"}))
    look = {"palette": {"right": REAL, "wrong": SYNTHETIC}, "boxprops": {"alpha": 0.55}, "fliersize": 3, "gap": 0.15}
    sns.boxplot(answers, x="question", y="seconds", hue="answer", hue_order=["right", "wrong"], ax=axis, **look)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    _plain_ticks(axis, "y", [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if low <= t <= high])
    axis.set(xlabel="question", ylabel="seconds to the answer")
    axis.legend(**ABOVE)
    return figure


def power_curves(table: pd.DataFrame) -> Figure:
    """Draw power against the number of independent answers; columns answers and one per test."""
    figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
    lines = zip(table.columns[1:], (SYNTHETIC, REAL, "#009E73", "#CC79A7"), ("-", "--", "-.", ":"), strict=False)
    for name, color, line in lines:
        axis.plot(table["answers"], table[name], line, color=color, label=name)
    axis.axhline(0.9, color="0.5", lw=0.8)
    axis.set_xscale("log")
    _plain_ticks(axis, "x", [50, 100, 200, 500, 1000, 2000])
    axis.set(xlabel="independent answers", ylabel="power", ylim=(0, 1.02))
    axis.legend(fontsize=8)
    return figure


def _plain_ticks(axis: Axes, side: str, ticks: list[float]) -> None:
    """Label a logarithmic axis with plain numbers at these ticks only."""
    getattr(axis, f"set_{side}ticks")(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def histogram_ranges(table: pd.DataFrame, columns: int = 3) -> Figure:
    """Draw reconstructed histograms; whiskers span all solutions, and a bar without one is determined.

    Args:
        table: stratum, right, attempts, lowest, highest.
        columns: panels per row.
    """
    strata = table.groupby("stratum", sort=False)
    rows = -(-len(strata) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.3 * columns, 2.1 * rows), sharex=True, layout="constrained")
    for axis, (name, part) in zip(axes.flat, strata, strict=False):
        score, bars = part["right"].to_numpy(), part["attempts"].to_numpy()
        axis.bar(score, bars, color=SYNTHETIC, alpha=0.75)
        axis.plot(score, bars.sum() * stats.binom.pmf(score, len(bars) - 1, 0.5), color="0.2", lw=1)
        undetermined = part[part["highest"] > part["lowest"]]
        axis.vlines(undetermined["right"], undetermined["lowest"], undetermined["highest"], color=REAL, lw=2)
        axis.set_title(f"{name} ({bars.sum()})", fontsize=9)
        axis.set_xticks(score[::2])
    for axis in axes.flat[len(strata) :]:
        axis.axis("off")
    figure.supxlabel("right answers of ten", fontsize=9)
    figure.supylabel("attempts", fontsize=9)
    return figure
