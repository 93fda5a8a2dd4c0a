"""Figures of the book: one look, colours that colour-blind readers can tell apart, radiographs in linear grey."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.metrics.coverage import CONTOURS, SUPPORT_GRID, SUPPORT_PERCENTILE
from mammogan.metrics.density import Grid, density
from mammogan.metrics.moments import MOMENT_NAMES, PAIRS

# Okabe & Ito (2008), vermilion and blue: apart for every common colour vision, and in print without colour.
REAL, SYNTHETIC = "#D55E00", "#0072B2"


def style() -> None:
    """Set the book's look; call it once at the top of a notebook.

    Figures keep a white ground, so that one picture reads on a light and on a dark page.
    """
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.facecolor": "white",
            "figure.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "svg.hashsalt": "mammogan",
        }
    )


MOMENT_LABELS = ("M1 mean", "M2 variance", "M3 skewness", "M4 kurtosis", "M5 hyperskewness")


def contact_sheet(
    images: np.ndarray, bits: int, columns: int, titles: Sequence[str] | None = None, scale: float = 1.15
) -> Figure:
    """Images (n, h, w) in rows, in linear grey from 0 to 2^bits - 1; `titles` above each."""
    n, h, w = images.shape
    rows = -(-n // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * scale, rows * scale * h / w * (1.12 if titles else 1)), squeeze=False
    )
    for place, axis in enumerate(axes.flat):
        axis.axis("off")
        if place < n:
            axis.imshow(images[place], cmap="gray", vmin=0, vmax=2**bits - 1)
            if titles:
                axis.set_title(titles[place], fontsize=7, pad=2)
    figure.subplots_adjust(0, 0, 1, 0.97 if titles else 1, wspace=0.03, hspace=0.12 if titles else 0.03)
    return figure


def display_steps(steps: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """One image step by step, (title, grey values) each, every step from its own smallest to its largest value."""
    figure, axes = plt.subplots(2, len(steps), figsize=(3.1 * len(steps), 5), height_ratios=(3, 1), squeeze=False)
    for (title, grey), picture, histogram in zip(steps, *axes, strict=True):
        picture.imshow(grey, cmap="gray", vmin=grey.min(), vmax=grey.max())
        picture.set_title(f"{title}\n{grey.shape[0]} x {grey.shape[1]}", fontsize=9)
        picture.axis("off")
        histogram.hist(grey.ravel(), 64, color="0.35", log=True)
        histogram.set_xlabel("grey value", fontsize=8)
        histogram.tick_params(labelsize=6)
    axes[1, 0].set_ylabel("pixels", fontsize=8)
    figure.tight_layout()
    return figure


def training_curves(stats: pd.DataFrame) -> Figure:
    """Losses and scores by images seen, the levels shaded."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.4))
    smooth = stats.set_index("images").rolling(max(len(stats) // 60, 1), min_periods=1).mean(numeric_only=True)
    for axis, names, title in (
        (axes[0], {"loss_d": SYNTHETIC, "loss_g": REAL}, "loss"),
        (axes[1], {"real_score": REAL, "fake_score": SYNTHETIC}, "mean score of D"),
    ):
        for name, colour in names.items():
            axis.plot(smooth.index, smooth[name], color=colour, label=name.replace("_", " "))
        for level, rows in stats.groupby("level"):
            start, stop = rows["images"].iloc[0], rows["images"].iloc[-1]
            axis.axvspan(start, stop, color="0.5", alpha=0.10 if level % 2 else 0.0, lw=0)
            axis.text((start + stop) / 2, 1.01, rows["size"].iloc[0], transform=axis.get_xaxis_transform(),
                      ha="center", fontsize=7)  # fmt: skip
        axis.set_xlabel("images seen")
        axis.set_ylabel(title)
        axis.legend()
    figure.tight_layout()
    return figure


def growth(sheets: Sequence[tuple[str, np.ndarray]], bits: int, columns: int = 8) -> Figure:
    """The same latent vectors at each stage of training, a row a stage: (label, images (n, h, w))."""
    figure, axes = plt.subplots(len(sheets), columns, figsize=(columns * 1.05, len(sheets) * 1.3), squeeze=False)
    for (label, images), row in zip(sheets, axes, strict=True):
        for image, axis in zip(images, row, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=2**bits - 1)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
    figure.subplots_adjust(0.14, 0, 1, 1, wspace=0.04, hspace=0.04)
    return figure


def spectra(frequency: np.ndarray, power: dict[str, np.ndarray]) -> Figure:
    """Radial power spectra of real and synthetic images on logarithmic axes."""
    figure, axis = plt.subplots(figsize=(5.5, 3.6))
    for name, colour in (("real", REAL), ("synthetic", SYNTHETIC)):
        axis.loglog(frequency, power[name], color=colour, label=name, marker=".")
    axis.set_xlabel("spatial frequency, cycles a pixel")
    axis.set_ylabel("power")
    axis.legend()
    figure.tight_layout()
    return figure


def moment_scatter(real: np.ndarray, synthetic: np.ndarray) -> Figure:
    """Figure 3: every pair of moments as a scatter plot, with the single moments' histograms on the diagonal."""
    figure, axes = plt.subplots(5, 5, figsize=(9.5, 9.5))
    size = max(2.0, min(14.0, 4000 / max(len(real), len(synthetic))))
    for row in range(5):
        for column in range(5):
            axis = axes[row, column]
            if column > row:
                axis.axis("off")
                continue
            if column == row:
                both = np.concatenate([real[:, row], synthetic[:, row]])
                bins = np.histogram_bin_edges(both, 30)
                for values, colour in ((real, REAL), (synthetic, SYNTHETIC)):
                    axis.hist(values[:, row], bins, density=True, histtype="stepfilled", color=colour, alpha=0.45)
                axis.set_yticks([])
                axis.spines["left"].set_visible(False)
            else:
                for values, colour in ((real, REAL), (synthetic, SYNTHETIC)):
                    axis.scatter(values[:, column], values[:, row], s=size, color=colour, alpha=0.45, lw=0)
            axis.tick_params(labelsize=6)
            if row == 4:
                axis.set_xlabel(MOMENT_LABELS[column], fontsize=8)
            if column == 0 and row > 0:
                axis.set_ylabel(MOMENT_LABELS[row], fontsize=8)
    handles = [plt.Line2D([], [], marker="o", ls="", color=c) for c in (REAL, SYNTHETIC)]
    figure.legend(handles, ["real", "synthetic"], loc=(0.62, 0.78), fontsize=11)
    figure.tight_layout(pad=0.4)
    return figure


def pair_matrix(scores: pd.DataFrame, printed: np.ndarray) -> Figure:
    """Table 1: the printed scores, and ours by reading, each cell with its ceiling below it."""
    readings = list(dict.fromkeys(scores["reading"]))
    figure, axes = plt.subplots(1, 1 + len(readings), figsize=(3.1 * (1 + len(readings)), 3.3))
    names = {"jsd": "1 - sqrt(JSD)", "overlap": "overlap", "nmi": "NMI of pictures", "label": "1 - I(label) / ln 2"}
    tables = [("printed in the paper", printed, None)]
    for reading in readings:
        chosen = scores[scores["reading"] == reading]
        value = chosen.pivot(index="i", columns="j", values="score_half").reindex(MOMENT_NAMES, columns=MOMENT_NAMES)
        ceiling = chosen.pivot(index="i", columns="j", values="ceiling").reindex(MOMENT_NAMES, columns=MOMENT_NAMES)
        tables.append((names[reading], value.to_numpy(), ceiling.to_numpy()))
    for axis, (title, value, ceiling) in zip(axes, tables, strict=True):
        axis.imshow(value, cmap="viridis", vmin=0, vmax=1)
        for i in range(5):
            for j in range(i, 5):
                text = f"{value[i, j]:.2f}" + (f"\n/{ceiling[i, j]:.2f}" if ceiling is not None else "")
                light = value[i, j] < 0.55
                axis.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if light else "black")
        axis.set_xticks(range(5), MOMENT_NAMES)
        axis.set_yticks(range(5), MOMENT_NAMES)
        axis.set_title(title)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    figure.tight_layout()
    return figure


def support_contours(real: np.ndarray, synthetic: np.ndarray) -> Figure:
    """Figure 6: ten contours of both densities for each pair of moments; the 97th percentile drawn strong."""
    figure, axes = plt.subplots(2, 5, figsize=(13, 5.4))
    for axis, (i, j) in zip(axes.flat, PAIRS, strict=True):
        a, b = real[:, [i, j]], synthetic[:, [i, j]]
        grid = Grid.around(a, b, count=SUPPORT_GRID)
        for sample, colour in ((a, REAL), (b, SYNTHETIC)):
            p = density(sample, grid)
            levels = np.unique(np.percentile(p, CONTOURS))
            axis.contour(*grid.centers, p.T, levels, colors=colour, linewidths=0.5, alpha=0.7)
            axis.contour(*grid.centers, p.T, [np.percentile(p, SUPPORT_PERCENTILE)], colors=colour, linewidths=1.8)
        shown = np.concatenate([a, b])
        axis.set_xlim(np.quantile(shown[:, 0], [0, 0.995]))
        axis.set_ylim(np.quantile(shown[:, 1], [0, 0.995]))
        axis.set_xlabel(MOMENT_NAMES[i])
        axis.set_ylabel(MOMENT_NAMES[j])
        axis.tick_params(labelsize=6)
    handles = [plt.Line2D([], [], color=c) for c in (REAL, SYNTHETIC)]
    figure.legend(handles, ["real", "synthetic"], loc="upper right", ncols=2)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    return figure


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
    axis.set_xticks(range(10), range(1, 11))
    axis.set_yticks(range(10), range(1, 11))
    axis.set_xlabel("question")
    axis.set_ylabel("question")
    axis.spines[:].set_visible(False)
    figure.colorbar(shown, label="re-derived - printed P (cells: in thousandths)")
    figure.tight_layout()
    return figure
