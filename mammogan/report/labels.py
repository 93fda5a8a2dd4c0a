"""Tables of a labeled inspection, in words and for the chapter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mammogan.artifacts.inspection import read_key
from mammogan.artifacts.labels import ANY, agreement, detection, rates, read_labels, views_compared
from mammogan.atomic import make_folder
from mammogan.paper.printed import ARTIFACTS, INSPECTED
from mammogan.report import kept
from mammogan.report.numbers import filled, keep, words
from mammogan.report.results import Results
from mammogan.stats.proportions import exact_interval
from mammogan.types import Estimate


def tables(inspection: Path, files: Iterable[Path], seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return rates, views, agreement and, where the inspection has candidates, detection; see `artifacts.labels`.

    Raises:
        InspectionError: there is no inspection.
        TableError: the labels cannot be read, or belong to another inspection.
    """
    key = read_key(inspection)
    labels = read_labels(files, len(key))
    rate = rates(labels, key)
    judged = {"rates": rate, "views": views_compared(rate), "agreement": agreement(labels, seed=seed)}
    scores = inspection / "candidates.csv"
    if scores.is_file():
        with kept.reading(scores):
            judged["detection"] = detection(labels, kept.table(scores, ["number"]), key)
    return judged


def report(inspection: Path, files: Iterable[Path], out: Path, seed: int = 0) -> str:
    """Write the tables as CSV to a folder, and return what they say in lines of text. Raises the errors of `tables`."""
    judged = tables(inspection, files, seed)
    make_folder(out)
    for name, table in judged.items():
        table.to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
    lines = []
    for row in judged["rates"][judged["rates"]["artifact"] == ANY].itertuples():
        view = f" ({row.view})" if row.view not in ("all", "both") else ""
        what = "breasts" if row.view == "both" else "images"
        share = _percent(row.rate, row.low, row.high)
        line = f"{row.observer}: {row.found} of {row.shown} {row.kind} {what}{view} with an artifact, {share}"
        if row.kind == "synthetic" and row.view in ARTIFACTS:
            line += f"; the paper {100 * ARTIFACTS[row.view] / INSPECTED:.1f} %"
        if not math.isnan(row.excess):
            line += f"; beyond the real controls {_percent(row.excess, row.excess_low, row.excess_high)}"
        lines.append(line)
    for name, column in {"views": "artifact", "agreement": "artifact", "detection": "detector"}.items():
        rows = judged[name].loc[judged[name][column] == ANY].to_dict("records") if name in judged else []
        lines += [filled(words("labels")[name], **row) for row in rows]
    return "\n".join([*lines, f"The tables are in {out}"])


def _percent(rate: float, low: float, high: float) -> str:
    return f"{100 * rate:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"


def observed(results: Results, inspection: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the tables of an inspection with labels*.csv in it, and return rates and detection to show.

    Args:
        results: keeps the tables, and what the first of them found.
        inspection: folder; "" where nobody has labeled. It may hold pairs.csv, the answers of the first observer to
            pairs of a real and a synthetic image, with the column correct.
        seed: random seed of the bootstrap.
    """
    if not inspection:
        keep(results, {"observed": words("labels")["unobserved"]})
        unknown = "nobody has labeled these images yet"
        return pd.DataFrame({"labels": [unknown]}), pd.DataFrame({"detectors": [unknown]})
    judged = tables(Path(inspection), sorted(Path(inspection).glob("labels*.csv")), seed)
    for name, table in judged.items():
        results.table(f"labels_{name}", table)
    rate = judged["rates"]
    observers = rate["observer"].unique()
    whole = rate[(rate["observer"] == observers[0]) & (rate["artifact"] == ANY) & (rate["view"] == "all")]
    kinds = {row.kind: row for row in whole.itertuples()}
    keep(results, {f"observed.{kind}": [100 * row.rate, 100 * row.low, 100 * row.high] for kind, row in kinds.items()})
    said = [filled(words("labels")["observed"], observer=observers[0], **kinds)]
    pairs = Path(inspection) / "pairs.csv"
    if pairs.is_file():
        correct = kept.table(pairs, ["correct"])["correct"]
        share = Estimate(*(100 * bound for bound in exact_interval(int(correct.sum()), len(correct))))
        keep(results, {"observed.pairs": share})
        facts = {"right": int(correct.sum()), "shown": len(correct), "low": share.low, "high": share.high}
        said.append(filled(words("labels")["pairs"], **facts))
    keep(results, {"observed": " ".join(said)})
    rate = rate.assign(artifact=rate["artifact"].str.replace("_", " "))
    who = ["observer"] if len(observers) > 1 else []
    columns = [*who, "kind", "view", "artifact", "found", "shown", "rate", "low", "high"]
    rate = rate.loc[(rate["found"] > 0) | (rate["artifact"] == ANY), columns].set_index("kind")
    if "detection" not in judged:
        return rate, pd.DataFrame({"detectors": ["the inspection has no candidates"]})
    columns = [*who, "detector", "images", "artifacts", "auc", "precision", "recall"]
    detection = judged["detection"][columns].set_index("detector").dropna(axis=1, how="all")
    # Where every image has an artifact, every flag is right.
    every = (detection["images"] == detection["artifacts"]).all()
    return rate, detection.drop(columns="precision", errors="ignore") if every else detection
