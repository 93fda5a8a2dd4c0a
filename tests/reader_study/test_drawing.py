"""Questions of designed sessions: balanced, matched, repeated and checked as the protocol says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.drawing import Pair, SingleImage
from mammogan.reader_study.protocol import StudyProtocol

STRATA, GENERATORS, EACH = ("CC", "MLO"), ("a", "b"), 24


def designed(pairs: int, generators: int = 2, seed: int = 7, **options: object) -> ReaderStudy:
    """Return a study of two strata with 24 images per stratum and set; an image's name tells its set."""
    names = GENERATORS[:generators]
    marks = [(stratum, name) for name in ("", *names) for stratum in STRATA for _ in range(EACH)]
    pictures = [(f"{name or 'real'}-{stratum}-{n}", f"{stratum}-{n}") for n, (stratum, name) in enumerate(marks)]
    coarse = tuple((f"coarse-{n}", f"c{n}") for n in range(8)) if options.get("checks") else ()
    return ReaderStudy(
        folder=Path(), seed=seed, pairs=pairs, title="T", note="", real=tuple(pictures[: 2 * EACH]),
        synthetic=tuple(pictures[2 * EACH :]), checks=coarse, marks=tuple(marks), protocol=StudyProtocol(**options),
    )  # fmt: skip


designs = st.fixed_dictionaries(
    {
        "pairs": st.integers(2, 12),
        "generators": st.integers(1, 2),
        "show": st.sampled_from(["pairs", "images"]),
        "practice": st.integers(0, 3),
        "repeats": st.integers(0, 6),
        "checks": st.integers(0, 4),
        "replace": st.booleans(),
    }
)


@settings(deadline=None)
@given(designs, st.integers(0, 10**6))
def test_every_session_is_as_its_protocol(options: dict, number: int) -> None:
    options["repeats"] = min(options["repeats"], options["pairs"] // 2)
    study = designed(strata=("view",), **options)
    session = study.session(number)
    assert session == study.session(number)
    assert len(session) == study.questions
    by_role = {role: [q for q in session if q.role == role] for role in ("practice", "scored", "repeat", "check")}
    counts = [len(questions) for questions in by_role.values()]
    assert counts == [options[name] for name in ("practice", "pairs", "repeats", "checks")]
    assert session[: options["practice"]] == by_role["practice"]
    assert [question.number for question in by_role["scored"]] == list(range(1, study.pairs + 1))
    # Strata and generators are equally frequent among what is scored, and pairs are of one stratum.
    cells: Counter = Counter()
    for question in by_role["scored"]:
        parts = [name.split("-") for name in question.names]
        synthetic = [part for part in parts if part[0] != "real"]
        assert len({part[1] for part in parts}) == 1
        assert question.generator == (synthetic[0][0] if synthetic and options["generators"] > 1 else "")
        cells[("real" if not synthetic else synthetic[0][0], parts[0][1])] += 1
        if isinstance(question, Pair):
            real = question.left if question.real_side == "left" else question.right
            assert real.startswith("real")
            assert len(synthetic) == 1
        else:
            assert (question.truth == "synthetic") == bool(synthetic)
    possible = 2 * options["generators"] + (2 if options["show"] == "images" else 0)
    if options["show"] == "pairs":
        full = [*cells.values(), *[0] * (possible - len(cells))]
        assert max(full) - min(full) <= 1
    else:
        real = sum(count for (name, _), count in cells.items() if name == "real")
        assert abs(2 * real - study.pairs) <= 1
    # Repeats show the pictures of a question of the first half, later and with at least one question in between.
    for question in by_role["repeat"]:
        first = next(q for q in by_role["scored"] if q.number == question.number)
        assert question.number <= -(-study.pairs // 2)
        assert set(question.names) == set(first.names)
        assert session.index(question) > session.index(first) + (study.pairs > 1)
        assert question.truth in ("left", "right") if isinstance(question, Pair) else question.truth == first.truth
        assert question.generator == first.generator
    assert len({question.number for question in by_role["repeat"]}) == options["repeats"]
    for question in by_role["check"]:
        coarse = [name.startswith("coarse") for name in question.names]
        assert sum(coarse) == 1
        assert question.truth == (
            "synthetic" if isinstance(question, SingleImage) else "right" if coarse[0] else "left"
        )
    if not options["replace"]:
        shown = [name for q in session if q.role != "repeat" for name in q.names if not name.startswith("coarse")]
        assert len(set(shown)) == len(shown)


def test_draws_are_even_over_many_sessions() -> None:
    study = designed(4, show="images", repeats=1, checks=1)
    sessions = [study.session(number) for number in range(600)]
    scored = [q for session in sessions for q in session if q.role == "scored"]
    for share, chance in (
        ([q.truth == "real" for q in scored], 1 / 2),
        ([session[0].role == "check" for session in sessions], 0),
        ([session[-1].role == "repeat" for session in sessions], 0.3),
    ):
        assert abs(sum(share) / len(share) - chance) <= 0.15
    used = Counter(q.image for q in scored)
    assert len(used) == 6 * EACH
    pairs = designed(4, repeats=2)
    swapped = []
    for number in range(300):
        session = pairs.session(number)
        sides = {q.number: q.real_side for q in session if q.role == "scored"}
        swapped += [sides[q.number] != q.real_side for q in session if q.role == "repeat"]
    assert 0.4 < sum(swapped) / len(swapped) < 0.6


def test_the_fingerprint_follows_the_design_and_not_the_texts() -> None:
    plain = designed(4, generators=1)
    assert not plain.designed
    assert replace(plain, protocol=StudyProtocol(confidence=True, comments=True)).id == plain.id
    changed = [designed(4, generators=1, **{name: 1}) for name in ("practice", "repeats", "checks")]
    changed += [designed(4, generators=1, show="images"), designed(4, generators=1, strata=("view",)), designed(4)]
    assert len({study.id for study in (plain, *changed)}) == len(changed) + 1
