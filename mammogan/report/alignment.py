"""Sections on the moments of two sets of images: numbers with intervals and ceilings, figures, and words.

A section words one measure, whose table it is given: the notebook computes that table in sight, `mammogan align` in
`moment_sections` and `copies.image_sections`. A new measure is a section and a line there; its words are in words.toml.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.metrics.coverage import COVERAGES, READINGS, pair_scores, support_coverage
from mammogan.metrics.information import QUANTITIES, label_information
from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.metrics.resampling import DIFFERENCE, ResamplingDesign
from mammogan.paper import printed
from mammogan.report import alignment_figures
from mammogan.report.html import Part, Picture, Table
from mammogan.report.numbers import described, filled, words
from mammogan.report.results import Results, Value
from mammogan.report.summary import CHANCE, standing
from mammogan.stats.rank_tests import chance_of_larger
from mammogan.types import ImageStack

ROW = {
    "": ("score", "low", "high"),
    ".ceiling": ("ceiling", "ceiling_low", "ceiling_high"),
    ".ratio": ("ratio", "ratio_low", "ratio_high"),
}  # columns of `resampling.summary` by end of the key
SHIFT_LEVEL = 0.05  # of the five intervals of `rank_tests.chance_of_larger` together (Bonferroni)


@dataclass(frozen=True)
class Comparison:
    """Two sets of images, as far as the sections use them.

    Attributes:
        real, synthetic: (N, 5) moments of all images.
        design: images that are compared, and the draws.
        images: the two sets of images (N, h, w), uint16, in the order of the moments; for sections that use more than
            moments.
        bits: gray levels run from 0 to 2^bits - 1.
        trained: (N,) True for the real images that the generator was trained on; None where that is all of them.
        public: whether real images may be shown.
        known: whether the patients of the real images are known; otherwise each image counts as one of its own.
    """

    real: np.ndarray
    synthetic: np.ndarray
    design: ResamplingDesign
    images: tuple[ImageStack, ImageStack] | None = None
    bits: int = 12
    trained: np.ndarray | None = None
    public: bool = True
    known: bool = True

    @property
    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """Moments of the images compared, (n, 5) each."""
        real, synthetic = self.design.compared
        return self.real[real], self.synthetic[synthetic]

    def moments(self) -> pd.DataFrame:
        """Return the moments of the images compared, one row per image, and its kind."""
        tables = zip(("real", "synthetic"), self.compared, strict=True)
        named = [pd.DataFrame(table, columns=list(MOMENT_NAMES)).assign(kind=kind) for kind, table in tables]
        return pd.concat(named, ignore_index=True)


@dataclass(kw_only=True)
class Section(Part):
    """Part of a report on one measure. The first table is the one to read, a page folds the others.

    Attributes:
        name: name of its files.
        rows: all numbers, for the CSV.
        values: results by key, finite numbers or text.
    """

    name: str
    rows: pd.DataFrame
    values: dict[str, Value] = field(default_factory=dict)

    def table(self, caption: str = "") -> pd.DataFrame:
        """Return the first table whose caption begins with `caption`."""
        return next(table.frame for table in self.tables if table.caption.lower().startswith(caption.lower()))

    def keep(self, results: Results) -> Section:
        """Write numbers, figures and tables of this section to `results`."""
        results.table(self.name, self.rows)
        for picture in self.pictures:
            self.drawn.append(results.figure(picture.name, picture.figure, picture.data))
        results.keep(self.values)
        return self


def worded(
    name: str,
    rows: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, tuple[Figure, pd.DataFrame]],
    values: dict[str, Value],
    **facts: object,
) -> Section:
    """Return a section with its title, text and captions of words.toml.

    Args:
        name, rows: see `Section`.
        tables: tables of text by caption.
        pictures: (figure, numbers that it shows) by name.
        values: results by key; those that are not finite, as a ratio to a ceiling of 0, are left out.
        facts: numbers and names in the words.
    """
    texts = words(name)
    captions = {key: filled(text, **facts) for key, text in texts.get("captions", {}).items()}
    return Section(
        title=texts["title"],
        text=[filled(part, **facts) for part in texts["text"].split("\n\n")],
        tables=[
            Table(caption, table.reset_index(drop=True), folded=number > 0)
            for number, (caption, table) in enumerate(tables.items())
        ],
        pictures=[Picture(key, figure, captions[key], data) for key, (figure, data) in pictures.items()],
        name=name,
        rows=rows,
        values={key: value for key, value in values.items() if value.finite},
    )


def with_interval(estimate: Sequence[float], digits: int) -> str:
    """Return a number and its 95 % interval as text, "undefined" where the number is not finite."""
    value, low, high = estimate
    return f"{value:z.{digits}f} ({low:z.{digits}f} to {high:z.{digits}f})" if math.isfinite(value) else "undefined"


def score_table(
    rows: pd.DataFrame,
    names: list[str],
    digits: int = 3,
    ceiling: str = "ceiling",
    higher: bool | pd.Series = True,
) -> pd.DataFrame:
    """Return score, ceiling and their ratio as text, each with its interval; where one has no ratio, differences, too.

    The column "outside" marks rows that two sets of real images do not have; see `summary.standing`.

    Args:
        rows: table with the columns of `resampling.summary` and of `names`.
        names: columns to keep as they are.
        digits: decimals.
        ceiling: name of the score between real images, which for a distance is not a ceiling.
        higher: whether higher is closer, of all rows or of each.
    """
    estimates = (rows[list(columns)].itertuples(index=False, name=None) for columns in ROW.values())
    score, between, ratio = ([with_interval(estimate, digits) for estimate in column] for column in estimates)
    fewer = [f"{value:.{digits}f}" for value in rows["score_n"]]
    named = {"score": score, f"score, n = {rows['n_ceiling'].iloc[0]}": fewer, ceiling: between}
    named[f"score / {ceiling}"] = ratio
    if "undefined" in ratio:
        named[f"score - {ceiling}"] = [
            with_interval(estimate, digits) for estimate in rows[list(DIFFERENCE)].itertuples(index=False, name=None)
        ]
    return rows[names].assign(**named, outside=outside(rows, higher))


def outside(rows: pd.DataFrame, higher: bool | pd.Series = True) -> list[str]:
    """Return the standing of rows of `resampling.summary`: by the ratio, or by the difference where there is none.

    Args:
        rows: table with the columns of `resampling.summary`.
        higher: whether higher is closer, of all rows or of each.
    """
    better = np.broadcast_to(higher, len(rows))
    marks = []
    for row, upward in zip(rows.to_dict("records"), better, strict=True):
        name, equal = ("ratio", 1.0) if np.isfinite(row["ratio"]) else ("difference", 0.0)
        marks.append(standing((row[f"{name}_low"], row[f"{name}_high"]), equal, bool(upward)))
    return marks


def row_values(key: str, row: Mapping[str, Any], **facts: object) -> dict[str, Value]:
    """Return score, ceiling and ratio of a row of `resampling.summary` by key; words quote the row and the facts."""
    numbers = {f"{key}{end}": [row[name] for name in names] for end, names in ROW.items()}
    return described("alignment", numbers, **row, **facts)


def _with_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the column pair, as "M1, M2", after the columns i and j."""
    rows = rows.copy()
    rows.insert(2, "pair", rows["i"] + ", " + rows["j"])
    return rows


