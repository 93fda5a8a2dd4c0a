"""Stores, pictures and DICOM give the same numbers; sets that differ are refused with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_files import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_stores import make_store, write_pngs

from mammogan.data.pairs import Source, compare_stores, open_pair, patients, require_pairs, view_pairs
from mammogan.data.store import Store
from mammogan.errors import InputError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("pair")
    return make_store(folder / "real", 40, 1), make_store(folder / "synthetic", 20, 2)


def test_pictures_give_the_moments_of_the_store_that_they_came_from(pair: tuple[Store, Store], tmp_path: Path) -> None:
    write_pngs(pair[1], tmp_path / "pngs")
    _, made = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "out")
    np.testing.assert_array_equal(made.images()[:], pair[1].images()[:])
    # Copies count: a generator that draws one image again and again must not be flattered.
    for number in range(3):
        (tmp_path / "pngs" / f"copy{number}.png").write_bytes((tmp_path / "pngs" / "0000.png").read_bytes())
    _, again = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "more")
    assert (len(again), len(again.refused)) == (23, 0)
    # One of another size is refused with a reason, and the others stay.
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(tmp_path / "pngs" / "small.png")
    _, partly = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "partly")
    assert (len(partly), partly.refused["reason"].tolist()) == (23, ["geometry"])


def test_a_folder_is_judged_by_its_images(pair: tuple[Store, Store], tmp_path: Path) -> None:
    write_pngs(pair[1], tmp_path / "pngs")
    (tmp_path / "pngs" / "A_NOTE").write_text("A file without a suffix is not a DICOM file.")
    assert Source.at(tmp_path / "pngs").kind == "pictures"


@pytest.mark.slow
def test_only_the_synthetic_side_may_be_drawn_by_a_program(phantoms: Path, tmp_path: Path) -> None:
    for name in ("0.dcm", "1.png"):
        source = drawn(tmp_path / name)
        for other in {"0.dcm", "1.png"} - {name}:
            (source / other).unlink()
        store = make_store(tmp_path / f"{name}.real", 2, 1, size=(320, 256))
        assert len(open_pair(store.path, source, tmp_path / f"{name}.out")[1]) == 1
        with pytest.raises(InputError, match="1 synthetic"):
            open_pair(source, store.path, tmp_path / f"{name}.wrong")


def test_what_cannot_be_compared_is_refused_with_what_to_do(pair: tuple[Store, Store], tmp_path: Path) -> None:
    write_pngs(pair[1], tmp_path / "pngs", bits=8)
    with pytest.raises(InputError, match=r"8 bits .* compared at 12.*--bits"):
        open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "out")
    _, made = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "fewer", fewer_bits=True)
    gray = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "pngs").glob("*.png"))])
    np.testing.assert_array_equal(made.images()[:], np.rint(gray.astype(float) * 4095 / 255))
    other = make_store(tmp_path / "other", 2, 3, size=(36, 28))
    with pytest.raises(InputError, match=r"36 x 28.*--height"):
        open_pair(pair[0].path, other.path, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image"):
        Source.at(tmp_path / "empty")
    with pytest.raises(InputError, match="There is no folder"):
        Source.at(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bits": 8}, "same --bits"),
        ({"window": "lut:0"}, "same --window"),
        ({"laterality": "left"}, "same --laterality"),
        ({"size": (44, 36)}, "a common size"),
    ],
)
def test_stores_that_look_different_are_refused(tmp_path: Path, change: dict, sentence: str) -> None:
    looks = {"window": "0", "laterality": "keep"}
    one = make_store(tmp_path / "one", 2, 1, **looks)
    other = make_store(tmp_path / "other", 2, 2, **{**looks, **change})
    with pytest.raises(InputError, match=sentence):
        compare_stores(one, other)


def test_sizes(pair: tuple[Store, Store], tmp_path: Path) -> None:
    coarse = make_store(tmp_path / "coarse", 2, 1, size=(20, 16))
    assert compare_stores(pair[0], coarse) == (20, 16)
    assert compare_stores(pair[0], pair[1]) == (40, 32)
    assert compare_stores(pair[0], pair[1], (10, 8)) == (10, 8)
    with pytest.raises(InputError, match="40 x 32"):
        compare_stores(pair[0], coarse, (40, 32))
    assert len(set(patients(pair[0]))) == 20


FACTS = st.tuples(
    st.sampled_from(["p", "q", None]),
    st.sampled_from(["L", "R", None]),
    st.sampled_from(["CC", "MLO", None]),
    st.sampled_from([None, [], ["clips"], ["side", "clips"]]),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(FACTS, max_size=16))
def test_pairs_of_views_are_those_of_a_search_by_hand(rows: list[tuple]) -> None:
    manifest = pd.DataFrame(rows, columns=["patient", "laterality", "view", "flags"], dtype=object)
    table = view_pairs(Store(Path(), 12, [], {}, manifest, manifest[:0]))
    breasts, expected = [row[:3] for row in rows], []
    for number, (patient, side, view, flags) in enumerate(rows):
        mlo = [row for row, facts in enumerate(breasts) if facts == (patient, side, "MLO")]
        known = None not in (patient, side) and view == "CC"
        if not (known and mlo and breasts.index((patient, side, "CC")) == number):
            continue
        if ("side" in (flags or [])) == ("side" in (rows[mlo[0]][3] or [])):
            expected.append((number, mlo[0], patient, side))
    assert list(table.itertuples(index=False, name=None)) == expected
    assert list(table) == ["cc", "mlo", "patient", "laterality"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([(None, "L", "CC"), (None, "L", "MLO")], "the patient of no image is known; ingest both views"),
        ([("p", None, "CC"), ("p", None, "MLO")], "the laterality of no image is known"),
        ([("p", "L", "CC"), ("p", "R", "CC")], "all views are CC"),
        ([("p", "L", "CC"), ("p", "R", "MLO"), ("q", "L", "MLO")], "no CC and MLO are of one patient and one side"),
    ],
)
def test_a_store_without_pairs_of_views_says_why(rows: list[tuple], sentence: str) -> None:
    manifest = pd.DataFrame(rows, columns=["patient", "laterality", "view"], dtype=object).assign(flags=None)
    with pytest.raises(InputError, match=f"no pair of views, since {sentence}"):
        require_pairs(Store(Path("archive"), 12, [], {}, manifest, manifest[:0]))
