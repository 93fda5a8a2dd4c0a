"""`mammogan utility`: what are synthetic images worth for training a classifier? Two stores in, report.html out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammogan.atomic import replacing_folder
from mammogan.data.images import Subset
from mammogan.data.manifest import TRAITS
from mammogan.data.pairs import patients, small_size
from mammogan.data.segmentation import oriented
from mammogan.data.store import Store
from mammogan.errors import InputError, ParameterError
from mammogan.metrics.classifiers import Classifier, Labeled
from mammogan.metrics.distances import blocks
from mammogan.metrics.features import centered, extract, mirrored, pixel_features, pixel_size
from mammogan.metrics.memorization import Memorization, audit
from mammogan.metrics.utility import ARMS, BASE, draw_scores, gain_table, predict, rarer, score_table
from mammogan.report import style
from mammogan.report.html import Part, Picture, Table, write_page
from mammogan.report.numbers import Number, described, filled, words
from mammogan.report.results import Results, Value
from mammogan.types import Progress, Size, no_progress

SHORTEST = 16  # pixels of a side: the network halves them four times
MOST_CLASSES = 16
NEARER = 0.05  # share of images that are nearer to the training images than 95 % of unseen ones, by chance


@dataclass(frozen=True)
class UtilitySettings:
    """Settings of `utility`.

    Attributes:
        label: column of both manifests.
        positive: its values that count as positive; () where it has two, and the rarer counts.
        trained_on: split of the real store that the generator was trained on; the other real images are for tests.
        height: tallest images to use, pixels.
        sizes: numbers of real training images, ascending; () means a quarter, half, all, and with the further ones
            two and four times all.
        seeds: seeds per training.
        seed: random seed of intervals and of the search for copies.
    """

    label: str
    positive: tuple[str, ...] = ()
    trained_on: str = "train"
    height: int = 80
    sizes: tuple[int, ...] = ()
    seeds: int = 5
    seed: int = 0


def labels_of(store: Store, settings: UtilitySettings, name: str) -> np.ndarray:
    """Return the label of each image, (n,) text, "" where it is not known.

    Raises:
        InputError: no such column, no label, or as many classes as images.
    """
    if settings.label not in TRAITS:
        raise InputError(f"There is no column {settings.label!r} of text; choose --label from {', '.join(TRAITS)}.")
    values = store.manifest[settings.label].fillna("").to_numpy(str)
    classes = np.unique(values[values != ""])
    if not len(classes):
        raise InputError(
            f"No {name} image of {store.path} has a {settings.label}; ingest with a table that has it, or draw from a "
            f"generator trained with condition={settings.label}."
        )
    known = int((values != "").sum())
    if len(classes) > min(MOST_CLASSES, known // 2):
        raise InputError(
            f"The {settings.label} of {known} {name} images has {len(classes)} classes; choose a --label with fewer."
        )
    return values


def positives(labels: np.ndarray, settings: UtilitySettings) -> tuple[str, ...]:
    """Return the values of the label that count as positive, from those of the real images, (n,).

    Raises:
        InputError: all real images have one label, or it is not clear which values are positive.
    """
    classes, counts = np.unique(labels[labels != ""], return_counts=True)
    listed = ", ".join(classes)
    if len(classes) == 1:
        raise InputError(f"All real images have the {settings.label} {listed}; a classifier needs two classes.")
    if settings.positive:
        if unknown := [value for value in settings.positive if value not in classes]:
            raise InputError(f"No real image has the {settings.label} {unknown[0]!r}; choose --positive from {listed}.")
        if set(classes) <= set(settings.positive):
            raise InputError(f"All values of {settings.label} are positive; leave one of {listed} out of --positive.")
        return settings.positive
    if len(classes) > 2:
        raise InputError(
            f"The {settings.label} has {len(classes)} values ({listed}); name those to tell from the others, as "
            f"--positive {classes[-1]}."
        )
    return (str(classes[counts.argmin()]),)


def labeled(store: Store, size: Size, rows: np.ndarray, labels: np.ndarray, positive: tuple[str, ...]) -> Labeled:
    """Read some images of a store with their labels, the chest wall at the left."""
    pixels = blocks(Subset(store.images(size), rows), store.bits, 64)
    images = np.stack([oriented(gray) for batch in pixels for gray in batch])
    return Labeled(np.ascontiguousarray(images), np.isin(labels[rows], positive), patients(store)[rows])


def search_copies(train: Labeled, tested: Labeled, synthetic: Labeled, seed: int) -> tuple[Memorization, np.ndarray]:
    """Search for copies of training images, and return which synthetic images may be used, (n,).

    Left out is what is nearer to a training image, measured by the distance of that one to its own neighbors, than
    every test image is.
    """
    features = [
        extract((each.images * 255).round().astype(np.uint8), 8, lambda x: pixel_features(centered(x)))
        for each in (train, tested, synthetic)
    ]
    variants = mirrored(pixel_size(*train.images.shape[1:])[0])
    found = audit(
        features[0],
        train.patients,
        features[1],
        features[2],
        held_out_patients=tested.patients,
        variants=variants,
        seed=seed,
    )
    return found, found.synthetic.ratio >= found.held_out.ratio.min()


def curves(table: pd.DataFrame) -> Figure:
    """Draw the AUC of each arm against the number of real images, one panel per classifier, from `score_table`."""
    rows = table[table["score"] == "AUC"]
    names = list(dict.fromkeys(rows["classifier"]))
    figure, axes = plt.subplots(
        1, len(names), figsize=(style.WIDTH, 3.8), sharey=True, squeeze=False, layout="constrained"
    )
    for name, axis in zip(names, axes.flat, strict=True):
        for number, arm in enumerate(ARMS):
            chosen = rows[(rows["classifier"] == name) & (rows["arm"] == arm)].sort_values("real")
            spread = np.abs(chosen[["low", "high"]].to_numpy().T - chosen["value"].to_numpy())
            at = chosen["real"] * 1.03 ** (number - 2)
            axis.errorbar(at, chosen["value"], yerr=spread, marker="o", ms=4, capsize=2, label=arm)
        axis.axhline(0.5, color="0.5", lw=0.8, ls="--")
        axis.set(xscale="log", title=name, xlabel="real training images")
        axis.set_xticks(sizes := sorted(set(rows["real"])), map(str, sizes), minor=False)
        axis.minorticks_off()
    axes[0, 0].set_ylabel("AUC on other patients")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def slug(arm: str) -> str:
    """Return the name of an arm as a part of a key."""
    return re.sub(r"\W+", "_", arm)


@dataclass(frozen=True)
class Utility:
    """What `measure` found: tables of `score_table` and `gain_table`, the audit, and numbers by key."""

    scores: pd.DataFrame
    gains: pd.DataFrame
    copies: Memorization
    facts: dict[str, int | float | str]

    def values(self) -> dict[str, Value]:
        """Return the numbers by key, with their words: those of all real images."""
        numbers: dict[str, Number] = {**self.facts, "authenticity": self.copies.authenticity}
        numbers["nearer"] = self.copies.nearer
        largest = self.scores.loc[self.scores["arm"] != BASE, "real"].max()
        at_most = self.scores[(self.scores["real"] == largest)]
        for row in at_most.itertuples():
            numbers[f"{row.score.lower()}.{row.classifier}.{slug(row.arm)}"] = (row.value, row.low, row.high)
        for row in self.gains[self.gains["real"] == largest].itertuples():
            numbers[f"gain.{row.classifier}.{slug(row.arm)}"] = (row.gain, row.low, row.high)
        for row in self.gains[~self.gains["arm"].isin(list(ARMS))].itertuples():
            numbers[f"more.{row.classifier}.{row.real}.{row.arm.split()[0]}"] = (row.gain, row.low, row.high)
        return described("utility", numbers, n=int(largest))

    @property
    def words(self) -> dict[str, int | float | str]:
        """The facts by names that a text may hold."""
        return {name.replace(".", "_"): fact for name, fact in self.facts.items()}


def within(sizes: Iterable[int], available: int) -> tuple[int, ...]:
    """Return the sizes of training sets that `available` images suffice for; all images if they suffice for none."""
    return tuple(size for size in sizes if size <= available) or (available,)


def measure(
    real: Store,
    synthetic: Store,
    settings: UtilitySettings,
    *,
    more: Store | None = None,
    classifiers: Mapping[str, Classifier] | None = None,
    progress: Progress = no_progress,
) -> Utility:
    """Audit the synthetic images, train all classifiers in all arms, and test them on real images of other patients.

    Args:
        real, synthetic, settings: what is compared, and how.
        more: further real images, of patients that the generator did not see: what more real images are worth.
        classifiers: by name; `CLASSIFIERS` by default.
        progress: counts trainings.

    Raises:
        InputError: the sets or their labels cannot be used.
        ParameterError: too few images.
    """
    size = small_size(real, synthetic, SHORTEST, settings.height)
    texts = labels_of(real, settings, "real")
    positive = positives(texts, settings)
    drawn = labels_of(synthetic, settings, "synthetic")
    in_train = real.in_split(settings.trained_on)
    if not settings.trained_on or in_train.all():
        raise InputError(
            f"All real images of {real.path} are in the split {settings.trained_on!r}; tests need patients that the "
            "generator never saw: name the split that it was trained on with --trained-on."
        )
    known = texts != ""
    train, tested = (
        labeled(real, size, np.flatnonzero(known & which), texts, positive) for which in (in_train, ~in_train)
    )
    made = labeled(synthetic, size, np.flatnonzero(drawn != ""), drawn, positive)
    copies, usable = search_copies(train, tested, made, settings.seed)
    made = Labeled(made.images[usable], made.labels[usable], made.patients[usable])
    seen, further = len(train), 0
    if more is not None:
        texts = labels_of(more, settings, "further")
        added = labeled(more, size, np.flatnonzero(texts != ""), texts, positive)
        train, further = train.joined(added), len(added)
    sizes = settings.sizes or tuple(
        sorted({max(seen // 4, 2), max(seen // 2, 2), seen} | {n * seen for n in (2, 4) if n * seen <= len(train)})
    )
    predictions = predict(
        train, made, tested, sizes, settings.seeds, more=further, classifiers=classifiers, progress=progress
    )
    draws = draw_scores(predictions, settings.seed)
    facts: dict[str, int | float | str] = {
        "label": f"{settings.label} {' or '.join(positive)}",
        "size": str(size),
        "train": seen,
        "further": further,
        "test": len(tested),
        "test.patients": len(set(tested.patients)),
        "test.positive": int(tested.labels.sum()),
        "synthetic": len(made),
        "copies": int((~usable).sum()),
        "seeds": settings.seeds,
    }
    patients = rarer(tested)
    return Utility(score_table(draws, patients), gain_table(draws, patients), copies, facts)


def interval_column(table: pd.DataFrame, name: str, fmt: str) -> pd.DataFrame:
    """Return a table with one text "value (low to high)" in place of the columns `name`, low and high."""
    text = [
        f"{value:{fmt}} ({low:{fmt}} to {high:{fmt}})"
        for value, low, high in table[[name, "low", "high"]].itertuples(index=False)
    ]
    return table.drop(columns=[name, "low", "high"]).assign(**{name: text})


def by_classifier(gains: pd.DataFrame) -> pd.DataFrame:
    """Return gains with their intervals as they are printed, a column for each classifier."""
    text = interval_column(gains, "gain", "+.3f")
    keys = ["real", "arm"]
    wide = text.pivot(index=keys, columns="classifier", values="gain")
    return wide.loc[pd.MultiIndex.from_frame(text[keys].drop_duplicates())].rename_axis(columns=None).reset_index()


def printed(found: Utility) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores with one column per score, and the gains, as they are printed."""
    scores = interval_column(found.scores, "value", ".3f")
    keys = ["classifier", "arm", "real"]
    wide = scores.pivot(index=keys, columns="score", values="value")[list(dict.fromkeys(scores["score"]))].reset_index()
    wide.columns.name = None
    order = wide["arm"].map(list(ARMS).index)
    wide = wide.iloc[np.lexsort((wide["real"], order, wide["classifier"]))].reset_index(drop=True)
    return wide, interval_column(found.gains, "gain", "+.3f")