def moments_section(comparison: Comparison) -> Section:
    """Return Figure 3: every image as a point in the space of its five moments."""
    points, design = comparison.moments(), comparison.design
    table = pd.DataFrame({"moment": alignment_figures.MOMENT_LABELS})
    values: dict[str, Value] = {}
    for kind, rows in points.groupby("kind")[list(MOMENT_NAMES)]:
        low, median, high = (rows.quantile(share) for share in (0.25, 0.5, 0.75))
        table[kind] = [f"{median[m]:.4g} ({low[m]:.4g} to {high[m]:.4g})" for m in MOMENT_NAMES]
        values |= described("alignment", {f"median.{m}.{kind}": float(median[m]) for m in MOMENT_NAMES})
    real, synthetic = comparison.compared
    patients = design.groups[design.compared[0]]
    level = 1 - SHIFT_LEVEL / len(MOMENT_NAMES)
    chances = [
        chance_of_larger(of_synthetic, of_real, patients, level)
        for of_real, of_synthetic in zip(real.T, synthetic.T, strict=True)
    ]
    table["chance that synthetic is larger"] = [with_interval(chance, 2) for chance in chances]
    table["outside"] = [standing(chance[1:], CHANCE, higher=None) for chance in chances]
    larger = {f"larger.{m}": chance for m, chance in zip(MOMENT_NAMES, chances, strict=True)}
    levels = {"one": 100 * level, "all": 100 * (1 - SHIFT_LEVEL)}
    values |= described("alignment", larger, **levels)
    pictures = {"moments": (alignment_figures.moment_scatter(*comparison.compared), points)}
    tables = {"Medians and quartiles": table}
    return worded("moments", points, tables, pictures, values, n=design.size, seed=design.seed, **levels)


