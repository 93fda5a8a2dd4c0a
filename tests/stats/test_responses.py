"""The table of responses: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mammogan.errors import TableError
from mammogan.stats.responses import COLUMNS, TRAITS, image_codes, ratings, read_responses


def answers(sessions: int = 3, questions: int = 4) -> pd.DataFrame:
    rows = []
    for s in range(sessions):
        for q in range(1, questions + 1):
            rows.append({
                "session": f"s{s}", "reader": f"r{s}", "question": q, "pair": f"p{s}{q}", "left": f"a{s}{q}",
                "right": f"b{s}{q}", "real_side": "left", "chosen_side": "left" if q % 2 else "right",
                "correct": q % 2, "seconds": 3.25, "confirmed_at": f"2026-01-02T03:04:{q:02d}+00:00",
                "radiologist": "yes" if s else "no", "board_certified": "yes" if s else "",
                "trainee": "no" if s else "",
                "breast_specialist": "yes" if s == 1 else "", "screening": "", "years": 12 if s else "",
                "real_id": "x", "synthetic_id": "y",
            })  # fmt: skip
    return pd.DataFrame(rows)


def read(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    path = folder / "responses.csv"
    table.to_csv(path, index=False)
    return read_responses(path)


def test_read_back_in_order_with_types(tmp_path: Path) -> None:
    shuffled = answers().sample(frac=1, random_state=1)
    table = read(shuffled.assign(note="x"), tmp_path)
    assert list(table) == [*COLUMNS, "note"]
    assert table["question"].tolist() == [1, 2, 3, 4] * 3
    assert table["correct"].tolist() == [1, 0, 1, 0] * 3
    assert table["years"].isna().tolist() == [True] * 4 + [False] * 8
    assert str(table["confirmed_at"].dtype) == "datetime64[ns, UTC]"
    assert table["confirmed_at"].iloc[1].isoformat() == "2026-01-02T03:04:02+00:00"


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("session", "", "session is empty"),
        ("real_side", "up", "real_side is neither left nor right"),
        ("screening", "maybe", "screening is neither yes, no nor empty"),
        ("seconds", "-1", "seconds is not a number of 0 or more"),
        ("seconds", "", "seconds is not a number of 0 or more"),
        ("years", "many", "years is not a number of 0 or more"),
        ("correct", "0", "correct contradicts the sides"),
        ("confirmed_at", "yesterday", "confirmed_at is not a time"),
        ("trainee", "yes", "trainee is yes, but radiologist is not"),
        ("question", "2", "the answer is there twice"),
        ("question", "7", "a question before it has no answer"),
        ("question", "1.5", "question is not a whole number"),
        ("reader", "other", "reader changes within the session"),
        ("years", "3", "years changes within the session"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, column: str, value: str, sentence: str) -> None:
    table = answers().astype(str)
    table.loc[0, column] = value
    with pytest.raises(TableError, match=sentence):
        read(table, tmp_path)


def test_a_trainee_is_not_board_certified(tmp_path: Path) -> None:
    table = answers()
    table.loc[table["session"] == "s1", "trainee"] = "yes"
    with pytest.raises(TableError, match="a trainee is board certified"):
        read(table, tmp_path)


def test_missing_columns_rows_and_files(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no column 'correct'"):
        read(answers().drop(columns="correct"), tmp_path)
    with pytest.raises(TableError, match="no answer"):
        read(answers().iloc[:0], tmp_path)
    with pytest.raises(TableError, match="cannot be read"):
        read_responses(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00" * 9)
    with pytest.raises(TableError):
        read_responses(tmp_path / "binary.csv")


def test_tables_from_elsewhere(tmp_path: Path) -> None:
    few = answers()[["question", "correct", "reader", "years"]].assign(years="", ward="x")
    table = read(few.iloc[1:], tmp_path)  # a question without an answer
    assert list(table) == ["session", "reader", "question", "correct", "ward"]
    assert table["session"].tolist() == table["reader"].tolist()
    for change, sentence in (
        ({"correct": 2}, "correct is neither 0 nor 1"),
        ({"correct": "WAHR?"}, "correct is neither 0, 1, TRUE, FALSE, yes nor no .*'wahr.'"),
        ({"question": 0}, "question is not a number of 1 or more"),
        ({"question": "one"}, "question is not a number of 0 or more"),
        ({"reader": "one"}, "is there twice .tell attempts"),
    ):
        with pytest.raises(TableError, match=sentence):
            read(few.assign(**change), tmp_path)


def test_tables_as_spreadsheets_write_them(tmp_path: Path) -> None:
    plain = read(answers(), tmp_path)
    words = {"yes": "TRUE", "no": "FALSE"}
    excel = answers().astype(str)
    for name in TRAITS:
        excel[name] = excel[name].replace(words)
    excel["correct"] = excel["correct"].replace({"1": "WAHR", "0": "FALSCH"})
    excel["seconds"] = excel["seconds"].str.replace(".", ",")
    excel["reader"] = [f" {code}\u00a0" if row % 2 else code for row, code in enumerate(excel["reader"])]
    excel["chosen_side"] = excel["chosen_side"].str.capitalize()
    for number, (separator, encoding, first) in enumerate(
        ((";", "utf-8-sig", ""), ("\t", "utf-16", ""), (";", "utf-8", "sep=;\r\n"), ("\t", "utf-8", ""))
    ):
        path = tmp_path / f"{number}.csv"
        empty = separator * (len(excel.columns) - 1) + "\r\n"
        text = excel.to_csv(sep=separator, index=False, lineterminator="\r\n")
        path.write_bytes((first + text + empty).encode(encoding))
        pd.testing.assert_frame_equal(read_responses(path), plain)


def test_truth_as_pandas_and_people_write_it(tmp_path: Path) -> None:
    few = answers()[["reader", "question"]]
    right = [True, False, True, False] * 3
    for values in (right, [float(x) for x in right], ["yes" if x else "No" for x in right]):
        assert read(few.assign(correct=values), tmp_path)["correct"].tolist() == [1, 0, 1, 0] * 3


def test_what_is_unclear_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Person;Frage;richtig\na;1;1\n")
    with pytest.raises(TableError, match="separated at semicolons, their columns are 'Person', 'Frage', 'richtig'"):
        read_responses(path)
    for text, seen in (
        ("reader\tquestion\tcorrect\tseconds\na\t1\t1\t1,234\n", "seconds has '1,234'"),
        ("reader;question;correct;seconds\na;1;1;1,5\na;2;1;2.5\n", "seconds has '1,5' and '2.5'"),
        ("reader,question,correct\na,1,maybe\n", "session 'a', question 1.*, correct 'maybe'"),
    ):
        path.write_text(text)
        with pytest.raises(TableError, match=seen):
            read_responses(path)


def single_images() -> pd.DataFrame:
    """Return answers to single images with confidences: images 1 and 2 of both kinds, ids that coincide."""
    table = answers().drop(columns=["pair", "left", "right", "real_side", "chosen_side", "real_id", "synthetic_id"])
    synthetic = table["question"] > 2
    said = (table["correct"] == 1) == synthetic
    return table.assign(
        image=table["session"] + table["question"].astype(str),
        image_id=(table["question"] % 2).astype(str),
        is_synthetic=synthetic.map({True: "yes", False: "no"}),
        answer=said.map({True: "synthetic", False: "real"}),
        confidence=table["question"] + 1,
    )


def test_single_images_and_confidences(tmp_path: Path) -> None:
    table = read(single_images().assign(generator=""), tmp_path)  # a column without any value counts as missing
    assert "generator" not in table
    assert table["confidence"].tolist() == [2, 3, 4, 5] * 3
    spelled = single_images().assign(
        is_synthetic=lambda t: t["is_synthetic"].replace({"yes": "TRUE", "no": "FALSE"}),
        answer=lambda t: t["answer"].str.upper(),
    )
    pd.testing.assert_frame_equal(read(spelled, tmp_path), table)
    assert image_codes(table).tolist()[:4] == ["real 1", "real 0", "synthetic 1", "synthetic 0"]
    rated = ratings(table).sort_values(["reader", "case"], ignore_index=True)
    assert rated["rating"].tolist() == [3, -2, -5, 4] * 3
    assert rated["case"].tolist() == ["real 0", "real 1", "synthetic 0", "synthetic 1"] * 3
    assert rated["positive"].tolist() == [False, False, True, True] * 3
    without = ratings(table.drop(columns="confidence")).sort_values(["reader", "case"])
    assert without["rating"].tolist() == [1, -1, -1, 1] * 3


def test_each_generator_is_a_test_on_the_same_real_images(tmp_path: Path) -> None:
    named = single_images().assign(generator=lambda t: t["question"].map({1: "", 2: "", 3: "A", 4: "B"}))
    rated = ratings(read(named, tmp_path))
    assert rated.groupby(["test", "case"]).size().index.tolist() == [
        ("A", "A synthetic 1"), ("A", "real 0"), ("A", "real 1"),
        ("B", "B synthetic 0"), ("B", "real 0"), ("B", "real 1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("is_synthetic", "perhaps", "is_synthetic is neither yes nor no"),
        ("answer", "fake", "answer is neither real nor synthetic"),
        ("answer", "synthetic", "correct contradicts answer and is_synthetic"),
        ("confidence", "-1", "confidence is not a number of 0 or more"),
        ("confidence", "", "confidence is not a number of 0 or more"),
        ("image_id", " ", "image_id is empty"),
        ("question", "7", "a question before it has no answer"),
    ],
)
def test_impossible_values_of_single_images_are_refused(tmp_path: Path, column: str, value: str, sentence: str) -> None:
    table = single_images().astype(str)
    table.loc[0, column] = value
    with pytest.raises(TableError, match=sentence):
        read(table, tmp_path)


def test_rows_longer_than_the_header_are_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    rows = "".join(f"r{k % 3};{k // 3 + 1};{k % 2};;\r\n" for k in range(9))
    path.write_text("Reader;QUESTION; Correct\r\n" + rows + ";;;;\r\n", encoding="utf-8-sig")
    table = read_responses(path)
    assert table["reader"].tolist() == ["r0"] * 3 + ["r1"] * 3 + ["r2"] * 3
    assert table["correct"].sum() == 4
    # pandas took the first column for names of rows, and question for the reader.
    path.write_text("reader,question,correct\n" + "".join(f"r{k},1,1,1\n" for k in range(4)))
    with pytest.raises(TableError, match=r"Row 2 .* has 4 cells, separated at commas, and the header 3"):
        read_responses(path)
    path.write_text("reader,Reader,question,correct\nr,r,1,1\n")
    with pytest.raises(TableError, match="two columns 'reader'"):
        read_responses(path)


def test_codes_that_look_alike_are_one(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    codes = ["J\u00f6rg", "Jo\u0308rg", "\u200bJ\u00f6rg", "J\u00f6rg\u00a0\ufeff", "J\u00f6rgen"]
    path.write_text(
        "reader,question,correct,seconds\n" + "".join(f"{code},{k},1,\n" for k, code in enumerate(codes, 1)),
        encoding="utf-8",
    )
    assert set(read_responses(path)["reader"]) == {"J\u00f6rg", "J\u00f6rgen"}


def test_a_time_may_be_missing(tmp_path: Path) -> None:
    table = pd.DataFrame({"reader": "r", "question": [1, 2, 3], "correct": 1, "seconds": [2.5, None, 4.0]})
    assert read(table, tmp_path)["seconds"].isna().tolist() == [False, True, False]
