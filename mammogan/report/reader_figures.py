"""Figures of a reader study: scores, rates, times, power, and the published tables re-derived."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from mammogan.report.style import REAL, SYNTHETIC


def success_rates(table: pd.DataFrame, margin: float) -> Figure:
    """Success rates of groups with exact intervals, the rate of guessing, and the band of equivalence.

    The columns "low (clusters)" and "high (clusters)", where there are any, give a second interval of each group.
    """
    figure, axis = plt.subplots(figsize=(7.5, 0.45 * len(table) + 1.2))
    place = np.arange(len(table))[::-1]
    axis.axvspan(0.5 - margin, 0.5 + margin, color=SYNTHETIC, alpha=0.12, lw=0, label=f"equivalence, ± {margin:g}")
    axis.axvline(0.5, color="0.3", lw=1, ls="--", label="guessing")
    rate = table["rate"].to_numpy()
    shift = 0.0
    if "low (clusters)" in table:
        shift = 0.13
        wide = np.abs(table[["low (clusters)", "high (clusters)"]].to_numpy(float).T - rate)
        axis.errorbar(rate, place - shift, xerr=wide, fmt="s", ms=4, color="0.2", capsize=3, label="clusters, t")
    spread = np.abs(table[["low", "high"]].to_numpy().T - rate)
    label = "answers as independent, exact" if shift else None
    axis.errorbar(rate, place + shift, xerr=spread, fmt="o", color=REAL, capsize=3, label=label)
    names = [f"{row.group} ({row.successes} of {row.trials})" for row in table.itertuples()]
    axis.set_yticks(place, names)
    axis.set_xlabel("share of pairs answered right, 95 % interval")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)
    figure.tight_layout()
    return figure


def question_rates(table: pd.DataFrame) -> Figure:
    """Success rate of each question with exact intervals: learning would show as a slope."""
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    spread = np.abs(table[["low", "high"]].to_numpy().T - table["rate"].to_numpy())
    axis.errorbar(table["question"], table["rate"], yerr=spread, fmt="o", color=REAL, capsize=3)
    axis.axhline(0.5, color="0.3", lw=1, ls="--")
    axis.set_xticks(table["question"])
    axis.set_xlabel("question")
    axis.set_ylabel("share answered right")
    figure.tight_layout()
    return figure


def table3_residuals(difference: np.ndarray) -> Figure:
    """Re-derived minus printed P of Table 3, one cell a pair of questions (10, 10; NaN where nothing is printed)."""
    figure, axis = plt.subplots(figsize=(5.6, 4.6))
    reach = float(np.nanmax(np.abs(difference)))
    shown = axis.imshow(difference, cmap="RdBu_r", vmin=-reach, vmax=reach)
    for (i, j), value in np.ndenumerate(difference):
        if np.isfinite(value):
            axis.text(j, i, f"{1000 * value:.1f}", ha="center", va="center", fontsize=6)
    names = [str(question) for question in range(1, 11)]
    axis.set_xticks(range(10), names)
    axis.set_yticks(range(10), names)
    axis.set_xlabel("question")
    axis.set_ylabel("question")
    axis.spines[:].set_visible(False)
    figure.colorbar(shown, label="re-derived - printed P (cells: in thousandths)")
    figure.tight_layout()
    return figure


def score_distribution(counts: np.ndarray, questions: int, groups: dict[str, np.ndarray]) -> Figure:
    """Figure 7: histogram of scores beside what guessing gives, and kernel densities of the groups' rates.

    Args:
        counts: (questions + 1,) attempts with each score.
        questions: of an attempt.
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
    right.set(xlabel="rate of right answers of an attempt", ylabel="density", xlim=(0, 1))
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    return figure


def response_times(table: pd.DataFrame) -> Figure:
    """Time to each answer by question, right and wrong answers side by side; columns question, seconds, correct."""
    figure, axis = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    questions = sorted(table["question"].unique())
    for correct, color, shift in ((1, REAL, -0.19), (0, SYNTHETIC, 0.19)):
        times = [table.loc[(table["question"] == q) & (table["correct"] == correct), "seconds"] for q in questions]
        box = axis.boxplot(times, positions=np.arange(len(questions)) + shift, widths=0.32, sym=".", patch_artist=True)
        for patch in box["boxes"]:
            patch.set(facecolor=color, alpha=0.55)
        for line in box["medians"]:
            line.set(color="black")
        axis.fill_between([], [], color=color, alpha=0.55, label="right" if correct else "wrong")
    axis.set_xticks(range(len(questions)), [str(q) for q in questions])
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if low <= t <= high]
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.set(xlabel="question", ylabel="seconds to the answer")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)
    return figure


def power_curves(table: pd.DataFrame) -> Figure:
    """Power against the number of independent answers; columns answers and one a test."""
    figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
    lines = zip(table.columns[1:], (SYNTHETIC, REAL, "#009E73", "#CC79A7"), ("-", "--", "-.", ":"), strict=False)
    for name, color, line in lines:
        axis.plot(table["answers"], table[name], line, color=color, label=name)
    axis.axhline(0.9, color="0.5", lw=0.8)
    axis.set_xscale("log")
    ticks = [50, 100, 200, 500, 1000, 2000]
    axis.set_xticks(ticks, [str(t) for t in ticks])
    axis.minorticks_off()
    axis.set(xlabel="independent answers", ylabel="power", ylim=(0, 1.02))
    axis.legend(fontsize=8)
    return figure


def histogram_ranges(
    shown: dict[str, np.ndarray], ranges: dict[str, tuple[np.ndarray, np.ndarray]], columns: int = 3
) -> Figure:
    """Reconstructed histograms of strata; whiskers span all solutions, so that a bar without one is determined."""
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.3 * columns, 2.1 * rows), sharex=True, layout="constrained")
    for axis, (name, counts) in zip(axes.flat, shown.items(), strict=False):
        low, high = ranges[name]
        score = np.arange(len(counts))
        axis.bar(score, counts, color=SYNTHETIC, alpha=0.75)
        axis.plot(score, counts.sum() * stats.binom.pmf(score, len(counts) - 1, 0.5), color="0.2", lw=1)
        open_cells = high > low
        axis.vlines(score[open_cells], low[open_cells], high[open_cells], color=REAL, lw=2)
        axis.set_title(f"{name} ({counts.sum()})", fontsize=9)
        axis.set_xticks(score[::2])
    for axis in list(axes.flat)[len(shown) :]:
        axis.axis("off")
    figure.supxlabel("right answers of ten", fontsize=9)
    figure.supylabel("attempts", fontsize=9)
    return figure
