"""`mammogan align REAL A B C`: several generators against the same real images and draws, in one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammogan.atomic import replacing_folder
from mammogan.data.images import Subset
from mammogan.data.pairs import compare_stores, open_pair, patients
from mammogan.data.store import Store
from mammogan.errors import OutputError
from mammogan.metrics.coverage import SCORE_GRID
from mammogan.metrics.density import Binned, Densities, Grid, jensen_shannon
from mammogan.metrics.distances import patches, sliced_wasserstein
from mammogan.metrics.features import ALIKE, Feature, extract, gray_features, standardizer, torchscript_feature
from mammogan.metrics.fidelity import kernel_distance, manifold
from mammogan.metrics.moments import PAIRS, image_moments
from mammogan.metrics.resampling import Measure, ResamplingDesign, Sample, scored
from mammogan.report import fidelity
from mammogan.report.comparison import AlignSettings, align
from mammogan.report.html import Part, Table, write_page
from mammogan.report.numbers import filled, words
from mammogan.report.results import Results, Value
from mammogan.report.summary import DIFFERS, MOST, NOTE, Line, keep_lines
from mammogan.types import ImageStack, Progress, no_progress

# Measures of the ranking by name: True where higher is closer, and decimals.
MEASURES = {
    "gray levels": (True, 3),
    "texture": (False, 1),
    "precision": (True, 3),
    "coverage": (True, 3),
    "KID": (False, 3),
}
Rows = dict[tuple[str, ...], float]  # scores by (measure, generator), differences by (measure, generator, other one)


class Several:
    """Samples of several generators; indexed by rows, each gives its own, so that one draw is of all of them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def __getitem__(self, rows: np.ndarray) -> Several:
        return Several([sample[rows] for sample in self.samples])


def apart(measure: Measure[str], names: Sequence[str]) -> Measure[tuple[str, ...]]:
    """Return a measure of a real sample and `Several`: the score of each generator, and every difference of two.

    Of another real sample, which replaces the generators in a ceiling, all scores are the same.
    """

    def scores(real: Sample, other: Sample) -> Rows:
        if isinstance(other, Several):
            each = dict(zip(names, (measure(real, sample) for sample in other.samples), strict=True))
        else:
            each = dict.fromkeys(names, measure(real, other))
        rows: Rows = {(key, name): value for name, values in each.items() for key, value in values.items()}
        keys = next(iter(each.values()))
        pairs = [(one, two) for one in names for two in names if one != two]
        return rows | {(key, *pair): rows[key, pair[0]] - rows[key, pair[1]] for key in keys for pair in pairs}

    return scores


def _gray_levels(real: Densities, synthetic: Densities) -> dict[str, float]:
    densities = zip(real(PAIRS), synthetic(PAIRS), strict=True)
    return {"gray levels": float(np.mean([1 - np.sqrt(jensen_shannon(p, q)) for p, q in densities]))}


def _texture(real: np.ndarray, synthetic: np.ndarray, seed: int) -> dict[str, float]:
    few = partial(sliced_wasserstein, projections=128, seed=seed)
    levels = [few(real[:, k], synthetic[:, k])["real"] for k in range(real.shape[1])]
    return {"texture": float(np.mean(levels))}


