"""Outcome of every source of a store: a table for the terminal, CSV files and a page of HTML."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from mammogan.atomic import replacing_text
from mammogan.data.quality import FLAGS
from mammogan.data.store import MANIFEST, Store
from mammogan.report.html import Part, Table, write_page

COLUMNS = ["number", "id", "reason", "sentence", "flags", "view", "laterality", "split"]
OUTCOME, FLAG = ("outcome", "files", "meaning"), ("flag", "images", "meaning")
BATCH = 4096  # rows of the manifest in memory at a time


def outcomes(store: Store) -> list[tuple[str, int, str]]:
    """Return (reason or "accepted", number of files, an example's sentence): accepted first, then by number."""
    reasons = store.refused.groupby("reason")["sentence"].agg(["size", "first"]).sort_values("size", ascending=False)
    refused = [(reason, int(row["size"]), row["first"]) for reason, row in reasons.iterrows()]
    return [("accepted", len(store), "The image is in the store."), *refused]


def flag_counts(store: Store) -> list[tuple[str, int, str]]:
    """Return (flag, number of accepted images with it, meaning), in the order of `quality.FLAGS`."""
    counts = Counter(flag for flags in store.manifest["flags"] if flags is not None for flag in flags)
    return [(flag, counts[flag], meaning) for flag, meaning in FLAGS.items() if counts[flag]]


def devices(store: Store) -> pd.DataFrame:
    """Count images per device and window function, with the medians of their windows ("-" where there is none)."""
    keys = {"manufacturer": "manufacturer", "model": "model", "window_function": "window", "photometric": "photometric"}
    table = store.manifest[[*keys, "window_center", "window_width"]].rename(columns=keys)
    names = list(keys.values())
    table[names] = table[names].replace("", None).fillna("-")
    table.loc[table["window_center"].isna(), "window_width"] = None
    groups = table.groupby(names)
    medians = groups[["window_center", "window_width"]].median().astype(object).fillna("-")
    medians = medians.set_axis(["median center", "median width"], axis=1)
    medians.insert(0, "images", groups.size())
    # Groups of one size keep the order of the manifest.
    order = table[names].drop_duplicates().itertuples(index=False, name=None)
    return medians.loc[list(order)].sort_values("images", ascending=False, kind="stable").reset_index()


def write_report(store: Store) -> Path:
    """Write report/index.html, report/outcomes.csv and report/files.csv into the folder of a store.

    Returns:
        The page.
    """
    folder = store.path / "report"
    folder.mkdir(exist_ok=True)
    lines = {"index": False, "lineterminator": "\r\n"}  # RFC 4180
    pd.DataFrame(outcomes(store), columns=list(OUTCOME)).to_csv(folder / "outcomes.csv", **lines)
    with replacing_text(folder / "files.csv") as file:
        file.write(",".join(COLUMNS) + "\r\n")
        for batch in pq.ParquetFile(store.path / MANIFEST).iter_batches(BATCH, columns=COLUMNS):
            rows = batch.to_pandas()
            rows["reason"] = rows["reason"].fillna("accepted")
            rows["flags"] = rows["flags"].map(lambda flags: "" if flags is None else " ".join(flags))
            rows.to_csv(file, header=False, **lines)
    views = store.manifest.groupby(["view", "laterality"], dropna=False).size().reset_index(name="images")
    splits = store.manifest.groupby("split").agg(images=("id", "size"), patients=("patient", "nunique")).reset_index()
    tables = [
        Table("Outcome of the files", OUTCOME, outcomes(store)),
        Table("Accepted images to look at before training", FLAG, flag_counts(store)),
        Table.of("Views", views),
        Table.of("Devices and windows", devices(store)),
        Table.of("Splits", splits),
    ]
    lead = (
        f"{len(store)} images of {store.sizes[-1]} pixels and {store.bits} bits were accepted, {len(store.refused)} "
        "files refused. Every file is a row of files.csv."
    )
    return write_page(folder / "index.html", "Ingest report", [lead], [Part(tables=tables)], ["files.csv"])