def utility(
    real: str | Path,
    synthetic: str | Path,
    out: Path,
    settings: UtilitySettings,
    *,
    more: str | Path | None = None,
    progress: Progress = no_progress,
) -> Utility:
    """Measure what synthetic images are worth for training, and write the report as a whole at the end.

    Args:
        real, synthetic: stores; the labels are columns of their manifests.
        out: folder to write.
        settings: settings.
        more: store of further real images, see `measure`.
        progress: counts trainings.

    Raises:
        InputError, ParameterError: see `measure`.
        StoreError: one of the two is not a store, or has no image of the split.
        OutputError: the folder cannot be written.
    """
    if settings.seeds < 1:
        raise ParameterError(f"{settings.seeds} seeds are impossible; choose --seeds 1 or more.")
    further = Store.open(more) if more else None
    found = measure(Store.open(real), Store.open(synthetic), settings, more=further, progress=progress)
    style.apply_style()
    with replacing_folder(out) as folder:
        results = Results(folder, "utility")
        results.keep(found.values())
        results.table("scores", found.scores)
        results.table("gains", found.gains)
        results.figure("curves", figure := curves(found.scores), found.scores)
        results.save()
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        lead = [filled(words("utility")["lead"], **found.words)]
        if found.copies.nearer.low > NEARER:
            lead.append(filled(words("utility")["copied"], **found.copies.nearer._asdict()))
        write_page(folder / "report.html", "What are synthetic images worth?", lead, parts(found, figure), files)
    return found


def parts(found: Utility, figure: Figure) -> list[Part]:
    """Return the sections of the report: scores, gains, and the search for copies."""
    said = words("utility")
    scores, gains = printed(found)
    sections = []
    tables = {"scores": scores, "gains": gains, "copies": found.copies.table()}
    for name, table in tables.items():
        text = [filled(paragraph, base=BASE) for paragraph in said[name]["text"].strip().split("\n\n")]
        pictures = []
        if name == "scores":
            pictures = [Picture("curves", figure, filled(said[name]["caption"], **found.words), found.scores)]
        sections.append(Part(said[name]["title"], text, [Table(said[name]["table"], table)], pictures, name))
    return sections
