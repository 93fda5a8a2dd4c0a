"""Questions of a session, drawn as a function of the secret seed of the study and the number of the session."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from mammogan.reader_study.design import ReaderStudy

T = TypeVar("T")
Picture = tuple[str, str]  # blinded name, and id in the store
Group = tuple[str, str]  # stratum, and generator; that of real images is empty
REAL = ""
CHECKS = 8  # pictures for attention checks per study
OTHER_SIDE = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Pair:
    """One question: two pictures side by side, by their blinded names."""

    pair: str
    left: str
    right: str
    real_side: str
    real_id: str
    synthetic_id: str
    generator: str = ""
    role: str = "scored"  # or practice, repeat or check
    number: int = 0  # of a scored question, or of the one that is repeated; 1 ... n in the order shown

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pictures, from the left to the right."""
        return self.left, self.right

    @property
    def truth(self) -> str:
        """The right answer."""
        return self.real_side

    def again(self, swapped: bool) -> Pair:
        """Return the question once more, its images on the other sides or not."""
        if not swapped:
            return replace(self, role="repeat")
        return replace(self, left=self.right, right=self.left, real_side=OTHER_SIDE[self.real_side], role="repeat")


@dataclass(frozen=True)
class SingleImage:
    """One question: a picture that is real or synthetic, by its blinded name."""

    image: str
    image_id: str
    is_synthetic: str  # yes or no
    generator: str = ""
    role: str = "scored"
    number: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Name of the picture."""
        return (self.image,)

    @property
    def truth(self) -> str:
        """The right answer."""
        return "synthetic" if self.is_synthetic == "yes" else "real"

    def again(self, swapped: bool) -> SingleImage:
        """Return the question once more."""
        return replace(self, role="repeat")


Question = Pair | SingleImage


def paper_session(study: ReaderStudy, number: int) -> list[Question]:
    """Return the questions of a session as in the paper ("Statistical analyses").

    Images are drawn with replacement from their pools, independently of all else; the real one is at the left with
    probability one half, and the order of the pairs is random.
    """
    rng = np.random.default_rng([study.seed, 2, number])
    draws = [rng.integers(count, size=study.pairs) for count in (len(study.real), len(study.synthetic), 2)]
    pairs = [
        _pair(study.real[real], study.synthetic[synthetic], bool(swapped))
        for real, synthetic, swapped in zip(*draws, strict=True)
    ]
    return [replace(pairs[place], number=turn) for turn, place in enumerate(rng.permutation(study.pairs), 1)]


def _pair(real: Picture, synthetic: Picture, swapped: bool, generator: str = "", role: str = "scored") -> Pair:
    names = (synthetic[0], real[0]) if swapped else (real[0], synthetic[0])
    code = hashlib.sha256(f"{real[0]} {synthetic[0]}".encode()).hexdigest()[:12]
    side = "right" if swapped else "left"
    image = f"{generator}/{synthetic[1]}" if generator else synthetic[1]  # ids of two generators may coincide
    return Pair(code, *names, side, real[1], image, generator, role)


def _spread(rng: np.random.Generator, options: Sequence[T], count: int) -> list[T]:
    """Return `count` options in random order, each as often as any other, or once more."""
    places: list[int] = []
    while len(places) < count:
        places += rng.permutation(len(options)).tolist()
    return [options[place] for place in places[:count]]


@dataclass
class _Session:
    """The drawing of one session by the protocol of its study."""

    study: ReaderStudy
    rng: np.random.Generator
    left: dict[Group, list[Picture]] = field(default_factory=dict)  # not drawn yet, in random order

    def take(self, group: Group) -> Picture:
        """Draw a picture of a group."""
        pool = self.study.groups[group]
        if self.study.protocol.replace:
            return pool[self.rng.integers(len(pool))]
        if not self.left.get(group):
            self.left[group] = _spread(self.rng, pool, len(pool))
        return self.left[group].pop()

    def coin(self) -> bool:
        """Return True or False with probability one half."""
        return bool(self.rng.integers(2))

    def questions(self, count: int, role: str = "scored") -> list[Question]:
        """Draw questions; strata, generators and, of single images, both classes are equally frequent."""
        study, rng = self.study, self.rng
        synthetic = [group for group in study.groups if group[1] != REAL]
        if study.protocol.show == "pairs":
            return [
                _pair(self.take((group[0], REAL)), self.take(group), self.coin(), study.named(group), role)
                for group in _spread(rng, synthetic, count)
            ]
        real = [group for group in study.groups if group[1] == REAL]
        cells = [iter(_spread(rng, groups, count)) for groups in (real, synthetic)]
        kinds = _spread(rng, (0, 1), count)
        questions: list[Question] = []
        for kind in kinds:
            group = next(cells[kind])
            questions.append(SingleImage(*self.take(group), ("no", "yes")[kind], study.named(group), role))
        return questions

    def checks(self) -> list[Question]:
        """Draw attention checks."""
        study, rng = self.study, self.rng
        coarse = _spread(rng, study.checks, study.protocol.checks)
        if study.protocol.show == "images":
            return [SingleImage(*picture, "yes", role="check") for picture in coarse]
        strata = sorted({stratum for stratum, _ in study.groups})
        groups = [(stratum, REAL) for stratum in _spread(rng, strata, len(coarse))]
        return [
            _pair(self.take(group), picture, self.coin(), role="check")
            for group, picture in zip(groups, coarse, strict=True)
        ]


def designed_session(study: ReaderStudy, number: int) -> list[Question]:
    """Return the questions of a session by the protocol of its study, in the order shown.

    Practice comes first. Questions of the first half are repeated in the second; checks are anywhere after the first.
    """
    protocol, count = study.protocol, study.pairs
    rng = np.random.default_rng([study.seed, 4, number])
    session = _Session(study, rng)
    scored = [replace(question, number=turn) for turn, question in enumerate(session.questions(count), 1)]
    half = -(-count // 2)
    placed: list[tuple[float, Question]] = list(enumerate(scored))
    for place in rng.choice(half, protocol.repeats, replace=False):
        placed.append((rng.uniform(half, count), scored[place].again(session.coin())))
    placed += [(rng.uniform(0.5, count), question) for question in session.checks()]
    ordered = [question for _, question in sorted(placed, key=lambda each: each[0])]
    return [*session.questions(protocol.practice, "practice"), *ordered]
