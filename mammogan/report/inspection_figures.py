"""Figures of the inspection chapter."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

COLORS = {"real": "#D55E00", "synthetic": "#0072B2"}  # Okabe & Ito (2008), as in all chapters


def flagged(flags: pd.DataFrame) -> Figure:
    """Shares of images flagged, with intervals: columns detector, kind, share, low, high."""
    figure, axis = plt.subplots(figsize=(7, 4))
    names = list(dict.fromkeys(flags["detector"]))
    for kind, offset, marker in (("real", -0.15, "o"), ("synthetic", 0.15, "s")):
        part = flags[flags["kind"] == kind].set_index("detector").loc[names]
        share = 100 * part["share"].to_numpy()
        spread = np.abs([share - 100 * part["low"], 100 * part["high"] - share])
        place = np.arange(len(names)) + offset
        axis.errorbar(share, place, xerr=spread, fmt=marker, ms=4, color=COLORS[kind], label=kind, capsize=2)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("images flagged, %")
    axis.legend()
    figure.tight_layout()
    return figure


def spots(found: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    """Spots an image, and the distributions of diameter, contrast and brightness."""
    figure, axes = plt.subplots(1, 4, figsize=(11, 3))
    most = max(int(counts["spots"].max()), 1)
    panels = [("spots", counts, "spots an image", np.arange(most + 2) - 0.5)]
    for name, label in (("diameter_mm", "diameter, mm"), ("contrast", "contrast"), ("brightness", "brightness")):
        values = found[name].astype(float)
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        panels.append((name, found, label, np.linspace(low, high if high > low else low + 1, 13)))
    for axis, (name, table, label, bins) in zip(axes, panels, strict=True):
        for kind, part in table.groupby("set"):
            weights = np.full(len(part), 100 / max(len(part), 1))
            axis.hist(
                part[name].astype(float),
                bins,
                weights=weights,
                histtype="step",
                lw=1.6,
                color=COLORS[kind],
                label=kind,
            )
        axis.set_xlabel(label)
    axes[0].set_ylabel("% of images")
    axes[1].set_ylabel("% of spots")
    axes[0].legend()
    figure.tight_layout()
    return figure