def _features(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    inside = manifold(real, synthetic)
    return {"precision": inside.precision, "coverage": inside.coverage, "KID": kernel_distance(real, synthetic)}


def measured(
    real: ImageStack,
    generators: Mapping[str, ImageStack],
    bits: int,
    design: ResamplingDesign,
    feature: Feature | None = gray_features,
) -> pd.DataFrame:
    """Score several generators on the same real images and draws.

    Args:
        real, generators, bits: images of one size, unsigned integers in 0 ... 2^bits - 1; as many of each generator.
        design: images that are compared, and the draws.
        feature: see `features.extract`; None scores moments alone.

    Returns:
        one row per measure and generator, and per measure and two generators: measure, generator, other ("" for the
        score itself), and the columns of `resampling.scored`, of the difference where there is another.
    """
    names, stacks = list(generators), list(generators.values())
    first, *others = (image_moments(images, bits) for images in (real, *stacks))
    rows, other_rows = design.compared
    grid = Grid.resolving(first[rows], *(table[other_rows] for table in others), count=SCORE_GRID)
    binned = Several([Binned(table, grid) for table in others])
    tables = [scored(Binned(first, grid), binned, apart(_gray_levels, names), design)]
    if feature is not None:
        few = replace(design, draws=min(design.draws, fidelity.DRAWS), splits=min(design.splits, fidelity.DRAWS))
        cut = [np.stack(patches(images, bits, seed=design.seed), 1) for images in (real, *stacks)]
        texture = apart(partial(_texture, seed=design.seed), names)
        tables.append(scored(cut[0], Several(cut[1:]), texture, few))
        raw = [extract(images, bits, feature) for images in (real, *stacks)]
        scale = standardizer(raw[0], ALIKE if feature is gray_features else ())
        tables.append(scored(scale(raw[0]), Several([scale(x) for x in raw[1:]]), apart(_features, names), design))
    table = pd.concat(tables, ignore_index=True)
    keys = [(*key, "")[:3] for key in table.pop("measure")]
    return pd.concat([pd.DataFrame(keys, columns=["measure", "generator", "other"]), table], axis=1)


def ranked(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the generators in order of their mean rank over the measures, from the rows of `measured`.

    Returns:
        one row per generator, the best first: generator, mean_rank, and per measure the name of the measure: score and
        difference from the first one as text, each with its interval; worse: measures by which it is worse than the
        first one beyond the interval.
    """
    alone = scores[scores["other"] == ""].pivot(index="generator", columns="measure", values="score")
    names = [name for name in MEASURES if name in alone]
    signs = pd.Series({name: -1.0 if MEASURES[name][0] else 1.0 for name in names})
    mean = (alone[names] * signs).rank().mean(axis=1)
    order = sorted(mean.index, key=lambda name: (mean[name], name))
    by_key = scores.set_index(["measure", "generator", "other"])
    rows = []
    for generator in order:
        row: dict[str, Any] = {"generator": generator, "mean_rank": f"{mean[generator]:.1f}"}
        worse = []
        for name in names:
            higher, digits = MEASURES[name]
            row[name] = _cell(by_key.loc[name, generator, ""], digits)
            if generator != order[0]:
                difference = by_key.loc[name, generator, order[0]]
                row[name] += f"; {_cell(difference, digits, '+')}"
                worse += [name] if (difference["high"] < 0 if higher else difference["low"] > 0) else []
        rows.append({**row, "outside": f"worse: {', '.join(worse)}" if worse else ""})
    return pd.DataFrame(rows)


def _cell(row: pd.Series, digits: int, sign: str = "") -> str:
    return f"{row['score']:{sign}.{digits}f} ({row['low']:{sign}.{digits}f} to {row['high']:{sign}.{digits}f})"


def rank(
    real: Path,
    generators: Sequence[Path],
    out: Path,
    settings: AlignSettings,
    *,
    progress: Progress = no_progress,
) -> Path:
    """Compare several generators with the same real images, and write their ranking with a report on each.

    Args:
        real, generators: stores, or folders of DICOM files or pictures; see `pairs.open_pair`.
        out: folder to write; generators/NAME holds the report on each.
        settings: settings; as many images are compared as the smallest set has.
        progress: counts files, images and sections.

    Returns:
        report.html.

    Raises:
        OutputError: two generators have one name.
        InputError, ParameterError: see `comparison.align`.
    """
    names = [path.name.removesuffix(".store") for path in generators]
    if len(set(names)) < len(names):
        raise OutputError(f"Two generators have one name ({', '.join(names)}); rename their folders.")
    with replacing_folder(out) as folder:
        parts, stores = folder / "generators", {}
        source: Path = real
        for name, path in zip(names, generators, strict=True):
            opened = open_pair(
                source,
                path,
                parts / name,
                size=settings.size,
                bits=settings.bits,
                workers=settings.workers,
                scheduler=settings.scheduler,
                progress=progress,
            )
            source, stores[name] = opened[0].path, opened[1]
        given = Store.open(source)
        sizes = {name: compare_stores(given, store, settings.size) for name, store in stores.items()}
        size = min(sizes.values())
        n = min(len(given), *(len(store) for store in stores.values()), settings.count or len(given))
        settings = replace(settings, count=n, size=size)
        for name, store in stores.items():
            align(source, store.path, parts / name, settings, progress=progress)
        design = ResamplingDesign(patients(given), n, n, settings.seed, settings.draws, settings.splits)
        stacks = {}
        for name, store in stores.items():  # the images of the report on this generator
            rows = ResamplingDesign(design.groups, len(store), n, settings.seed).compared[1]
            stacks[name] = Subset(store.images(size), rows)
        network = (
            torchscript_feature(settings.feature, channels=settings.channels) if settings.feature else gray_features
        )
        scores = measured(given.images(size), stacks, given.bits, design, None if settings.moments_only else network)
        _write(folder, scores, design)
    return out / "report.html"


def _write(folder: Path, scores: pd.DataFrame, design: ResamplingDesign) -> None:
    """Write the ranking to a folder that holds the report on each generator."""
    table, results = ranked(scores), Results(folder, "alignment")
    results.table("ranking", scores)
    lines, files = [], ["results.json", "data/ranking.csv"]
    first, texts = table.iloc[0], words("ranking")
    worse = int((table["outside"] != "").sum())
    facts = {"n": design.size, "seed": design.seed, "draws": design.draws, "count": len(table)}
    facts |= {"first": first["generator"], "mean": first["mean_rank"], "texture": fidelity.DRAWS}
    facts |= {"worse": worse, "others": len(table) - 1}
    lines.append(Line(DIFFERS if worse else NOTE, filled(texts["first" if worse else "open"], **facts), "ranking"))
    for generator in table["generator"]:
        files.append(f"generators/{generator}/report.html")
        report = json.loads((folder / files[-1]).with_name("results.json").read_text(encoding="utf-8"))
        entry = report["alignment.summary.01"]
        lines.append(Line(entry["label"], f"{generator}: {entry['value']}", files[-1]))
    keep_lines(results, lines[:MOST])
    for place, generator in enumerate(table["generator"], 1):
        results.keep({f"ranking.{place}": Value(generator, label=f"rank {place}")})
    results.save()
    part = Part(texts["heading"], [filled(texts["text"], **facts)], [Table(texts["caption"], table)], name="ranking")
    write_page(folder / "report.html", texts["title"], [], [part], files, lines[:MOST])
