"""A reader study: its folder, its pools of pictures, and its sessions as a function of the seed.

Layout of the folder::

    study.json          the secret half, readable by its owner alone: the seed, the protocol, the excluded images with
                        reasons, and the image that each picture shows
    public/             all that a browser may load: the application, study.js, pictures/
    responses.sqlite    the answers, written by `mammogan study serve`
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from mammogan.errors import StudyError, TableError
from mammogan.reader_study.drawing import (
    REAL,
    Group,
    Picture,
    Question,
    designed_session,
    paper_session,
)
from mammogan.reader_study.protocol import StudyProtocol
from mammogan.reader_study.requests import LOOKED
from mammogan.stats.responses import COLUMNS, IMAGE, PAIR

FORMAT = "mammogan-study-1"
SECRET, PUBLIC, PICTURES, RESPONSES = "study.json", "public", "pictures", "responses.sqlite"
PAIR_FACTS = tuple(name for name in PAIR if name != "chosen_side")
IMAGE_FACTS = tuple(name for name in IMAGE if name != "answer")
SYNTHETIC = "synthetic"  # generator of the images of a study with one


@dataclass(frozen=True)
class ReaderStudy:
    """A study that was built."""

    folder: Path
    seed: int  # secret random seed of all sessions: whoever has it can work out the truth
    pairs: int  # scored questions per session
    real: tuple[Picture, ...]  # of each picture of the pool
    synthetic: tuple[Picture, ...]
    title: str  # text for the readers, as is the note
    note: str
    attempts: int = 0  # sessions per reader's code; 0 sets no limit
    idle: float = 0  # seconds without a touch after which a tablet asks whether the reader is still there; 0: never
    summary: tuple[str, ...] = ()  # sentences on the pools, exclusions, size and repeats
    protocol: StudyProtocol = field(default_factory=StudyProtocol)
    checks: tuple[Picture, ...] = ()  # pictures of attention checks
    marks: tuple[Group, ...] = ()  # stratum and generator of the real pictures, then of the synthetic ones

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
            facts = {name: content[name] for name in ("seed", "pairs", "title", "note")}
            facts |= {name: content.get(name, 0) for name in ("attempts", "idle")}  # since later than the format
            facts["summary"] = tuple(content.get("summary", ()))
            facts["protocol"] = StudyProtocol.of(content.get("protocol", {}), folder)
            pools = content["pools"]
            real, synthetic, checks = (
                tuple((picture["name"], picture["id"]) for picture in pools.get(name, ()))
                for name in ("real", "synthetic", "checks")
            )
            marks = tuple(
                (picture.get("stratum", ""), picture.get("generator", generator))
                for name, generator in (("real", REAL), ("synthetic", SYNTHETIC))
                for picture in pools[name]
            )
            return cls(folder=folder, real=real, synthetic=synthetic, checks=checks, marks=marks, **facts)
        except OSError as error:
            why = f"There is no study in {folder} ({error.strerror})"
            raise StudyError(f"{why}; make one with `mammogan study build`.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StudyError(f"{folder / SECRET} is damaged; restore a copy or build the study again.") from None

    @cached_property
    def id(self) -> str:
        """Public fingerprint of the study: in the browser, with the responses and in their export."""
        facts: tuple[object, ...] = (self.seed, self.pairs, self.real, self.synthetic)
        if self.designed:
            facts += (self.protocol.drawing, self.checks, self.marks)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    @cached_property
    def groups(self) -> dict[Group, list[Picture]]:
        """Pictures by stratum and generator."""
        groups: dict[Group, list[Picture]] = {}
        for picture, mark in zip((*self.real, *self.synthetic), self.marks, strict=True):
            groups.setdefault(mark, []).append(picture)
        return groups

    @cached_property
    def generators(self) -> tuple[str, ...]:
        """Names of the generators."""
        return tuple(sorted({generator for _, generator in self.marks} - {REAL}))

    def named(self, group: Group) -> str:
        """Return the generator of a group where the study has several, else nothing."""
        return group[1] if len(self.generators) > 1 else ""

    @property
    def designed(self) -> bool:
        """True if sessions are drawn in another way than in the paper."""
        return bool(self.protocol.drawing) or len(self.generators) > 1

    @property
    def questions(self) -> int:
        """Questions of a session, those that are not scored included."""
        return self.pairs + self.protocol.practice + self.protocol.repeats + self.protocol.checks

    def session(self, number: int) -> list[Question]:
        """Return the questions of a session in the order shown, a function of (seed, number)."""
        return designed_session(self, number) if self.designed else paper_session(self, number)

    @property
    def facts(self) -> tuple[str, ...]:
        """Columns of the table of answers that the drawing of a session determines."""
        return IMAGE_FACTS if self.protocol.show == "images" else PAIR_FACTS

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table of answers, see `mammogan.stats.responses` for most."""
        protocol = self.protocol
        names = [name for name in COLUMNS if protocol.show == "pairs" or name not in PAIR]
        if protocol.show == "images":
            names[3:3] = IMAGE
        names += ["generator"] if len(self.generators) > 1 else []
        names += ["confidence"] if protocol.confidence else []
        names += [name for name in protocol.questionnaire.columns if name not in names]
        names += ["started_at", "received_at", "complete", "tablet", "device", "screen", *sorted(LOOKED)]
        names += ["consent_version", "consented_at"] if protocol.consent else []
        names += ["display_dark", "display_bright"] if protocol.display else []
        names += ["comment"] if protocol.comments else []
        names += ["again_answer", "again_seconds"] if protocol.repeats else []
        names += ["again_confidence"] if protocol.repeats and protocol.confidence else []
        names += ["checks_answered", "checks_right"] if protocol.checks else []
        return (*names, "study")

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
        columns = list(self.facts)
        if missing := {"session", *columns} - set(table):
            raise TableError(f"The responses have no column {min(missing)!r}; give the CSV that the study exported.")
        for name, rows in table[table["session"].str.fullmatch("S[0-9]+")].groupby("session"):
            scored = [vars(question) for question in self.session(int(name[1:])) if question.role == "scored"]
            truth = pd.DataFrame(scored, index=range(1, self.pairs + 1))
            if not rows.set_index("question")[columns].equals(truth.reindex(rows["question"])[columns]):
                raise TableError(f"{sentence}: the images of session {name} are others there.")
