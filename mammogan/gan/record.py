"""The folder of a run and its config.json: settings, store, what was changed on the way; one process at a time."""

from __future__ import annotations

import json
import logging
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammogan import atomic
from mammogan.data.store import Store, check_growth
from mammogan.errors import RunError
from mammogan.gan import checkpoints, distributed
from mammogan.gan.config import CHANGEABLE, CONDITIONS, MOST_VALUES, Config
from mammogan.gan.dataset import rows_of

NOISY = ("learning_rate", "precision")  # changed settings that may make gradients finite again
QUIET = ("micro", "checkpoint_images", "checkpoint_minutes", "sample_images")  # changes that no history records
log = logging.getLogger(__name__)


class Lock:
    """A lock on the folder of a run, held while the object lives; RunError if another process has it."""

    def __init__(self, folder: Path) -> None:
        with atomic.writing(folder):
            file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        weakref.finalize(self, os.close, file)
        atomic.lock(file, RunError(f"Another process trains {folder}; wait for it or stop it."))


_locks: weakref.WeakValueDictionary[Path, Lock] = weakref.WeakValueDictionary()


def lock(folder: Path) -> Lock:
    """Return the lock on a folder; several runs that one process opens in it share theirs."""
    key = folder.resolve()
    if key not in _locks:
        held = Lock(folder)
        _locks[key] = held
    return _locks[key]


@dataclass
class Record:
    """What config.json states of a run.

    Attributes:
        folder: folder of the run.
        config: settings, with values for each level.
        store: fingerprint of the store.
        bits: bits of the gray levels.
        history: changes of settings, each {"images": images seen, "changed": {name: [before, after]}}.
        changes: what differs now from the last time the run was continued, {name: (before, after)}.
    """

    folder: Path
    config: Config
    store: str
    bits: int
    history: list[dict[str, Any]]
    changes: dict[str, tuple[object, object]]

    @classmethod
    def read(cls, folder: Path, config: Config, store: Store) -> Record:
        """Compare the settings of a run with those that config.json states, if the run exists.

        If config.json is lost or damaged, the newest checkpoint replaces it.

        Raises:
            RunError: the folder holds a run of another store or with other settings, or a copy for publication.
        """
        record = cls(folder, config, store.fingerprint, store.bits, [], {})
        before = record._content()
        if before is None:
            return record
        if "store" not in before:
            raise RunError(f"{folder} is a copy of a run that cannot be continued; give another --out.")
        # A setting that did not exist when the run began has its default.
        began = Config().changed(before["config"])
        old, new = began.at_levels(began.levels).to_dict(), config.to_dict()
        record.changes = {name: (old[name], value) for name, value in new.items() if old[name] != value}
        record.history = before.get("history", [])
        other = [name for name in record.changes if name not in CHANGEABLE]
        if other or before["store"] != store.fingerprint:
            what = f"other settings ({', '.join(other)})" if other else "another store"
            raise RunError(f"{folder} holds a run with {what}; give another --out or delete it.")
        if config.total_images < began.total_images:
            raise RunError(f"{folder} holds a run of {began.total_images} images; total_images may only grow.")
        return record

    def _content(self) -> dict[str, Any] | None:
        path = self.folder / "config.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict) and isinstance(content.get("config"), dict):
                return content
            problem = "holds no settings"
        except FileNotFoundError:
            problem = "is missing"
        except (OSError, ValueError) as error:
            problem = f"cannot be read ({error})"
        if newest := checkpoints.latest(self.folder):
            if not distributed.rank():
                log.warning("%s %s; the settings of the newest checkpoint replace it.", path, problem)
            return {"config": newest.state["config"], "store": newest.state.get("store", self.store)}
        return None

    def write(self, images: int) -> None:
        """Write config.json if it is not up to date; changes are recorded as of `images` images seen."""
        # Changes of a time that the run abandoned, because it went back to an earlier checkpoint, are made here.
        later = [entry["changed"] for entry in self.history if entry["images"] > images]
        changed: dict[str, list[object]] = {}
        for name, (old, new) in (pair for part in (*later, self.changes) for pair in part.items()):
            if name not in QUIET:
                changed[name] = [changed.get(name, [old])[0], new]
        self.history = [entry for entry in self.history if entry["images"] <= images] if images else []
        if changed and images:
            self.history.append({"images": images, "changed": changed})
        content: dict[str, Any] = {"config": self.config.to_dict(), "store": self.store, "bits": self.bits}
        content |= {"history": self.history} if self.history else {}
        path, text = self.folder / "config.json", json.dumps(content, indent=1) + "\n"
        if not path.is_file() or path.read_bytes() != text.encode():
            atomic.write_text(path, text)

    def changed_between(self, start: int, end: int) -> str:
        """Return, as text for the log, what was changed after `start` images at the earliest and before `end`."""
        changed = [
            item for entry in self.history if start <= entry["images"] < end for item in entry["changed"].items()
        ]
        return "; ".join(f"{name}: {_text(old)} -> {_text(new)}" for name, (old, new) in changed)

    @property
    def may_mend_gradients(self) -> bool:
        """A setting was changed on which it depends whether gradients are finite."""
        return any(name in self.changes for name in NOISY)


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def fitted(config: Config, store: Store) -> Config:
    """Return the settings for the levels of a store.

    Raises:
        RunError: the store has too few levels or no pairs, or no image has a fact of `condition`.
        StoreError: the split has no images.
        ParameterError: its sizes do not grow from a small one.
    """
    levels, top = len(store.sizes), store.sizes[-1]
    check_growth(*top)
    if config.levels > levels:
        raise RunError(
            f"The store {store.path} has {levels} levels up to {top[0]} x {top[1]}; set levels={levels}, or ingest at "
            "a larger size."
        )
    numbers = rows_of(store, config.split, config.views)
    if config.augment:
        rows_of(store, "validation", config.views)
    left_out = int(store.in_split(config.split).sum()) - numbers.size
    if left_out and not distributed.rank():
        log.warning("%d images are left out; the other %d are %d pairs.", left_out, numbers.size, len(numbers))
    rows = store.manifest.iloc[numbers[:, 0]]
    return config.conditioned(_conditions(config, rows, store.path)).at_levels(config.levels or levels)


def _conditions(config: Config, rows: pd.DataFrame, path: Path) -> dict[str, tuple[str, ...]]:
    """Return the conditions of a run with the values that images have; RunError if these are none, one or too many."""
    conditions = {}
    for name, stated in config.conditions.items():
        values = stated or tuple(sorted(rows[name].dropna().unique()))
        if not np.isin(rows[name], values).any():
            raise RunError(
                f"No image of {path} has a {name}; ingest with a table that has it, or omit condition={name}."
            )
        if name not in CONDITIONS and not 2 <= len(values) <= MOST_VALUES:
            raise RunError(
                f"The {name} of the images of {path} has {len(values)} values, and a condition has 2 to {MOST_VALUES}; "
                f"omit condition={name}."
            )
        conditions[name] = values
    return conditions
