"""Figures of the alignment chapter."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mammogan.metrics.coverage import CONTOURS, SUPPORT_GRID, SUPPORT_PERCENTILE
from mammogan.metrics.density import Grid, density
from mammogan.metrics.moments import MOMENT_NAMES, PAIRS
from mammogan.paper.printed import TABLE1
from mammogan.paper.table1 import BOUND
from mammogan.report.style import REAL, SYNTHETIC, TITLE, WIDE, WIDTH, light_box

MOMENT_LABELS = ("M1 mean", "M2 variance", "M3 skewness", "M4 kurtosis", "M5 hyperskewness")
READING_TITLES = {
    "jsd": "1 - sqrt(JSD)",
    "overlap": "overlap",
    "nmi": "NMI of pictures",
    "label": "1 - I(label) / ln 2",
}
# {scenario of `table1.simulate`: (marker, offset from the row of its definition)}
MARKS = {"identical": ("o", -0.24), "Table 2": ("D", 0.0), "Table 2, within noise": ("s", 0.24)}


def moment_scatter(real: np.ndarray, synthetic: np.ndarray) -> Figure:
    """Draw Figure 3 from moments (n, 5): scatter plots of pairs, with histograms of single moments on the diagonal."""
    figure, axes = plt.subplots(5, 5, figsize=(WIDTH, WIDTH), layout="constrained")
    size = max(2.0, min(14.0, 4000 / max(len(real), len(synthetic))))
    # In a mixed order, so that neither set covers the other.
    order = np.random.default_rng(0).permutation(len(real) + len(synthetic))
    points = np.concatenate([real, synthetic])[order]
    colors = np.repeat([REAL, SYNTHETIC], [len(real), len(synthetic)])[order]
    for (row, column), axis in np.ndenumerate(axes):
        if column > row:
            axis.axis("off")
            continue
        if column == row:
            bins = np.histogram_bin_edges(points[:, row], 30)
            for values, color in ((real, REAL), (synthetic, SYNTHETIC)):
                axis.hist(values[:, row], bins, density=True, histtype="stepfilled", color=color, alpha=0.45)
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
        else:
            axis.scatter(points[:, column], points[:, row], s=size, c=colors, alpha=0.45, lw=0, rasterized=True)
        axis.xaxis.set_major_locator(MaxNLocator(2))
        axis.tick_params(labelbottom=row == 4, labelleft=column == 0 < row)
        if row == 4:
            axis.set_xlabel(MOMENT_LABELS[column])
        if column == 0 and row > 0:
            axis.set_ylabel(MOMENT_LABELS[row])
    handles = [Line2D([], [], marker="o", ls="", color=color) for color in (REAL, SYNTHETIC)]
    figure.legend(handles, ["real", "synthetic"], loc=(0.62, 0.8))
    return figure


def pair_matrix(scores: pd.DataFrame, printed: np.ndarray) -> Figure:
    """Draw Table 1: the printed scores (5, 5), and the rows of `coverage.pair_scores`, each above its ceiling."""
    panels: list[tuple[str, np.ndarray, np.ndarray | None]] = [("printed in the paper", printed, None)]
    for reading, rows in scores.groupby("reading", sort=False):
        score, ceiling = (
            rows.pivot(index="i", columns="j", values=name).reindex(MOMENT_NAMES, columns=MOMENT_NAMES).to_numpy()
            for name in ("score_n", "ceiling")
        )
        panels.append((READING_TITLES[reading], score, ceiling))
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 5.4), layout="constrained")
    axes[1, 2].axis("off")
    axes[1, 2].text(0, 0.5, "above: score\nbelow, after the stroke:\nits ceiling", va="center")
    for axis, (title, score, ceiling) in zip(axes.flat[: len(panels)], panels, strict=True):
        axis.imshow(score, cmap="viridis", vmin=0, vmax=1)
        for i, j in zip(*np.triu_indices(5), strict=True):
            text = f"{score[i, j]:.2f}" + (f"\n/{ceiling[i, j]:.2f}" if ceiling is not None else "")
            color = "white" if score[i, j] < 0.55 else "black"
            axis.text(j, i, text, ha="center", va="center", color=color)
        axis.set_xticks(range(5), MOMENT_NAMES)
        axis.set_yticks(range(5), MOMENT_NAMES)
        axis.set_title(title)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    return figure


def support_contours(real: np.ndarray, synthetic: np.ndarray) -> Figure:
    """Draw Figure 6 from moments (n, 5): ten contours of both densities for each pair, the 97th percentile bold."""
    figure, axes = plt.subplots(2, 5, figsize=(WIDE, 4.8), layout="constrained")
    for axis, (i, j) in zip(axes.flat, PAIRS, strict=True):
        a, b = real[:, [i, j]], synthetic[:, [i, j]]
        grid = Grid.around(a, b, count=SUPPORT_GRID)
        region = np.zeros((SUPPORT_GRID, SUPPORT_GRID), bool)
        for sample, color in ((a, REAL), (b, SYNTHETIC)):
            p = density(sample, grid)
            region |= p >= np.percentile(p, CONTOURS[0])
            levels = np.unique(np.percentile(p, CONTOURS))
            thin = axis.contour(*grid.centers, p.T, levels, colors=color, linewidths=0.5, alpha=0.7)
            thin.set_rasterized(True)  # they are most of the file
            axis.contour(*grid.centers, p.T, [np.percentile(p, SUPPORT_PERCENTILE)], colors=color, linewidths=1.8)
        for limits, center, along in zip((axis.set_xlim, axis.set_ylim), grid.centers, (1, 0), strict=True):
            inside = center[region.any(along)]
            margin = 0.08 * (inside[-1] - inside[0]) or grid.step.max()
            limits(inside[0] - margin, inside[-1] + margin)
        axis.set_xlabel(MOMENT_NAMES[i])
        axis.set_ylabel(MOMENT_NAMES[j])
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.yaxis.set_major_locator(MaxNLocator(4))
    handles = [Line2D([], [], color=color) for color in (REAL, SYNTHETIC)]
    figure.legend(handles, ["real", "synthetic"], loc="outside upper right", ncols=2)
    return figure


def simulation_figure(table: pd.DataFrame) -> Figure:
    """Draw the rows of `table1.simulate`: pairs above their worse moment and range of scores, per definition."""
    names = list(BOUND)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.2), sharey=True, layout="constrained")
    for row, name in enumerate(names):
        chosen = table[table["definition"] == name]
        counts = chosen[chosen["scenario"].str.startswith("random")]["above"].value_counts()
        color = REAL if BOUND[name] else SYNTHETIC
        left.scatter(counts.index, [row] * len(counts), s=18 * counts, color=color, alpha=0.6, lw=0)
        for scenario, (marker, offset) in MARKS.items():
            one = chosen[chosen["scenario"] == scenario].iloc[0]
            left.plot(one["above"], row, marker=marker, mfc="none", mec="black", ms=7, ls="")
            ends, heights = [one["low"], one["high"]], [row + offset] * 2
            right.plot(ends, heights, color="black", lw=1)
            right.plot(ends, heights, marker=marker, mfc="white", mec="black", ms=5, ls="")
    left.axvline(10, color="0.5", lw=1, ls="--")
    left.set(xlabel="pairs above their worse moment, of ten", xlim=(-0.7, 10.7))
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    right.axvspan(np.nanmin(TABLE1), np.nanmax(TABLE1), color="0.85")
    right.set(xlabel="score, lowest to highest cell", xlim=(0, 1.03))
    handles = [
        Line2D([], [], marker="o", ls="", color=SYNTHETIC, label="random, free"),
        Line2D([], [], marker="o", ls="", color=REAL, label="random, bound by data processing"),
    ]
    for scenario, (marker, _) in MARKS.items():
        handles.append(Line2D([], [], marker=marker, ls="", mfc="white", mec="black", label=scenario))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@light_box()
def pairs_figure(
    synthetic: Sequence[np.ndarray], training: Sequence[np.ndarray], titles: Sequence[str], white: float
) -> Figure:
    """Draw synthetic images above their nearest training images, (h, w) in [0, white], ten titled pairs per row."""
    columns = min(10, len(synthetic))
    bands = -(-len(synthetic) // columns)
    h, w = synthetic[0].shape
    tall = 0.95 * WIDE / columns * h / w  # of an image, inches
    size = (WIDE, bands * (2 * tall + TITLE))
    figure, axes = plt.subplots(2 * bands, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for number, (*pair, title) in enumerate(zip(synthetic, training, titles, strict=True)):
        band, column = divmod(number, columns)
        for axis, image in zip(axes[2 * band : 2 * band + 2, column], pair, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=white)
        axes[2 * band, column].set_title(title, pad=2)
    for band in range(bands):
        axes[2 * band, 0].set_ylabel("synthetic")
        axes[2 * band + 1, 0].set_ylabel("training")
    figure.subplots_adjust(0.04, 0, 1, 1 - TITLE / size[1], wspace=0.04, hspace=TITLE / tall / 2)
    return figure
