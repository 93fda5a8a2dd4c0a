"""What became of every source of a store: a table on the terminal, as CSV and as a page of HTML."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mammogan.data.quality import FLAGS
from mammogan.data.store import MANIFEST, Store
from mammogan.report.html import Part, Table, write_page

COLUMNS = ("number", "id", "reason", "sentence", "flags", "view", "laterality", "split")
BATCH = 4096  # rows of the manifest in memory at a time


def outcomes(store: Store) -> list[tuple[str, int, str]]:
    """(reason or "accepted", number of files, what it means), the accepted first, then the most frequent reason."""
    reasons = store.refused.groupby("reason")["sentence"].agg(["size", "first"]).sort_values("size", ascending=False)
    return [
        ("accepted", len(store), "The image is in the store."),
        *((reason, int(row["size"]), row["first"]) for reason, row in reasons.iterrows()),
    ]


def flag_counts(store: Store) -> list[tuple[str, int, str]]:
    """(flag, number of accepted images that carry it, what it means)."""
    found = Counter(flag for flags in store.manifest["flags"] if flags is not None for flag in flags)
    return [(flag, found[flag], meaning) for flag, meaning in FLAGS.items() if found[flag]]


def devices(store: Store) -> list[tuple]:
    """(manufacturer, model, window function, photometric, images, median center, median width)."""
    groups = defaultdict(list)
    columns = ["manufacturer", "model", "window_function", "photometric", "window_center", "window_width"]
    for *key, center, width in store.manifest[columns].itertuples(index=False):
        groups[tuple(value if isinstance(value, str) and value else "-" for value in key)].append((center, width))
    rows = []
    for key, windows in sorted(groups.items(), key=lambda item: -len(item[1])):
        known = np.array([window for window in windows if np.isfinite(window[0] or np.nan)], float).reshape(-1, 2)
        medians = np.median(known, axis=0) if len(known) else ("-", "-")
        rows.append((*key, len(windows), *(float(m) if m != "-" else m for m in medians)))
    return rows


def write_report(store: Store) -> Path:
    """Write `report/index.html`, `report/outcomes.csv` and `report/files.csv` into the store's folder.

    Returns:
        The page.
    """
    folder = store.path / "report"
    folder.mkdir(exist_ok=True)
    with (folder / "outcomes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("outcome", "files", "meaning"), *outcomes(store)])
    with (folder / "files.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for batch in pq.ParquetFile(store.path / MANIFEST).iter_batches(BATCH, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                row["reason"] = row["reason"] or "accepted"
                row["flags"] = " ".join(row["flags"] or [])
                writer.writerow([row[column] for column in COLUMNS])
    views = store.manifest.groupby(["view", "laterality"], dropna=False).size().reset_index().itertuples(index=False)
    splits = store.manifest.groupby("split").agg(n=("id", "size"), p=("patient", "nunique")).reset_index()
    tables = [
        Table("What became of the files", ("outcome", "files", "meaning"), outcomes(store)),
        Table("Accepted, but worth a look", ("flag", "images", "meaning"), flag_counts(store)),
        Table("Views", ("view", "laterality", "images"), [tuple(row) for row in views]),
        Table(
            "Devices and windows",
            ("manufacturer", "model", "window", "photometric", "images", "median center", "median width"),
            devices(store),
        ),
        Table("Splits", ("split", "images", "patients"), list(splits.itertuples(index=False, name=None))),
    ]
    height, width = store.sizes[-1]
    lead = (
        f"{len(store)} images of {height} x {width} pixels and {store.bits} bits were accepted, {len(store.refused)} "
        "files refused. Every file is a row of files.csv."
    )
    return write_page(folder / "index.html", "Ingest report", [lead], [Part(tables=tables)], ["files.csv"])
