"""How close two sets of images are, section by section: numbers with intervals and ceilings, figures, and words.

A section is a function of a `Comparison` that returns a `Section`. The notebook shows them one by one, and
`mammogan align` writes all of `SECTIONS` to a folder; a new measure is a function and a line in that tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.metrics.coverage import COVERAGES, READINGS, pair_scores, support_coverage
from mammogan.metrics.information import QUANTITIES, label_information
from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.paper import printed
from mammogan.report import alignment_figures
from mammogan.report.results import Results


@dataclass(frozen=True)
class Comparison:
    """Two sets of images, as far as the sections look at them.

    Attributes:
        real, synthetic: (N, 5) moments of all images at hand.
        plan: which of them are compared, and the draws.
        permutations: behind each P value.
        images: the two sets of images (N, h, w), uint16, in the order of the moments; for sections that look at more
            than moments. Arrays or Zarr arrays.
        bits: gray levels run from 0 to 2^bits - 1.
        trained: (N,) True for the real images that the generator was trained on; None where that is all of them.
        public: real images may be shown.
    """

    real: np.ndarray
    synthetic: np.ndarray
    plan: ResamplingDesign
    permutations: int = 200
    images: tuple[Any, Any] | None = None
    bits: int = 12
    trained: np.ndarray | None = None
    public: bool = True

    @property
    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """Moments of the images compared, (n, 5) each."""
        real, synthetic = self.plan.compared
        return self.real[real], self.synthetic[synthetic]


@dataclass
class Section:
    """What one measure says.

    Attributes:
        name: part of every key and file name.
        title: heading.
        text: what the measure is and how to read it, a paragraph each.
        rows: all numbers, for the CSV.
        tables: (caption, table of text) to show; the first is the one to read first.
        pictures: (name, figure, caption, data behind it).
        values: arguments of `Results.value` by key.
    """

    name: str
    title: str
    text: tuple[str, ...]
    rows: pd.DataFrame
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    pictures: list[tuple[str, Figure, str, pd.DataFrame]] = field(default_factory=list)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for _, figure, _, _ in self.pictures:
            plt.close(figure)  # shown where it is asked for, and nowhere else

    @property
    def figure(self) -> Figure:
        """The first picture."""
        return self.pictures[0][1]

    def table(self, caption: str = "") -> pd.DataFrame:
        """The first table whose caption begins so."""
        return next(table for title, table in self.tables if title.lower().startswith(caption.lower()))

    @property
    def finite(self) -> dict[str, dict[str, Any]]:
        """The values that are numbers or text: a ratio to a ceiling of 0 is neither."""
        return {
            key: entry
            for key, entry in self.values.items()
            if isinstance(entry["value"], str) or np.isfinite(entry["value"])
        }

    def keep(self, results: Results) -> Section:
        """Write numbers, figures and tables of this section to `results`."""
        results.table(self.name, self.rows)
        for name, figure, _, data in self.pictures:
            results.figure(name, figure, data)
        for key, entry in self.finite.items():
            results.value(key, **entry)
        return self


def paragraphs(text: str) -> tuple[str, ...]:
    """Paragraphs of a text, which blank lines part."""
    return tuple(" ".join(part.split()) for part in text.strip().split("\n\n"))


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """A number and its 95 % interval as text; "undefined" where there is none."""
    if not np.isfinite(value):
        return "undefined"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def shown(rows: pd.DataFrame, names: list[str], digits: int = 3, ceiling: str = "ceiling") -> pd.DataFrame:
    """Rows with the columns of `resampling.summary` as text: score, ceiling and their ratio, each with its interval.

    Args:
        rows: see there, and `names` beside them.
        names: columns to keep as they are.
        digits: behind the point.
        ceiling: what the score between real images is called; of a distance it is no ceiling.
    """
    table = rows[names].copy()

    def column(name: str, low: str, high: str) -> list[str]:
        bounds = rows[[name, low, high]].itertuples(index=False, name=None)
        return [with_interval(value, least, most, digits) for value, least, most in bounds]

    table["score"] = column("score", "low", "high")
    table[f"score, n = {rows['n_ceiling'].iloc[0]}"] = [f"{value:.{digits}f}" for value in rows["score_n"]]
    table[ceiling] = column("ceiling", "ceiling_low", "ceiling_high")
    table[f"score / {ceiling}"] = column("ratio", "ratio_low", "ratio_high")
    return table


def summary_values(key: str, row: Any, label: str, how: str, fmt: str = ".3f") -> dict[str, dict[str, Any]]:
    """Score, ceiling and ratio of one row with the columns of `resampling.summary`, for `Section.values`."""
    kinds = {
        "": ("score", row.low, row.high, how, label),
        ".ceiling": (
            "ceiling",
            row.ceiling_low,
            row.ceiling_high,
            "between two sets of real images",
            f"{label}, ceiling",
        ),
        ".ratio": ("ratio", row.ratio_low, row.ratio_high, "score over ceiling", f"{label}, of its ceiling"),
    }
    return {
        f"{key}{end}": {
            "value": getattr(row, name),
            "interval": (low, high),
            "fmt": fmt if end != ".ratio" else ".3f",
            "label": text,
            "how": f"{why}, n = {row.n if not end else row.n_ceiling}",
        }
        for end, (name, low, high, why, text) in kinds.items()
    }


def moments(comparison: Comparison) -> Section:
    """Figure 3: every image as a point in the space of its five moments."""
    both = moments_table(comparison)
    quartiles = both.groupby("kind")[list(MOMENT_NAMES)].quantile([0.25, 0.5, 0.75]).unstack()
    table = pd.DataFrame(
        {
            "moment": alignment_figures.MOMENT_LABELS,
            **{
                kind: [
                    f"{quartiles.loc[kind, (name, 0.5)]:.4g} "
                    f"({quartiles.loc[kind, (name, 0.25)]:.4g} to {quartiles.loc[kind, (name, 0.75)]:.4g})"
                    for name in MOMENT_NAMES
                ]
                for kind in ("real", "synthetic")
            },
        }
    )
    n, seed = comparison.plan.size, comparison.plan.seed
    caption = f"Moments of {n} real and {n} synthetic images (drawn with seed {seed}); histograms on the diagonal."
    return Section(
        "moments",
        "Figure 3: the moments",
        paragraphs(
            """
            Each image is reduced to five numbers: the mean of its gray levels (black 0, white 1), their variance,
            skewness, kurtosis (3 for a Gaussian) and hyperskewness. They see gray levels and nothing of where those
            lie.
            """
        ),
        both,
        [("Medians and quartiles", table)],
        [("moments", alignment_figures.moment_scatter(*comparison.compared), caption, both)],
    )


def table1(comparison: Comparison) -> Section:
    """Table 1 in four readings, with intervals and ceilings."""
    scores = pair_scores(comparison.real, comparison.synthetic, comparison.plan)
    scores.insert(2, "pair", scores["i"] + ", " + scores["j"])
    values: dict[str, dict[str, Any]] = {}
    for reading in READINGS:
        chosen = scores[scores["reading"] == reading]
        worst, best = chosen.loc[chosen["ratio"].idxmin()], chosen.loc[chosen["ratio"].idxmax()]
        for which, row in (("lowest", worst), ("highest", best)):
            values[f"table1.{reading}.{which}"] = {
                "value": row["ratio"],
                "interval": (row["ratio_low"], row["ratio_high"]),
                "fmt": ".2f",
                "label": f"{which} {reading} over its ceiling",
                "how": f"pair {row['pair']}: {row['score_n']:.3f} against {row['ceiling']:.3f}, n = {row['n_ceiling']}",
            }
    for row in scores.itertuples():
        values |= summary_values(
            f"scores.{row.reading}.{row.i}.{row.j}", row, f"{row.reading}, {row.pair}", READINGS[row.reading]
        )
    for row in scores[scores["reading"] == "jsd"].itertuples():
        in_print = printed.TABLE1[MOMENT_NAMES.index(row.i), MOMENT_NAMES.index(row.j)]
        values[f"table1.{row.i}.{row.j}"] = {
            "value": row.score,
            "interval": (row.low, row.high),
            "fmt": ".3f",
            "paper": float(in_print),
            "label": f"Table 1, {row.i} and {row.j}",
            "how": f"1 - sqrt(JSD), n = {row.n}, ceiling {row.ceiling:.3f} at {row.n_ceiling}; other images, and the "
            "paper's definition is unknown",
        }
    caption = (
        "Scores of each pair of moments over their ceilings, both at the ceiling's number of images; left, as printed."
    )
    return Section(
        "table1",
        "Table 1: one score a pair of moments, in four readings",
        paragraphs(
            """
            The paper prints a score for each pair of moments and does not define it. The first reading, one minus
            the Jensen-Shannon distance of the two kernel densities, comes closest to what is printed, and is the
            one to quote.

            All readings rise with the number of images. The ceiling is the score between real images and other real
            images, at the same number of images: 1 in the last column means as close as real images are to each
            other.
            """
        ),
        scores,
        [
            (f"{reading}: {meaning}", shown(scores[scores["reading"] == reading], ["pair"]))
            for reading, meaning in READINGS.items()
        ],
        [("table1", alignment_figures.pair_matrix(scores, printed.TABLE1), caption, scores)],
        values,
    )


def table2(comparison: Comparison) -> Section:
    """Table 2: can one moment tell real from synthetic?"""
    found = label_information(
        comparison.real, comparison.synthetic, comparison.plan, permutations=comparison.permutations
    )
    values: dict[str, dict[str, Any]] = {}
    for row in found.itertuples():
        index = MOMENT_NAMES.index(row.moment)
        label = f"{row.reading.replace('_', ' ')} of {row.moment}"
        values |= summary_values(f"information.{row.moment}.{row.reading}", row, label, QUANTITIES[row.reading])
        if row.reading == "information":
            values[f"table2.{row.moment}.information"] = {
                "value": row.score,
                "interval": (row.low, row.high),
                "fmt": ".4f",
                "paper": float(printed.TABLE2_INFORMATION[index]),
                "label": f"information of {row.moment}",
                "how": f"n = {row.n}; chance reaches {row.chance:.4f}, P = {row.p:.3f}; other images",
            }
    tables = []
    for reading, meaning in QUANTITIES.items():
        rows = found[found["reading"] == reading]
        table = shown(rows, ["moment"], 4 if reading == "information" else 2)
        if reading == "information":
            table["chance reaches"] = [f"{value:.4f}" for value in rows["chance"]]
            table["P"] = [f"{value:.3f}" for value in rows["p"]]
        tables.append((f"{reading.replace('_', ' ').capitalize()}: {meaning}", table))
    return Section(
        "table2",
        "Table 2: what one moment tells about the label",
        paragraphs(
            """
            The mutual information between a moment and the label real or synthetic, in nats: 0 where the moment
            tells nothing, ln 2 = 0.693 where it tells all. Values below 0 stand as they are: noise makes small
            ones, copies of real images large ones. Chance is the 95th percentile under permuted labels. P counts
            permutations of images one by one, and is too small where a patient has several images.

            The ratio of an information is that of 1 - information / ln 2.
            """
        ),
        found,
        tables,
        [],
        values,
    )


def figure6(comparison: Comparison) -> Section:
    """Figure 6: how much of the real support the synthetic images cover."""
    coverage = support_coverage(comparison.real, comparison.synthetic, comparison.plan)
    coverage.insert(2, "pair", coverage["i"] + ", " + coverage["j"])
    values: dict[str, dict[str, Any]] = {}
    for reading, meaning in COVERAGES.items():
        rows = coverage[coverage["reading"] == reading]
        for which, place, end in (("lowest", rows["score"].idxmin(), 0), ("highest", rows["score"].idxmax(), 1)):
            row = rows.loc[place]
            values[f"coverage.{reading}.{which}"] = {
                "value": 100 * row["score"],
                "interval": (100 * row["low"], 100 * row["high"]),
                "unit": "%",
                "fmt": ".0f",
                "paper": 100 * printed.COVERAGE[end] if reading == "area" else None,
                "label": f"{which} coverage, {reading}",
                "how": f"pair {row['pair']}, n = {row['n']}; ceiling {100 * row['ceiling']:.0f} % at "
                f"{row['n_ceiling']}; other images",
            }
        for entry in rows.itertuples():
            values |= summary_values(
                f"support.{reading}.{entry.i}.{entry.j}", entry, f"coverage by {reading}, {entry.pair}", meaning
            )
    caption = (
        "Ten contours of both densities for each pair of moments, equally spaced from the 95th to the 99.99th "
        f"percentile of the density's values; the 97th drawn strong. n = {comparison.plan.size} a side."
    )
    data = moments_table(comparison)
    return Section(
        "coverage",
        "Figure 6: does one support cover the other?",
        paragraphs(
            """
            Where a generator never draws images of a kind that exists, the real region is left uncovered. By area,
            as the paper has it: the share of the real region at the 97th percentile of the density's values on the
            grid (200 x 200 cells, three bandwidths beyond the range) that the synthetic region covers. It depends
            on the grid's margin.

            By mass, it does not: the share of real mass inside the smallest region that holds 97 % of the synthetic
            mass.
            """
        ),
        coverage,
        [
            (f"{reading.capitalize()}: {meaning}", shown(coverage[coverage["reading"] == reading], ["pair"]))
            for reading, meaning in COVERAGES.items()
        ],
        [("support", alignment_figures.support_contours(*comparison.compared), caption, data)],
        values,
    )


def moments_table(comparison: Comparison) -> pd.DataFrame:
    """Moments of the images compared, one row an image, and its kind."""
    tables = dict(zip(("real", "synthetic"), comparison.compared, strict=True))
    named = [pd.DataFrame(table, columns=list(MOMENT_NAMES)).assign(kind=kind) for kind, table in tables.items()]
    return pd.concat(named, ignore_index=True)


SECTIONS: tuple[Callable[[Comparison], Section], ...] = (moments, table1, table2, figure6)
