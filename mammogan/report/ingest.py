"""Outcome of every source of a store: a table for the terminal, CSV files and a page of HTML."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.atomic import make_folder, replacing_text
from mammogan.data.phantom.patient import are_phantoms
from mammogan.data.quality import FLAGS
from mammogan.data.store import MANIFEST, REPORT, Store
from mammogan.errors import REASONS
from mammogan.report import kept
from mammogan.report.html import Part, Table, write_page
from mammogan.report.numbers import filled, keep, words
from mammogan.report.results import Results
from mammogan.types import Size, counted

COLUMNS = ["number", "id", "reason", "sentence", "flags", "view", "laterality", "split"]  # of files.csv


def outcomes(store: Store) -> pd.DataFrame:
    """Count files by outcome ("accepted" first, then reasons by number); meaning is a sentence true of all of them."""
    flags = {flag: f"The image has the flag {flag} ({meaning})." for flag, meaning in FLAGS.items()}
    meanings: dict[str, str] = {**flags, **{str(reason): meaning for reason, meaning in REASONS.items()}}
    reasons = store.refused.groupby("reason")["sentence"].agg(["size", "first", "nunique"])
    reasons = reasons.sort_values("size", ascending=False, kind="stable")
    refused = [
        (reason, count, sentence if sentences == 1 else meanings[reason])
        for reason, count, sentence, sentences in reasons.itertuples(name=None)
    ]
    rows = [("accepted", len(store), "The image is in the store."), *refused]
    return pd.DataFrame(rows, columns=["outcome", "files", "meaning"])


def flag_counts(store: Store) -> pd.DataFrame:
    """Count the accepted images with each flag, in the order of `quality.FLAGS`: flag, images, meaning."""
    counts = Counter(flag for flags in store.manifest["flags"] if flags is not None for flag in flags)
    rows = [(flag, counts[flag], meaning) for flag, meaning in FLAGS.items() if counts[flag]]
    return pd.DataFrame(rows, columns=["flag", "images", "meaning"])


def devices(store: Store) -> pd.DataFrame:
    """Count images per device and window function, with the medians of their windows ("-" where there is none)."""
    keys = {"manufacturer": "manufacturer", "model": "model", "window_function": "window", "photometric": "photometric"}
    table = store.manifest[[*keys, "window_center", "window_width"]].rename(columns=keys)
    names = list(keys.values())
    table[names] = table[names].replace("", None).fillna("-")
    table.loc[table["window_center"].isna(), "window_width"] = None
    groups = table.groupby(names, sort=False)  # groups of one size keep the order of the manifest
    medians = groups[["window_center", "window_width"]].median().astype(object).fillna("-")
    medians = medians.set_axis(["median center", "median width"], axis=1)
    medians.insert(0, "images", groups.size())
    return medians.sort_values("images", ascending=False, kind="stable").reset_index()


def splits(store: Store) -> pd.DataFrame:
    """Count images and patients per split ("-" where there is none)."""
    images = store.manifest.fillna({"split": "-"})
    return images.groupby("split").agg(images=("id", "size"), patients=("patient", "nunique")).reset_index()


STATED = (
    "data",
    "limits",
    "attribution",
    "real_images",
    "patients",
    "views",
    "height",
    "width",
    "bits",
    "training_images",
)


def image_set(results: Results, store: Store, reference: str = "") -> pd.DataFrame:
    """Describe the images that the later chapters rest on.

    Args:
        results: keeps name, origin, images, patients and views.
        store: store of this chapter.
        reference: folder of a published run that the later chapters show instead of the store; "" for none.

    Returns:
        one row per item: item, here.
    """
    drawn = are_phantoms(store.manifest)
    if reference:
        facts = kept.facts(Path(reference) / "provenance.json", *STATED)
        name, limits, source = facts["data"], facts["limits"], facts["attribution"] or "drawn by this project"
        images, patients, views = facts["real_images"], facts["patients"], facts["views"]
        size, bits, trained = Size(facts["height"], facts["width"]), facts["bits"], facts["training_images"]
    else:
        name = "phantoms of this project" if drawn else "the images in the data folder"
        limits, source = words("image_set")["drawn" if drawn else "given"], "drawn by this project" if drawn else "DATA"
        images, patients = len(store), int(store.manifest["patient"].nunique())
        views, size, bits = store.manifest["view"].value_counts().to_dict(), store.sizes[-1], store.bits
        trained = images  # the default of `Config.split`
    counts = ", ".join(f"{count} {view}" for view, count in sorted(views.items()))
    keep(results, {"set.name": name, "set.images": images, "set.patients": patients, "set.views": counts})
    keep(results, {"set.limits": filled(limits)})
    rows = {
        "Images": name,
        "Origin and license": source,
        "Accepted": f"{counted(images, 'image')} of {counted(patients, 'patient')} ({counts})",
        "Shown to the discriminator": counted(trained, "image"),
        "Held out": f"{counted(images - trained, 'image')}, of other patients" if trained < images else "none",
        "Size and gray levels": f"{size} pixels, {bits} bits",
        "What they can and cannot show": filled(limits),
    }
    ages = store.manifest.drop_duplicates("patient")["age"].dropna()
    if not reference and not drawn and len(ages) > 1:  # that of a phantom is drawn by the program
        error = 1.96 * ages.std(ddof=1) / np.sqrt(len(ages))
        keep(results, {"age": [ages.mean(), ages.mean() - error, ages.mean() + error]})
        rows["Mean age"] = f"{ages.mean():.1f} years ({ages.mean() - error:.1f} to {ages.mean() + error:.1f})"
    return pd.DataFrame(rows.items(), columns=["Item", "Here"])


def write_report(store: Store) -> Path:
    """Write report/index.html, report/outcomes.csv and report/files.csv into the folder of a store; return the page."""
    folder = store.path / REPORT
    make_folder(folder)
    files = pd.read_parquet(store.path / MANIFEST, columns=COLUMNS)
    files["reason"] = files["reason"].fillna("accepted")
    files["flags"] = files["flags"].map(lambda flags: "" if flags is None else " ".join(flags))
    for name, table in {"outcomes.csv": outcomes(store), "files.csv": files}.items():
        with replacing_text(folder / name) as file:
            table.to_csv(file, index=False, lineterminator="\r\n")  # RFC 4180
    tables = [Table("Outcome of the files", outcomes(store))]
    if len(store):
        images = store.manifest.fillna({"view": "-", "laterality": "-"})
        views = images.groupby(["view", "laterality"]).size().reset_index(name="images")
        tables += [
            Table("Accepted images to look at before training", flag_counts(store)),
            Table("Views", views),
            Table("Devices and windows", devices(store)),
            Table("Splits", splits(store)),
        ]
    grid = f" of {store.sizes[-1]} pixels and {store.bits} bits" if len(store) else ""
    were = "was" if len(store) == 1 else "were"
    counts = f"{counted(len(store), 'image')}{grid} {were} accepted, {counted(len(store.refused), 'file')} refused"
    lead = f"{counts}. Every file is a row of files.csv."
    return write_page(folder / "index.html", "Ingest report", [lead], [Part(tables=tables)], ["files.csv"])
