"""What became of every source of a store: a table on the terminal, as CSV and as a page of HTML."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jinja2 import Environment

from mammogan.data.foreign import FLAGS
from mammogan.data.store import MANIFEST, Store

COLUMNS = ("number", "id", "reason", "sentence", "flags", "view", "laterality", "split")
BATCH = 4096  # rows of the manifest in memory at a time

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ingest report</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; margin: 0 0 2rem; }
  caption { text-align: left; font-weight: 600; padding: .5rem 0; }
  th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
  td.n { text-align: right; font-variant-numeric: tabular-nums; }
</style>
<h1>Ingest report</h1>
<p>{{ accepted }} images of {{ height }} x {{ width }} pixels and {{ bits }} bits were accepted,
{{ refused }} files refused. Every file is a row of <a href="files.csv">files.csv</a>.</p>
{% for title, header, rows in tables if rows %}
<table>
  <caption>{{ title }}</caption>
  <tr>{% for name in header %}<th scope="col">{{ name }}</th>{% endfor %}</tr>
  {% for row in rows %}
  <tr>{% for cell in row %}<td{% if cell is number %} class="n"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
  {% endfor %}
</table>
{% endfor %}
</html>
"""


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
    page = Environment(autoescape=True).from_string(PAGE)
    text = page.render(
        accepted=len(store),
        refused=len(store.refused),
        bits=store.bits,
        height=store.sizes[-1][0],
        width=store.sizes[-1][1],
        tables=[
            ("What became of the files", ("outcome", "files", "meaning"), outcomes(store)),
            ("Accepted, but worth a look", ("flag", "images", "meaning"), flag_counts(store)),
            ("Views", ("view", "laterality", "images"), [tuple(row) for row in views]),
            (
                "Devices and windows",
                ("manufacturer", "model", "window", "photometric", "images", "median center", "median width"),
                devices(store),
            ),
            ("Splits", ("split", "images", "patients"), list(splits.itertuples(index=False, name=None))),
        ],
    )
    index = folder / "index.html"
    index.write_text(text, encoding="utf-8")
    return index
