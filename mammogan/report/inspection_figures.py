"""Figures of the inspection chapter."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.report.style import REAL, SYNTHETIC

COLORS = {"real": REAL, "synthetic": SYNTHETIC}


def flagged(flags: pd.DataFrame) -> Figure:
    """Draw the shares of images flagged with their intervals: columns detector, kind, share, low, high."""
    figure, axis = plt.subplots(figsize=(7, 4))
    names = list(dict.fromkeys(flags["detector"]))
    for kind, offset, marker in (("real", -0.15, "o"), ("synthetic", 0.15, "s")):
        part = 100 * flags[flags["kind"] == kind].set_index("detector").loc[names, ["share", "low", "high"]]
        spread = np.abs(part[["low", "high"]].T.to_numpy() - part["share"].to_numpy())
        rows = np.arange(len(names)) + offset
        axis.errorbar(part["share"], rows, xerr=spread, fmt=marker, ms=4, color=COLORS[kind], label=kind, capsize=2)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("images flagged, %")
    axis.legend()
    figure.tight_layout()
    return figure


def spots(table: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    """Draw the number of spots per image, and the distributions of diameter, contrast and brightness."""
    figure, axes = plt.subplots(1, 4, figsize=(11, 3))
    panels = [("spots", counts, "spots per image", np.arange(max(int(counts["spots"].max()), 1) + 2) - 0.5)]
    for name, label in (("diameter_mm", "diameter, mm"), ("contrast", "contrast"), ("brightness", "brightness")):
        values = table[name].astype(float)
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        panels.append((name, table, label, np.linspace(low, high if high > low else low + 1, 13)))
    for axis, (name, data, label, bins) in zip(axes, panels, strict=True):
        for kind, part in data.groupby("set"):
            look = {"weights": np.full(len(part), 100 / len(part)), "color": COLORS[kind], "label": kind}
            axis.hist(part[name].astype(float), bins, histtype="step", lw=1.6, **look)
        axis.set_xlabel(label)
    axes[0].set_ylabel("% of images")
    axes[1].set_ylabel("% of spots")
    axes[0].legend()
    figure.tight_layout()
    return figure
