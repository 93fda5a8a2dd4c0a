"""Chapter on the paper's future work: what the tables of `mammogan pairs` and `mammogan utility` say, in sentences."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mammogan.errors import InputError
from mammogan.metrics.utility import ARMS
from mammogan.report import kept
from mammogan.report.numbers import filled, words

REPORTS = {  # the report that writes each table, and its columns of texts and of numbers
    "agreement": ("pairs", ("measure", "set"), ("pairs", "AUC", "low", "high")),
    "scores": ("utility", ("classifier", "arm", "score"), ("real", "value", "low", "high")),
    "gains": ("utility", ("classifier", "arm"), ("real", "gain", "low", "high")),
}


def kept_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of the reports that a reference keeps in FOLDER/pairs and FOLDER/utility, empty ones of others.

    Raises:
        InputError: there is none of them, or a file is damaged.
    """
    tables = {}
    for name, (report, texts, numbers) in REPORTS.items():
        path = folder / report / "data" / f"{name}.csv"
        there = path.is_file()
        tables[name] = kept.table(path, numbers, texts) if there else pd.DataFrame(columns=[*texts, *numbers])
    if all(table.empty for table in tables.values()):
        raise InputError(f"There is no report below {folder}; write one with mammogan pairs or mammogan utility.")
    sets = tables["agreement"]["set"].astype(str)
    # A report on one set alone is on real pairs.
    name = "synthetic" if sets.str.startswith("real").any() else "real"
    tables["agreement"]["set"] = sets.str.replace("^set", name, regex=True)
    return tables


def kept_facts(folder: Path) -> dict[str, object]:
    """Return what a kept report on classifiers says of itself, "label" and "seeds"; "none" where there is none.

    Raises:
        InputError: its file is damaged.
    """
    path = folder / "utility" / "results.json"
    results = kept.facts(path) if path.is_file() else {}
    with kept.reading(path):
        said = {name: results.get(f"utility.{name}", {}).get("value", "none") for name in ("label", "seeds")}
        if wrong := [name for name, value in said.items() if not isinstance(value, str | int)]:
            raise TypeError(f"utility.{wrong[0]} is neither a text nor a whole number")
        return said


def said_of_pairs(rows: pd.DataFrame) -> dict[str, str]:
    """Return a sentence on the pairs of each set, "real" and "synthetic", from `views.agreement_rows`."""
    said, sentences = words("future")["pairs"], {}
    for name in ("real", "synthetic"):
        true = rows[rows["set"] == name]
        if true.empty:
            sentences[name] = filled(said["missing"], name=name)
            continue
        best = true.loc[true["AUC"].idxmax()]
        sentences[name] = filled(
            said["measured"],
            name=name,
            pairs=int(true["pairs"].max()),
            above=int((true["low"] > 0.5).sum()),
            measures=len(true),
            best=best["measure"],
            **{key.lower(): f"{best[key]:.2f}" for key in ("AUC", "low", "high")},
        )
    return sentences


def said_of_gains(gains: pd.DataFrame) -> dict[str, str]:
    """Return sentences on the gains of classifiers: by synthetic images, by classical changes, by more real images."""
    said = words("future")["gains"]
    of = gains["arm"].map(lambda arm: arm.split(",")[0])
    groups = {
        "synthetic": gains[of == "real and synthetic"],
        "alone": gains[of == "synthetic alone"],
        "classical": gains[gains["arm"] == next(name for name, arm in ARMS.items() if arm.classical)],
        "more": gains[~gains["arm"].isin(list(ARMS))],
    }
    sentences = {}
    for name, rows in groups.items():
        if rows.empty:
            sentences[name] = filled(said["missing"], name=said["names"][name])
            continue
        facts = {"comparisons": len(rows), "better": int((rows["low"] > 0).sum())}
        facts["worse"] = int((rows["high"] < 0).sum())
        ends = {"lowest": f"{rows['gain'].min():+.2f}", "highest": f"{rows['gain'].max():+.2f}"}
        sentences[name] = filled(said["measured"], name=said["names"][name], **facts, **ends)
    return sentences
