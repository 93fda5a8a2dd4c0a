"""Answers of a reader study as the analysis sees them: attempts, traits, and what several answers share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from mammogan.report.numbers import words
from mammogan.stats import proportions
from mammogan.stats.responses import TRAITS, image_codes
from mammogan.types import counted

IMAGES = ("pair", "real_id", "synthetic_id", "image_id")
CLUSTER_NAMES: dict[str, str] = words("study")["clusters"]
TRAIT_NAMES: dict[str, list[str]] = words("study")["traits"]  # {trait: [readers who have it, readers who do not]}


@dataclass
class StudyAnswers:
    """Answers of a study and the settings of their analysis.

    Attributes:
        table: one row per answer: session, reader, question, correct, and any optional columns (`responses.COLUMNS`).
        margin: margin of equivalence with guessing, in rate of right answers, stated beforehand.
        simulations: data sets per Monte Carlo P value.
        seed: random seed.
        note: sentence that every page and caption carries, e.g. that the answers are a reconstruction.
        missing: {analysis that was left out: reason}; sections add to it.
        warnings: assumptions that do not hold, one sentence each; sections add to it.
    """

    table: pd.DataFrame
    margin: float = 0.05
    simulations: int = 2000
    seed: int = 0
    note: str = ""
    missing: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def has(self, *columns: str) -> bool:
        """Return True where every one of these columns holds something."""
        return all(name in self.table and self.table[name].astype(str).str.len().gt(0).any() for name in columns)

    def __post_init__(self) -> None:
        first, kept = self.table.groupby("session").first(), self.sessions.sort_index()
        differ = {
            name: (first[name] - kept[name]).abs() > 1 if name == "years" else first[name] != kept[name]
            for name in (*TRAITS, "years")
            if name in self.table
        }
        for name, rows in differ.items():
            if rows.any():
                who = ", ".join(kept.loc[rows, "reader"].unique())
                self.warnings.append(
                    f"Attempts of one reader state different {name.replace('_', ' ')} ({who}); the first one counts."
                )

    @property
    def sessions(self) -> pd.DataFrame:
        """One row per session: right, answers, reader, first (attempt of its reader), and traits of that attempt."""
        groups = self.table.groupby("session", sort=False)
        traits = {name: (name, "first") for name in (*TRAITS, "years") if name in self.table}
        columns = {"reader": ("reader", "first"), "right": ("correct", "sum"), "answers": ("correct", "size")}
        sessions = groups.agg(**columns, **traits)
        if "confirmed_at" in self.table:
            sessions = sessions.loc[groups["confirmed_at"].min().sort_values(kind="stable").index]
        for name in traits:
            sessions[name] = sessions.groupby("reader")[name].transform(lambda values: values.iloc[0])
        return sessions.assign(first=~sessions["reader"].duplicated())

    @property
    def complete(self) -> pd.DataFrame:
        """Sessions in which every question of the table was answered."""
        sessions = self.sessions
        return sessions[sessions["answers"] == self.table["question"].nunique()]

    @property
    def questions(self) -> int:
        """Questions per attempt: those of complete sessions; where none is complete, the median number of answers."""
        complete, answers = self.complete, self.sessions["answers"]
        return int((complete["answers"] if len(complete) else answers).median())

    @property
    def none_complete(self) -> str:
        """A sentence where no attempt is complete, else nothing."""
        if len(self.complete):
            return ""
        numbers, answers = self.table["question"], self.sessions["answers"]
        span = f"{answers.min()} to {answers.max()}" if answers.nunique() > 1 else f"{answers.min()}"
        return (
            f"No attempt is complete: {counted(numbers.nunique(), 'question')} (numbers {numbers.min()} to "
            f"{numbers.max()}) in all, and {span} in an attempt. An attempt counts as one "
            f"of {counted(self.questions, 'question')}, the median."
        )

    def matrix(self) -> np.ndarray:
        """Return the 0/1 answers, (complete sessions, questions)."""
        wide = self.table.pivot(index="session", columns="question", values="correct")
        return wide.loc[self.complete.index].to_numpy(np.int8)

    @cached_property
    def clusters(self) -> dict[str, np.ndarray]:
        """{factor: (n,) codes} of the readers and images that several answers share."""
        codes = {name: self.table[name].astype(str).to_numpy() for name in ("reader", *IMAGES) if self.has(name)}
        if "image_id" in codes:
            codes["image_id"] = image_codes(self.table).to_numpy()
        factors = {name: code for name, code in codes.items() if 1 < len(np.unique(code)) < 0.9 * len(code)}
        if {"real_id", "synthetic_id"} <= set(factors):
            factors.pop("pair", None)  # the pair is given by its two images
        return factors

    def clustered(
        self, rows: np.ndarray | None = None, names: Iterable[str] | None = None
    ) -> proportions.Clustered | None:
        """Estimate the rate of right answers with readers and images as clusters; None where a factor has one level.

        Args:
            rows: (n,) booleans, the answers that count; None means all.
            names: factors of `clusters`; None means all.
        """
        rows = np.ones(len(self.table), bool) if rows is None else rows
        codes = [self.clusters[name][rows] for name in (self.clusters if names is None else names)]
        try:
            return proportions.clustered(self.table["correct"].to_numpy()[rows], codes, self.margin) if codes else None
        except ValueError:
            return None


def split_by(sessions: pd.DataFrame, trait: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split sessions into those with a trait and those without.

    Readers without are all others where the trait is radiologist, and other radiologists where it is another one.
    """
    yes = sessions[sessions[trait] == "yes"]
    if trait == "radiologist":
        return yes, sessions[sessions[trait] == "no"]
    if trait == "board_certified" and "trainee" in sessions:
        return yes, sessions[sessions["trainee"] == "yes"]
    # Radiologists who are not breast specialists are not asked about screening.
    rest = sessions[sessions[trait] != "yes"]
    return yes, rest[rest["radiologist"] == "yes"] if "radiologist" in sessions else rest


def listed(clusters: Iterable[str]) -> str:
    """Return the names of factors as an enumeration, e.g. "readers and real images"."""
    *others, last = (CLUSTER_NAMES[name] for name in clusters)
    return f"{', '.join(others)} and {last}" if others else last
