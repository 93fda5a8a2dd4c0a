"""Sessions of a study, and studies that cannot be opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study import needs_viewer

from mammogan.errors import StudyError
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import ReaderStudy

pytestmark = needs_viewer


def test_sessions_are_functions_of_the_seed_and_balanced(
    study: ReaderStudy, stores: tuple[Path, Path], tmp_path: Path
) -> None:
    again = build(*stores, tmp_path / "study", StudySettings(secret=3))
    other = build(*stores, tmp_path / "other", StudySettings(secret=4))
    assert [again.session(n) for n in range(5)] == [study.session(n) for n in range(5)]
    assert [other.session(n) for n in range(5)] != [study.session(n) for n in range(5)]
    pairs = [pair for n in range(400) for pair in study.session(n)]
    assert len(pairs) == 4000
    names = {side: dict(pool) for side, pool in (("real", study.real), ("synthetic", study.synthetic))}
    for pair in pairs[:200]:
        real, synthetic = (pair.left, pair.right) if pair.real_side == "left" else (pair.right, pair.left)
        assert (names["real"][real], names["synthetic"][synthetic]) == (pair.real_id, pair.synthetic_id)
    # Half of the pairs lie either way round, at every position, and each of the 16 images is drawn equally often.
    for chosen, chance in (
        ([p.real_side == "left" for p in pairs], 1 / 2),
        ([p.real_side == "left" for p in pairs[::10]], 1 / 2),
        *(([p.real_id == image for p in pairs], 1 / 16) for image in names["real"].values()),
    ):
        assert abs(np.mean(chosen) - chance) < 4.5 * np.sqrt(chance * (1 - chance) / len(chosen))
    # With replacement: among ten draws of sixteen, most sessions show an image twice.
    repeats = [len({p.real_id for p in study.session(n)}) < 10 for n in range(400)]
    expected = 1 - np.prod(1 - np.arange(10) / 16)
    assert abs(np.mean(repeats) - expected) < 0.05


def test_the_seed_draws_images_and_does_not_tell_the_truth(stores: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = (build(*stores, tmp_path / name, StudySettings(seed=5, pool=8)) for name in ("one", "two"))
    assert sorted(image for _, image in one.real) == sorted(image for _, image in two.real)
    assert not {name for name, _ in one.real} & {name for name, _ in two.real}
    assert [p.real_side for n in range(9) for p in one.session(n)] != [
        p.real_side for n in range(9) for p in two.session(n)
    ]
    assert one.seed > 2**64
    assert ReaderStudy.open(one.folder).session(1) == one.session(1)
    assert one.attempts == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no study in .*; make one with `mammogan study build`"),
        ('{"format": "mammogan-study-0"}', "built by another version"),
        ('{"format": "mammogan-study-1"}', "is damaged"),
        ("[1, 2]", "is damaged"),
        ("{", "is damaged"),
    ],
)
def test_what_is_not_a_study(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(StudyError, match=sentence):
        ReaderStudy.open(tmp_path)
