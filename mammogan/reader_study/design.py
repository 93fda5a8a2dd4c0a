"""A reader study: its folder, its pools of pictures, and its sessions as a function of the seed.

Layout of the folder::

    study.json          the secret half, readable by its owner alone: the seed, the excluded images with reasons, and
                        the image that each picture shows
    public/             all that a browser may load: the application, study.js, pictures/
    responses.sqlite    the answers, written by `mammogan study serve`
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.errors import StudyError, TableError

FORMAT = "mammogan-study-1"
SECRET, PUBLIC, PICTURES, RESPONSES = "study.json", "public", "pictures", "responses.sqlite"


@dataclass(frozen=True)
class Pair:
    """One question: two pictures side by side, by their blinded names."""

    pair: str
    left: str
    right: str
    real_side: str
    real_id: str
    synthetic_id: str


@dataclass(frozen=True)
class ReaderStudy:
    """A study that was built."""

    folder: Path
    seed: int  # secret random seed of all sessions: whoever has it can work out the truth
    pairs: int  # questions per session
    real: tuple[tuple[str, str], ...]  # blinded name, and id in the store, of each picture of the pool
    synthetic: tuple[tuple[str, str], ...]
    title: str  # text for the readers, as is the note
    note: str
    attempts: int = 0  # sessions per reader's code; 0 sets no limit
    idle: float = 0  # seconds without a touch after which a tablet asks whether the reader is still there; 0: never
    summary: tuple[str, ...] = ()  # sentences on the pools, exclusions, size and repeats

    @classmethod
    def open(cls, folder: str | Path) -> ReaderStudy:
        """Open a study.

        Raises:
            StudyError: the folder holds no study, or one that cannot be read.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / SECRET).read_text(encoding="utf-8"))
            if content.get("format") != FORMAT:
                raise StudyError(f"The study {folder} was built by another version; build it again.")
            real, synthetic = (
                tuple((picture["name"], picture["id"]) for picture in content["pools"][name])
                for name in ("real", "synthetic")
            )
            facts = {name: content[name] for name in ("seed", "pairs", "title", "note")}
            facts |= {name: content.get(name, 0) for name in ("attempts", "idle")}  # since later than the format
            facts["summary"] = tuple(content.get("summary", ()))
            return cls(folder=folder, real=real, synthetic=synthetic, **facts)
        except OSError as error:
            why = f"There is no study in {folder} ({error.strerror})"
            raise StudyError(f"{why}; make one with `mammogan study build`.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StudyError(f"{folder / SECRET} is damaged; restore a copy or build the study again.") from None

    @cached_property
    def id(self) -> str:
        """Public fingerprint of the study: in the browser, with the responses and in their export."""
        return hashlib.sha256(repr((self.seed, self.pairs, self.real, self.synthetic)).encode()).hexdigest()[:12]

    def session(self, number: int) -> list[Pair]:
        """Return the questions of a session, a function of (seed, number).

        Images are drawn with replacement from their pools, independently of all else, as in the paper ("Statistical
        analyses"); the real one is at the left with probability one half, and the order of the pairs is random.
        """
        rng = np.random.default_rng([self.seed, 2, number])
        draws = [rng.integers(count, size=self.pairs) for count in (len(self.real), len(self.synthetic), 2)]
        pairs = []
        for real, synthetic, swapped in zip(*draws, strict=True):
            (real_name, real_id), (synthetic_name, synthetic_id) = self.real[real], self.synthetic[synthetic]
            names = (synthetic_name, real_name) if swapped else (real_name, synthetic_name)
            code = hashlib.sha256(f"{real_name} {synthetic_name}".encode()).hexdigest()[:12]
            pairs.append(Pair(code, *names, "right" if swapped else "left", real_id, synthetic_id))
        return [pairs[position] for position in rng.permutation(self.pairs)]

    def check(self, table: pd.DataFrame) -> None:
        """Check that exported responses are of this study and agree with its truth.

        Args:
            table: responses, see `mammogan.stats.responses.check_responses`.

        Raises:
            TableError: they have another fingerprint, or the images of an answer are not those of its question.
        """
        sentence = f"The responses are not of the study {self.folder}"
        if "study" in table and (table["study"] != self.id).any():
            raise TableError(f"{sentence}; give the study that they were exported from.")
        columns = [field.name for field in fields(Pair)]
        if missing := {"session", *columns} - set(table):
            raise TableError(f"The responses have no column {min(missing)!r}; give the CSV that the study exported.")
        for name, rows in table[table["session"].str.fullmatch("S[0-9]+")].groupby("session"):
            truth = pd.DataFrame(self.session(int(name[1:])), index=range(1, self.pairs + 1))
            if not rows.set_index("question")[columns].equals(truth.reindex(rows["question"])[columns]):
                raise TableError(f"{sentence}: the images of session {name} are others there.")
