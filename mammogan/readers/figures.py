"""Figures of the reader chapter: rates of groups and questions, Table 3 re-derived."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.plots import REAL, SYNTHETIC


def success_rates(table: pd.DataFrame, margin: float) -> Figure:
    """Success rates of groups with exact intervals, the rate of guessing, and the band of equivalence."""
    figure, axis = plt.subplots(figsize=(7.5, 0.45 * len(table) + 1.2))
    place = np.arange(len(table))[::-1]
    axis.axvspan(0.5 - margin, 0.5 + margin, color=SYNTHETIC, alpha=0.12, lw=0, label=f"equivalence, +-{margin:g}")
    axis.axvline(0.5, color="0.3", lw=1, ls="--", label="guessing")
    spread = np.abs(table[["low", "high"]].to_numpy().T - table["rate"].to_numpy())
    axis.errorbar(table["rate"], place, xerr=spread, fmt="o", color=REAL, capsize=3)
    names = [f"{row.group} ({row.successes} of {row.trials})" for row in table.itertuples()]
    axis.set_yticks(place, names)
    axis.set_xlabel("share of pairs answered right, 95 % exact interval")
    axis.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2, fontsize=8)
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
