"""Which measure sees which damage: the table and the figure of a benchmark, for the alignment chapter."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

# Measures that are higher where sets are closer; of the others less is better. Similarity of pairs counts as one of
# them: more of it means less diversity.
HIGHER = ("moments, 1 - sqrt(JSD)", "precision", "recall", "density", "coverage", "authenticity")


def seen(table: pd.DataFrame, most: int = 3) -> pd.DataFrame:
    """Which measure to trust for what: who sees a damage first, who takes it for an improvement, and who is blind.

    Args:
        table: of `sensitivity`.
        most: measures that are named as the best.

    Returns:
        one row a damage, all text: damage, tried (largest size), seen best by (the smallest sizes that are detected,
        ascending), rewarded by (the score improves, detectably), not seen by.
    """
    rows = []
    for damage, part in table.groupby("damage", sort=False):
        worse = np.where(part["measure"].isin(HIGHER), part["effect"] < 0, part["effect"] > 0)
        found = np.isfinite(part["detectable"])
        # Where the weakest damage tried is certain to be detected, the larger effect is the clearer one.
        order = part.assign(clarity=-part["effect"].abs()).sort_values(["detectable", "clarity"])
        best = order[order.index.isin(part.index[found & worse])].head(most)
        unit = part["unit"].iloc[0]
        rows.append(
            {
                "damage": damage,
                "tried": f"up to {part['largest'].iloc[0]:g} {unit}",
                "seen best by": "; ".join(f"{row.measure} ({row.detectable:.2g})" for row in best.itertuples()),
                "rewarded by": "; ".join(part["measure"][found & ~worse]),
                "not seen by": "; ".join(part["measure"][~found]),
            }
        )
    return pd.DataFrame(rows)


def sensitivity_figure(table: pd.DataFrame) -> Figure:
    """Damages by measures: the effect in standard deviations of chance, and below it the smallest detectable damage."""
    import matplotlib.pyplot as plt

    damages, measures = (list(dict.fromkeys(table[column])) for column in ("damage", "measure"))
    effect = table.pivot(index="measure", columns="damage", values="effect").loc[measures, damages]
    limit = table.pivot(index="measure", columns="damage", values="detectable").loc[measures, damages]
    facts = table.drop_duplicates("damage").set_index("damage")
    figure, axis = plt.subplots(figsize=(1.1 * len(damages) + 2.2, 0.42 * len(measures) + 1.6), layout="constrained")
    shown = np.arcsinh(effect.to_numpy())
    axis.imshow(shown, cmap="RdBu_r", vmin=-5, vmax=5, aspect="auto")
    for i, measure in enumerate(measures):
        for j, damage in enumerate(damages):
            z, least = effect.loc[measure, damage], limit.loc[measure, damage]
            text = f"{z:+.1f}" if abs(z) < 99.5 else f"{z:+.0f}"
            text += f"\n{least:.2g}" if np.isfinite(least) else "\n-"
            dark = abs(shown[i, j]) > 3.2
            axis.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "black")
    titles = [f"{name}\n{facts.loc[name, 'nominal']:g} {facts.loc[name, 'unit']}" for name in damages]
    axis.set_xticks(range(len(damages)), titles, fontsize=7, rotation=30, ha="right")
    axis.set_yticks(range(len(measures)), measures, fontsize=8)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure
