"""`mammogan pairs`: are the two views of one breast? A set with pairs of views in; report.html and its numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.artifacts.blobs import blob_depths
from mammogan.atomic import replacing_folder
from mammogan.data.pairs import open_sets, require_pairs, small_size
from mammogan.data.store import Store
from mammogan.metrics.view_agreement import FACTS, LARGEST, Agreement, compare_views, mismatched, view_facts
from mammogan.parallel import map_images
from mammogan.report import style
from mammogan.report.html import Part, Picture, Table, write_page
from mammogan.report.numbers import Number, described, filled, words
from mammogan.report.results import Results, Value
from mammogan.types import Progress, Size, no_progress

SHORTEST, TALLEST = 32, 640  # pixels of a side at least, and of the height at most: an outline needs no more
GIVEN, SHUFFLED = "set", "shuffled"
SPOTS = "spot depth"
COLORS = {GIVEN: style.SYNTHETIC, "synthetic": style.SYNTHETIC, "real": style.REAL}


@dataclass(frozen=True)
class ViewPairs:
    """Measures of the pairs of views of one set: {measure: (n, k)} of each view, and the rows of `view_pairs`."""

    rows: pd.DataFrame
    cc: dict[str, np.ndarray]
    mlo: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, store: Store, size: Size, *, seed: int = 0, workers: int = 1, progress: Progress = no_progress
    ) -> ViewPairs:
        """Measure the pairs of a store at one of its sizes, of more than `LARGEST` so many at random.

        Raises:
            InputError: there is no pair.
        """
        rows, images = require_pairs(store), store.images(size)
        if len(rows) > LARGEST:
            kept = np.random.default_rng(seed).choice(len(rows), LARGEST, replace=False)
            rows = rows.iloc[np.sort(kept)].reset_index(drop=True)
        views = {}
        for view in ("CC", "MLO"):
            at, parts = rows[view.lower()].to_numpy(), []
            for function, more in ((view_facts, (store.bits, view)), (blob_depths, (store.bits,))):
                task = f"{view} views"
                parts.append(
                    map_images(images, function, *more, rows=at, workers=workers, progress=progress, task=task)
                )
            facts = {name: parts[0][:, columns] for name, columns in FACTS.items()}
            views[view] = facts | {SPOTS: parts[1]}
        return cls(rows, views["CC"], views["MLO"])

    def agreements(self, seed: int = 0) -> dict[str, dict[str, Agreement]]:
        """Return the agreement of true pairs, and as a control of pairs that are shuffled among patients, by measure.

        Raises:
            ParameterError: one patient has more than half of the pairs.
        """
        patients = self.rows["patient"].to_numpy(str)
        other = mismatched(patients, seed)
        shuffled = {name: values[other] for name, values in self.mlo.items()}
        true = compare_views(self.cc, self.mlo, patients, seed)
        return {"true": true, SHUFFLED: compare_views(self.cc, shuffled, patients, seed)}


def agreement_rows(sets: dict[str, dict[str, dict[str, Agreement]]]) -> pd.DataFrame:
    """Return one row per measure and set of pairs; the sets are those of `ViewPairs.agreements` by name."""
    rows = []
    for measure in (*FACTS, SPOTS):
        for name, kinds in sets.items():
            for kind, found in kinds.items():
                if measure not in found:
                    continue
                one = found[measure]
                label = name if kind == "true" else f"{name}, {kind}"
                rows.append((measure, label, one.pairs, *one.auc, one.true, one.other, one.correlation))
    columns = ["measure", "set", "pairs", "AUC", "low", "high", "distance", "distance_shuffled", "correlation"]
    return pd.DataFrame(rows, columns=columns)


def agreement_values(sets: dict[str, dict[str, dict[str, Agreement]]]) -> dict[str, Value]:
    """Return the chances of all measures by key, and their differences to the real pairs where there are some."""
    numbers: dict[str, Number] = {}
    for name, kinds in sets.items():
        for measure, found in kinds["true"].items():
            key = measure.replace(" ", "_")
            numbers[f"{name}.{key}"] = found.auc
            if name != "real" and measure in sets.get("real", {}).get("true", {}):
                numbers[f"less_real.{key}"] = found.less(sets["real"]["true"][measure])
    return described("pairs", numbers)


def agreement_figure(rows: pd.DataFrame) -> Figure:
    """Draw the chance of each measure with its interval, one mark per set, from `agreement_rows`."""
    measures = list(dict.fromkeys(rows["measure"]))
    names = list(dict.fromkeys(rows["set"]))
    figure, axis = plt.subplots(figsize=(style.WIDTH, 0.7 * len(measures) + 1), layout="constrained")
    for number, name in enumerate(names):
        chosen = rows[rows["set"] == name]
        at = np.array([measures.index(measure) for measure in chosen["measure"]])
        at = at + 0.6 * ((number + 0.5) / len(names) - 0.5)
        spread = np.abs(chosen[["low", "high"]].to_numpy().T - chosen["AUC"].to_numpy())
        marker, color = ("s" if SHUFFLED in name else "o"), COLORS[name.partition(",")[0]]
        drawn = axis.errorbar(chosen["AUC"], at, xerr=spread, fmt=marker, color=color, label=name, ms=5, capsize=2)
        if SHUFFLED in name:
            drawn.lines[0].set_markerfacecolor("white")
    axis.axvline(0.5, color="0.5", lw=0.8, ls="--")
    axis.set_yticks(range(len(measures)), measures)
    axis.invert_yaxis()
    axis.set(xlabel="chance that a true pair agrees better than a shuffled one, 95 % interval", xlim=(0.3, 1.01))
    figure.legend(loc="outside lower center", ncols=len(names))
    return figure


def printed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as they are printed, with intervals in one column."""
    table = rows.copy()
    bounds = zip(table.pop("low"), table.pop("high"), strict=True)
    table.insert(4, "interval", [f"{low:.3f} to {high:.3f}" for low, high in bounds])
    table["correlation"] = [f"{r:.2f}" if np.isfinite(r) else "-" for r in table["correlation"]]
    return table


def compare_pairs(
    given: str | Path,
    out: Path,
    real: str | Path | None = None,
    *,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Compare the views of each breast of a set, and of a real set, and write the report as a whole at the end.

    Args:
        given, real: a store, or a folder of DICOM files or pictures; see `pairs.open_sets`.
        out: folder to write.
        seed: random seed of the bootstrap, of shuffled pairs, and of the pairs that are compared.
        workers: processes.
        progress: counts files and views.

    Returns:
        `agreement_rows`.

    Raises:
        InputError: a set cannot be read or has no pairs, or the two cannot be compared.
        ParameterError: too few patients.
        OutputError: the folder cannot be written.
    """
    paths = {"synthetic": given} | ({"real": real} if real else {})
    opened = open_sets(paths, out, workers=workers, progress=progress)
    stores = {GIVEN if name == "synthetic" else name: store for name, store in opened.items()}
    for store in stores.values():
        require_pairs(store)
    size = small_size(stores[GIVEN], stores.get("real", stores[GIVEN]), SHORTEST, TALLEST)
    pairs = {
        name: ViewPairs.of(store, size, seed=seed, workers=workers, progress=progress) for name, store in stores.items()
    }
    sets = {name: each.agreements(seed) for name, each in pairs.items()}
    rows = agreement_rows(sets)
    style.apply_style()
    with replacing_folder(out) as folder:
        results = Results(folder, "pairs")
        counts = {f"n.{name}": len(each.rows) for name, each in pairs.items()}
        results.keep(described("pairs", {"size": str(size), "seed": seed, **counts}) | agreement_values(sets))
        results.table("agreement", rows)
        for name, each in pairs.items():
            facts = {
                f"{measure} {view}": values[:, 0]
                for view, side in (("CC", each.cc), ("MLO", each.mlo))
                for measure, values in side.items()
                if values.shape[1] == 1
            }
            ids = {view: stores[name].manifest["id"].to_numpy()[each.rows[view]] for view in ("cc", "mlo")}
            results.table(f"pairs_{name}", pd.DataFrame(ids | facts))
        results.figure("agreement", figure := agreement_figure(rows), rows)
        results.save()
        said = words("pairs")
        caption = filled(said["captions"]["agreement"], seed=seed)
        part = Part(
            said["title"],
            [filled(text) for text in said["text"].strip().split("\n\n")],
            [Table(filled(said["tables"]["agreement"]), printed(rows), "agreement")],
            [Picture("agreement", figure, caption, rows)],
            "agreement",
        )
        lead = filled(said["lead"], size=size, sets=" and ".join(f"{len(p.rows)} ({n})" for n, p in pairs.items()))
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        write_page(folder / "report.html", "Are the two views of one breast?", [lead], [part], files)
    return rows