def table1_section(scores: pd.DataFrame) -> Section:
    """Return Table 1 in four interpretations, from the rows of `coverage.pair_scores`."""
    scores = _with_pairs(scores)
    values: dict[str, Value] = {}
    for reading, rows in scores[scores["ratio"].notna()].groupby("reading", sort=False):
        for end, index in (("lowest", rows["ratio"].idxmin()), ("highest", rows["ratio"].idxmax())):
            row = rows.loc[index]
            number = {f"table1.{reading}.{end}": row[list(ROW[".ratio"])].tolist()}
            values |= described("alignment", number, **row)
    for row in scores.to_dict("records"):
        i, j, reading = row["i"], row["j"], row["reading"]
        values |= row_values(f"scores.{reading}.{i}.{j}", row, meaning=READINGS[reading])
        if reading == "jsd":
            paper = float(printed.TABLE1[MOMENT_NAMES.index(i), MOMENT_NAMES.index(j)])
            number = {f"table1.{i}.{j}": Value(row["score"], (row["low"], row["high"]), paper=paper)}
            values |= described("alignment", number, **row)
    tables = {
        f"{reading}: {meaning}": score_table(scores[scores["reading"] == reading], ["pair"])
        for reading, meaning in READINGS.items()
    }
    pictures = {"table1": (alignment_figures.pair_matrix(scores, printed.TABLE1), scores)}
    return worded("table1", scores, tables, pictures, values)


def table2_section(information: pd.DataFrame) -> Section:
    """Return Table 2, whether one moment can tell real from synthetic, from `information.label_information`."""
    values: dict[str, Value] = {}
    for row in information.to_dict("records"):
        moment, reading = row["moment"], row["reading"]
        facts = {"name": reading.replace("_", " "), "meaning": QUANTITIES[reading]}
        values |= row_values(f"information.{moment}.{reading}", row, **facts)
        if reading == "information":
            paper = float(printed.TABLE2_INFORMATION[MOMENT_NAMES.index(moment)])
            number = {f"table2.{moment}.information": Value(row["score"], (row["low"], row["high"]), paper=paper)}
            values |= described("alignment", number, **row)
    tables = {}
    for reading, meaning in QUANTITIES.items():
        rows = information[information["reading"] == reading]
        table = score_table(rows, ["moment"], 4 if reading == "information" else 2)
        if reading == "information":
            table["chance reaches"] = [f"{value:.4f}" for value in rows["chance"]]
            table["P"] = [f"{value:.3f}" for value in rows["p"]]
        tables[f"{reading.replace('_', ' ').capitalize()}: {meaning}"] = table
    return worded("table2", information, tables, {}, values)


def figure6_section(comparison: Comparison, coverage: pd.DataFrame) -> Section:
    """Return Figure 6, the share of the real support that is covered, from `coverage.support_coverage`."""
    coverage = _with_pairs(coverage)
    values: dict[str, Value] = {}
    tables = {}
    for reading, meaning in reversed(COVERAGES.items()):  # by mass first, which does not depend on the grid
        rows = coverage[coverage["reading"] == reading]
        tables[f"{reading.capitalize()}: {meaning}"] = score_table(rows, ["pair"])
        ends = {"lowest": rows["score"].idxmin(), "highest": rows["score"].idxmax()}
        for (end, index), in_print in zip(ends.items(), printed.COVERAGE, strict=True):
            row = rows.loc[index]
            score, low, high = (100 * row[name] for name in ROW[""])
            number = Value(score, (low, high), paper=100 * in_print if reading == "area" else None)
            key = f"coverage.{reading}.{end}"
            values |= described("alignment", {key: number}, percent=100 * row["ceiling"], **row)
        for row in rows.to_dict("records"):
            values |= row_values(f"support.{reading}.{row['i']}.{row['j']}", row, meaning=meaning)
    pictures = {"support": (alignment_figures.support_contours(*comparison.compared), comparison.moments())}
    return worded("coverage", coverage, tables, pictures, values, n=comparison.design.size)


def moment_sections(comparison: Comparison, permutations: int = 200) -> Iterator[Section]:
    """Yield the sections of the paper's own measures; the P values of Table 2 come from `permutations` each."""
    first, second, design = comparison.real, comparison.synthetic, comparison.design
    yield moments_section(comparison)
    yield table1_section(pair_scores(first, second, design))
    yield table2_section(label_information(first, second, design, permutations=permutations))
    yield figure6_section(comparison, support_coverage(first, second, design))
