"""Pools of a reader study: which images of each set may be drawn, which are excluded and why."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from mammogan.data.pairs import require_pairs
from mammogan.data.store import Store
from mammogan.errors import InputError, StudyError, TableError
from mammogan.reader_study.settings import StudySettings
from mammogan.types import Size, counted

HARMLESS = {"", "none", "no"}  # labels of images without an artifact


def draw_pools(
    stores: dict[str, Store], settings: StudySettings, seed: int
) -> tuple[dict[str, list[int]], list[dict[str, str]], dict[str, list[str]]]:
    """Draw the images of each pool.

    Args:
        stores: sets by name, the real ones first.
        settings: exclusions, view, strata and size of the pools.
        seed: random seed of the choice.

    Returns:
        The positions of each pool in its store, for pairs of views those of the CCs; the record of the images that were
        excluded; and the stratum of each image of each store.

    Raises:
        StudyError: a pool or a stratum of it is empty, a pool is too small, or an id or a label is unknown.
        InputError: a table of labels or a list of exclusions cannot be read, or a set has no pairs of views.
    """
    reasons, by_hand = _exclusions(settings, {image for store in stores.values() for image in store.manifest["id"]})
    strata = {name: _strata(store, settings, name) for name, store in stores.items()}
    members = {name: _members(store, settings) for name, store in stores.items()}
    common = set.intersection(*({strata[name][each[0]] for each in members[name]} for name in stores))
    pools: dict[str, list[int]] = {}
    record = []
    for number, (name, store) in enumerate(stores.items()):
        rows = store.manifest
        views = bool(settings.view) and rows["view"].notna().any()
        kept = []
        for member in members[name]:
            position, images = member[0], [rows["id"][each] for each in member]
            why = [reason for image in images for reason in reasons.get(image, ())]
            if len(member) == 1 and settings.protocol.views == "pair":
                why.append("no other view of the breast")
            if (stratum := strata[name][position]) not in common:
                why.append(f"{stratum} is not in every set")
            if views and rows["view"][position] != settings.view:
                why.append(f"view is not {settings.view}")
            if why:
                reason = "; ".join(dict.fromkeys(why))
                record += [{"set": name, "id": image, "reason": reason} for image in images]
            else:
                kept.append(position)
        if not kept:
            raise StudyError(f"No {name} image is left after the exclusions; loosen them or give more images.")
        if settings.pool > len(kept):
            raise StudyError(f"A pool of {settings.pool} cannot be drawn from {len(kept)} {name} images; choose fewer.")
        if settings.pool:
            rng = np.random.default_rng([seed, 0, number])
            kept = sorted(rng.choice(kept, settings.pool, replace=False).tolist())
        pools[name] = kept
        if missing := common - {strata[name][position] for position in kept}:
            raise StudyError(f"The pool of {name} images has none of {min(missing)}; choose a larger pool.")
        by_hand -= set(rows["id"])
    if by_hand:  # with a typing error, the image that was meant would be shown
        raise StudyError(f"The hand list names {min(by_hand)!r}, which is in neither set; correct it.")
    if not settings.protocol.replace:
        _check_sizes(pools, strata, settings)
    return pools, record, strata


def other_views(store: Store) -> dict[int, int]:
    """Return the position of the MLO of each breast by that of its CC; see `data.pairs.require_pairs`."""
    pairs = require_pairs(store)
    return dict(zip(pairs["cc"], pairs["mlo"], strict=True))


def _members(store: Store, settings: StudySettings) -> list[tuple[int, ...]]:
    """Return the positions of each image, or of both views of a breast; of a breast with one view, that alone."""
    others = other_views(store) if settings.protocol.views == "pair" else {}
    second = set(others.values())
    return [(each, others[each]) if each in others else (each,) for each in range(len(store)) if each not in second]


def _check_sizes(pools: dict[str, list[int]], strata: dict[str, list[str]], settings: StudySettings) -> None:
    """Raise a StudyError if a session may draw more pictures of a stratum of a pool than there are."""
    protocol = settings.protocol
    cells = len({strata["real"][position] for position in pools["real"]})
    generators = len(pools) - 1
    for name, positions in pools.items():
        real = name == "real"
        needed = -(-protocol.checks // cells) if real and protocol.show == "pairs" else 0
        for questions in (settings.pairs, protocol.practice):
            if protocol.show == "images":
                questions, groups = -(-questions // 2), cells * (1 if real else generators)
                needed += -(-questions // groups)
            else:
                each = -(-questions // (cells * generators))
                needed += min(questions, generators * each) if real else each
        for stratum, count in sorted(Counter(strata[name][position] for position in positions).items()):
            if count < needed:
                what = f"{name} images" + (f" of {stratum}" if stratum else "")
                raise StudyError(
                    f"A session without repeats may show {needed} {what}, and the pool has {count}; ask fewer "
                    "questions, give more images, or draw with replacement."
                )


def summary(
    stores: dict[str, Store],
    pools: dict[str, list[int]],
    excluded: list[dict[str, str]],
    size: Size,
    settings: StudySettings,
) -> list[str]:
    """Return sentences on what was built: pools, exclusions by reason, size and repeats.

    Args:
        stores, pools, excluded: see `draw_pools`.
        size: size of the pictures.
        settings: settings of the study.
    """
    lines = []
    distinct = 1.0  # probability that a session shows no picture twice
    for name, store in stores.items():
        reasons = Counter(row["reason"] for row in excluded if row["set"] == name)
        why = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        both = settings.protocol.views == "pair"
        used = 2 * len(pools[name]) if both else len(pools[name])
        breasts = f", both views of {counted(len(pools[name]), 'breast')}," if both else ""
        lines.append(
            f"{used} of {len(store)} {name} images{breasts} {'is' if used == 1 else 'are'} in the pool; "
            f"{counted(reasons.total(), 'is', 'are')} excluded" + (f" ({why})." if why else ".")
        )
        shown = settings.pairs if name == "real" else settings.pairs / (len(stores) - 1)
        shown = -(-shown // (2 if settings.protocol.show == "images" else 1))
        distinct *= float(np.prod(np.clip(1 - np.arange(shown) / len(pools[name]), 0, 1)))
    finest = ", ".join(f"{name} up to {Size(*store.sizes[-1])}" for name, store in stores.items())
    chosen = "as demanded" if settings.size else "the largest size of both sets"
    lines.append(f"Pictures have {size} pixels, {chosen} ({finest}).")
    protocol = settings.protocol
    if protocol.replace:
        lines.append(
            f"Pictures are drawn with replacement: {1 - distinct:.0%} of the sessions of {settings.pairs} "
            f"{protocol.show} show one twice; larger pools make that rarer."
        )
    else:
        lines.append("A session draws no picture twice.")
    more = {name: getattr(protocol, name) for name in ("practice", "repeats", "checks")}
    if any(more.values()):
        counts = ", ".join(f"{name} {count}" for name, count in more.items() if count)
        lines.append(f"A session has {settings.pairs} scored {protocol.show} and, not scored, {counts}.")
    return lines


def _strata(store: Store, settings: StudySettings, name: str) -> list[str]:
    """Return the stratum of each image of a store, as "MLO B"; a value that is not known is "?"."""
    columns = list(settings.protocol.strata)
    for column in columns:
        if column not in store.manifest or store.manifest[column].isna().all():
            sentence = f"The {name} images have no {column}, by which the protocol stratifies"
            raise StudyError(f"{sentence}; give a store that has it, or other strata.")
    rows = store.manifest[columns].astype(object).fillna("?")
    return [" ".join(map(str, row)) for row in rows.to_numpy()]


def _exclusions(settings: StudySettings, images: set[str]) -> tuple[dict[str, list[str]], set[str]]:
    """Return the reasons to exclude images, by id, and the ids that were excluded by hand.

    Raises:
        StudyError: a table of labels names none of the images, or a label to exclude is in no table.
    """
    wanted = {label.casefold() for label in settings.exclude_labels}
    labels: set[str] = set()
    reasons: dict[str, list[str]] = {}
    by_hand = set()
    for path in settings.labels:
        try:
            table = csv.DictReader(_text(path).splitlines())
            rows = list(table)
        except csv.Error as error:
            raise TableError(f"{path} is not a CSV ({error}); give one with the columns id and label.") from None
        if missing := {"id", "label"} - set(table.fieldnames or ()):
            raise TableError(f"{path} has no column {min(missing)!r}; give a CSV with the columns id and label.")
        for row in rows:
            label = (row["label"] or "").strip()
            labels.add(label)
            if label.casefold() in wanted or (not wanted and label.lower() not in HARMLESS):
                reasons.setdefault((row["id"] or "").strip(), []).append(f"label {label}")
        if not images & {(row["id"] or "").strip() for row in rows}:
            raise StudyError(f"{path} names no image of either set; give ids as in the manifest of the store.")
    if missing := wanted - {label.casefold() for label in labels}:
        there = ", ".join(sorted(labels - {""})) or "no label at all"
        raise StudyError(f"The label {min(missing)!r} to exclude is in no table of labels, which have: {there}.")
    for path in settings.exclude:
        for line in _text(path).splitlines():
            image, _, reason = (part.strip() for part in line.partition(","))
            if image and image != "id" and not image.startswith("#"):
                by_hand.add(image)
                reasons.setdefault(image, []).append(f"by hand: {reason}" if reason else "by hand")
    return reasons, by_hand


def _text(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a text file in UTF-8.") from None
