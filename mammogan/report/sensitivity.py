"""Sensitivity of each measure to known damage: table and figure of a benchmark, for the alignment chapter."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.report.style import WIDE

# Measures that are higher where sets are closer; of the others less is better. MS-SSIM of pairs is one of the others:
# more similar pairs mean less diversity.
HIGHER = ("moments, 1 - sqrt(JSD)", "precision", "recall", "density", "coverage", "authenticity")


def seen(table: pd.DataFrame, most: int = 3) -> pd.DataFrame:
    """Return, per damage, the measures that detect it best, reward it, or miss it.

    Args:
        table: table of the benchmark of damage, with columns damage, unit, measure, effect, detectable, largest.
        most: measures that are named as the best.

    Returns:
        one row per damage, all text: damage, tried (largest size), seen best by (the smallest sizes that are detected,
        ascending), rewarded by (the score improves, detectably), not seen by.
    """
    rows = []
    for damage, part in table.groupby("damage", sort=False):
        worse = np.where(part["measure"].isin(HIGHER), part["effect"] < 0, part["effect"] > 0)
        detected = np.isfinite(part["detectable"])
        # Where the weakest damage tried is certain to be detected, the larger effect is the clearer one.
        order = part.assign(clarity=-part["effect"].abs()).sort_values(["detectable", "clarity"])
        best = order[order.index.isin(part.index[detected & worse])].head(most)
        rows.append(
            {
                "damage": damage,
                "tried": f"up to {part['largest'].iloc[0]:g} {part['unit'].iloc[0]}",
                "seen best by": "; ".join(f"{row.measure} ({row.detectable:.2g})" for row in best.itertuples()),
                "rewarded by": "; ".join(part["measure"][detected & ~worse]),
                "not seen by": "; ".join(part["measure"][~detected]),
            }
        )
    return pd.DataFrame(rows)


def sensitivity_figure(table: pd.DataFrame) -> Figure:
    """Draw damages by measures: effect in standard deviations of chance, and below it the smallest damage detected."""
    damages, measures = (list(dict.fromkeys(table[column])) for column in ("damage", "measure"))
    effect, limit = (
        table.pivot(index="measure", columns="damage", values=name).loc[measures, damages].to_numpy()
        for name in ("effect", "detectable")
    )
    facts = table.drop_duplicates("damage").set_index("damage")
    figure, axis = plt.subplots(figsize=(WIDE, 0.42 * len(measures) + 1.2), layout="constrained")
    colors = np.arcsinh(effect)
    axis.imshow(colors, cmap="RdBu_r", vmin=-5, vmax=5, aspect="auto")
    for (i, j), z in np.ndenumerate(effect):
        text = f"{z:+.1f}" if abs(z) < 99.5 else f"{z:+.0f}"
        text += f"\n{limit[i, j]:.2g}" if np.isfinite(limit[i, j]) else "\n-"
        color = "white" if abs(colors[i, j]) > 3.2 else "black"
        axis.text(j, i, text, ha="center", va="center", color=color)
    texts = (f"{name}, {facts.loc[name, 'nominal']:g} {facts.loc[name, 'unit']}" for name in damages)
    titles = [textwrap.fill(text, 14) for text in texts]
    axis.set_xticks(range(len(damages)), titles)
    axis.set_yticks(range(len(measures)), measures)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure
