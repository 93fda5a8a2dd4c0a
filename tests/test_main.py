"""The command line: exit codes, one sentence for what a user can cause, a traceback for what is a fault of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from dicom_files import as_bytes, phantom

from mammogan.__main__ import app, main
from mammogan.data.store import Store
from mammogan.errors import MammoganError, StoreError, StudyError

Outcome = tuple[int, str, str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Return a function that runs a command in an empty folder and returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()  # nothing can be written below it

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(lambda: app([str(argument) for argument in arguments]))
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("run --profile nope", "There is no profile 'nope'"),
        ("run --data /nowhere", "The folder /nowhere does not exist"),
        ("phantom file/x --count 4", "file/x cannot be written"),
        ("ingest /nowhere --store x", "There is no file or folder /nowhere"),
        ("ingest file --store x --labels /nowhere.csv", "nowhere.csv"),
        ("ingest file --store file/x", "file/x"),
        ("ingest file --store /", "/ is the root of the file system; give another folder"),
        (f"ingest file --store {'x' * 250}", "File name too long"),
        (f"ingest file --store {'x' * 240}", "File name too long"),
        ("phantom / --count 4", "/ is the root of the file system; give another folder"),
        ("train --store /nowhere --run x", "There is no store at /nowhere"),
        ("sample /nowhere --count 3 --out x", "There is no trained generator"),
        ("sample /nowhere --count 3 --seed -1 --out x", "The seed of images to draw must be 0 or more"),
        ("inspect /nowhere --out x", "/nowhere"),
        ("align /nowhere /nowhere --out x", "/nowhere"),
        ("align /nowhere /nowhere --out file", "file cannot be written"),
        ("pairs /nowhere --out x", "/nowhere"),
        ("utility /nowhere /nowhere --label density --out x", "There is no store at /nowhere"),
        ("labels /nowhere labels.csv", "/nowhere"),
        ("study build /nowhere /nowhere --out x", "/nowhere"),
        ("study serve /nowhere", "/nowhere"),
        ("study export /nowhere --out x.csv", "/nowhere"),
        ("study analyse /nowhere.csv --out x", "/nowhere.csv"),
        ("study analyse file --out x", "file"),
    ],
)
def test_what_a_user_causes_is_one_sentence(call: Callable[..., Outcome], arguments: str, sentence: str) -> None:
    code, _, said = call(*arguments.split())
    assert code == 1, said
    assert sentence in said
    assert said.startswith("mammogan: ")
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train --store x --run x --set nokey", "KEY=VALUE"),
        ("sample /nowhere --count 0 --out x", "Invalid value for '--count'"),
        ("study build x x --out y --height 10", "both --height and --width"),
        ("fly", "No such command"),
    ],
)
def test_wrong_usage_is_said_with_another_code(call: Callable[..., Outcome], arguments: str, sentence: str) -> None:
    code, _, said = call(*arguments.split())
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("ingest file --store x", "file"),
        ("ingest file --store x --height 500 --width 400", "500 x 400 pixels halve only down to 125 x 100"),
        ("train --store {store} --run file/x --profile smoke --device cpu", "file/x/checkpoints cannot be written"),
        ("train --store {store} --out x --profile nope", "nope"),
        ("train --store {store} --run x --profile smoke --set speed=9", "speed"),
        ("reference /nowhere --real {store} --out x", "/nowhere"),
        ("inspect {store} --out file/x --count 2", "file/x cannot be written"),
        ("align {store} {store} --out x", "too few patients"),
        ("utility {store} {store} --label wealth --out x", "There is no column 'wealth'"),
        (
            "utility {store} {store} --label finding --positive mass --trained-on nobody --out x",
            "no images in the split 'nobody'",
        ),
        ("train --store {store} --out x --profile smoke --set condition=age", "text in the manifest"),
        ("labels {store} nowhere.csv", "inspection"),
        ("study build {store} {store} --out file/x", "file/x cannot be written"),
        ("study build {store} {store} --out x --labels nowhere.csv", "nowhere.csv"),
        ("study build {store} {store} --out x --exclude nowhere.txt", "nowhere.txt"),
        ("study build {store} {store} --out x --view LATERAL", "No real image is left"),
    ],
)
def test_what_a_user_causes_with_a_store_is_one_sentence(
    call: Callable[..., Outcome], store: Store, arguments: str, sentence: str
) -> None:
    code, _, said = call(*arguments.format(store=store.path).split())
    assert code == 1, said
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"not a network"])
def test_a_feature_network_that_cannot_be_used_is_named(
    call: Callable[..., Outcome], store: Store, tmp_path: Path, content: bytes | None
) -> None:
    if content:
        (tmp_path / "missing.pt").write_bytes(content)
    code, _, said = call("align", store.path, store.path, "--out", "report", "--feature", "missing.pt")
    assert code == 1, said
    assert "missing.pt" in said
    assert len(said.strip().splitlines()) == 1


def test_output_that_exists_is_kept(call: Callable[..., Outcome], store: Store, tmp_path: Path) -> None:
    for command in ("phantom full", f"align {store.path} {store.path} --out full"):
        (tmp_path / "full").mkdir(exist_ok=True)
        (tmp_path / "full" / "mine").touch()
        code, _, said = call(*command.split())
        assert code == 1
        assert "The folder full is not empty" in said


def test_an_ingest_that_accepts_nothing_leaves_its_report(call: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("no image")
    for options in ([], ["--bits", "8"], ["--force"]):
        code, _, said = call("ingest", "in", "--store", "x", *options)
        assert code == 1 and "1 not_dicom" in said and "x.refused.csv names files" in said
        assert "not_dicom" in (tmp_path / "x" / "report" / "outcomes.csv").read_text() or "--force" in options
    assert {path.name for path in tmp_path.iterdir()} == {"file", "in", "x", "x.salt", "x.refused.csv"}


@pytest.mark.parametrize(
    ("error", "code", "last", "trace"),
    [
        (StudyError("The study is odd; mend it."), 1, "mammogan: The study is odd; mend it.", False),
        (KeyboardInterrupt(), 130, "Stopped; the same command continues.", False),
        (ValueError("operands"), 1, "mammogan: this is a fault of the program; please report it", True),
        (FileNotFoundError("x"), 1, "mammogan: this is a fault of the program; please report it", True),
    ],
)
def test_only_errors_of_the_family_are_sentences(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, last: str, trace: bool
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        main(fail)
    said = capsys.readouterr().err
    assert end.value.code == code
    assert said.splitlines()[-1].startswith(last)
    assert ("Traceback" in said) == trace
    assert isinstance(error, MammoganError) or trace or code == 130


def test_an_interrupted_command_says_so(call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "open", interrupt)
    assert call("train", "--store", "x", "--out", "y", "--device", "cpu") == (
        130, "", "Stopped; the same command continues.\n"
    )  # fmt: skip


SPEAKING = """
from mammogan.__main__ import main
from mammogan.cli import shared
shared.EVERY = 0.0  # a line for every file
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ingest_that_is_interrupted_continues(
    call: Callable[..., Outcome], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C reaches every process of the terminal, SIGTERM of a service or a scheduler often the first alone."""
    sources = tmp_path / "in"
    sources.mkdir()
    (sources / "0.dcm").write_bytes(as_bytes(phantom()))
    for copy in range(1, 600):
        os.link(sources / "0.dcm", sources / f"{copy}.dcm")
    command = ["ingest", "in", "--store", "s", "--height", "40", "--width", "32", "--workers", "2"]
    run = subprocess.Popen(
        [sys.executable, "-c", SPEAKING, *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert run.stderr is not None
    assert run.stderr.readline().startswith("files: ")  # children are at work
    (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
    said = run.stderr.read()
    assert run.wait() == 128 + number
    assert said.splitlines()[-1] == "Stopped; the same command continues." and "Traceback" not in said
    with pytest.raises(StoreError, match="is not finished"):
        Store.open(tmp_path / "s")
    code, said, _ = call(*command)
    assert code == 0 and "599  duplicate" in said


def test_the_version_and_the_commands_need_no_large_library() -> None:
    code = (
        "import sys; from mammogan.__main__ import app; "
        "assert not {'torch', 'pandas', 'matplotlib', 'starlette', 'papermill'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_commands_from_phantoms_to_samples(call: Callable[..., Outcome], tmp_path: Path) -> None:
    def good(*arguments: str) -> str:
        code, said, wrong = call(*arguments)
        assert code == 0, wrong
        return said

    assert "8 phantoms" in good("phantom", "phantoms", "--count", "8", "--height", "80", "--width", "64")
    assert call("phantom", "phantoms", "--count", "8")[0] == 1
    assert "8  accepted" in good("ingest", "phantoms", "--store", "store", "--height", "20", "--width", "16")
    settings = ["levels=2", "latent=8", "fmap_max=8", "fmap_base=32", "batches=4", "stable_images=16", "fade_images=16"]
    settings += ["total_images=64"]
    pairs = [word for setting in settings for word in ("--set", setting)]
    assert "64 images seen" in good("train", "--store", "store", "--run", "run", "--device", "cpu", *pairs)
    assert "3 images" in good("sample", "run", "--count", "3", "--out", "png")
    assert len(list((tmp_path / "png").rglob("*.png"))) == 3
    assert torch.is_grad_enabled()


@pytest.mark.slow
def test_answers_below_a_file_cannot_be_written(call: Callable[..., Outcome], tmp_path: Path) -> None:
    rows = [(f"r{reader}", k, (reader * k) % 2) for reader in range(8) for k in range(1, 11)]
    pd.DataFrame(rows, columns=["reader", "question", "correct"]).to_csv(tmp_path / "answers.csv", index=False)
    code, _, said = call("study", "analyse", "answers.csv", "--out", "file/x", "--simulations", "99")
    assert code == 1
    assert "file/x cannot be written" in said


@pytest.mark.parametrize("arguments", [["study", "build", "R", "S", "--title", "\udcff"], ["phantom", "o\udcff"]])
def test_arguments_that_are_not_utf_8_are_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mammogan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1 and "is not UTF-8; write it in UTF-8" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_source_may_have_a_name_that_is_not_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "s\udcff"
    source.mkdir()
    (source / "phantom.dcm").write_bytes(as_bytes(phantom()))
    out = tmp_path / "store"
    monkeypatch.setattr(
        sys, "argv", ["mammogan", "ingest", str(source), "--store", str(out), "--height", "80", "--width", "64"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0, capsys.readouterr().err
    assert len(Store.open(out)) == 1


def test_the_folder_in_which_one_works_may_be_a_store_and_is_not_replaced(
    call: Callable[..., Outcome], store: Store, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for command in ("inspect {0} --count 2", "align {0} {1}", "pairs {1}", "study build {0} {0} --pairs 1"):
        code, _, said = call(*command.format(store.path, phantoms).split(), "--out", ".")
        assert code == 1 and "the folder in which you work; give another folder" in said, said
    for _ in range(2):
        code, _, said = call("ingest", phantoms, "--store", ".", "--height", "40", "--width", "32")
        assert code == 0, said
    assert len(Store.open(tmp_path / "here")) == len(store)
    assert {path.name for path in tmp_path.iterdir()} >= {"here", "here.salt", "here.refused.csv"}


def test_a_list_of_the_user_is_not_replaced(call: Callable[..., Outcome], phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "s.refused.csv").write_text("my own list")
    code, _, said = call("ingest", phantoms, "--store", tmp_path / "s", "--height", "40", "--width", "32")
    assert code == 1 and "s.refused.csv is not a list that this command wrote" in said, said
    assert (tmp_path / "s.refused.csv").read_text() == "my own list"
