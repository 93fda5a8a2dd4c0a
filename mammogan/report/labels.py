"""The tables of a labeled inspection, and their few lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mammogan.artifacts.inspection import read_key
from mammogan.artifacts.labels import ANY, agreement, detection, rates, read_labels, views_compared
from mammogan.paper.printed import ARTIFACTS, INSPECTED


def tables(inspection: str | Path, files: Iterable[str | Path], seed: int = 0) -> dict[str, pd.DataFrame]:
    """rates, views, agreement and, where the inspection has candidates, detection; see `labels`."""
    key = read_key(inspection)
    labels = read_labels(files, len(key))
    found = rates(labels, key)
    made = {"rates": found, "views": views_compared(found), "agreement": agreement(labels, seed=seed)}
    scores = Path(inspection) / "candidates.csv"
    if scores.is_file():
        made["detection"] = detection(labels, pd.read_csv(scores), key)
    return made


def report(inspection: str | Path, files: Iterable[str | Path], out: str | Path, seed: int = 0) -> str:
    """Write the tables as CSV to a folder and say in lines of text what they hold.

    Raises:
        InspectionError, LabellingError: no inspection, or labels that do not belong to it.
    """
    made = tables(inspection, files, seed)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in made.items():
        table.to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
    lines = []
    for row in _overall(made["rates"]).itertuples():
        text = f"{row.observer}: {row.found} of {row.shown} {row.kind} images"
        text += f" ({row.view})" if row.view != "all" else ""
        text += f" with an artifact, {100 * row.rate:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f} %)"
        if row.kind == "synthetic" and row.view in ARTIFACTS:
            text += f"; the paper {100 * ARTIFACTS[row.view] / INSPECTED:.1f} %"
        if not math.isnan(row.excess):
            text += f"; beyond the real controls {100 * row.excess:.1f} % "
            text += f"({100 * row.excess_low:.1f} to {100 * row.excess_high:.1f} %)"
        lines.append(text)
    for row in _overall(made["views"]).itertuples():
        lines.append(f"{row.observer}: MLO over CC {row.ratio:.2f}, Fisher's exact test P = {row.p:.3g}")
    for row in _overall(made["agreement"]).itertuples():
        lines.append(
            f"{row.first} and {row.second}: kappa {row.kappa:.2f} ({row.low:.2f} to {row.high:.2f}) on {row.images} "
            f"images, {100 * row.agree:.0f} % alike"
        )
    for row in _overall(made["detection"], "detector").itertuples() if "detection" in made else ():
        lines.append(
            f"{row.observer}: the detectors' ranking has an area under the ROC curve of {row.auc:.2f}, precision "
            f"{row.precision:.2f}, recall {row.recall:.2f}"
        )
    lines.append(f"The tables are in {out}")
    return "\n".join(lines)


def _overall(table: pd.DataFrame, column: str = "artifact") -> pd.DataFrame:
    return table[table[column] == ANY]
