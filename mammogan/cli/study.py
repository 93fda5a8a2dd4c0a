"""Commands of the reader study: build, serve, invite, close, reopen, void, export and analyse."""

from pathlib import Path
from typing import Annotated

import typer

from mammogan.atomic import replacing_folder, replacing_text, writing
from mammogan.cli.outputs import ANALYSIS, STUDY
from mammogan.cli.shared import Force, Seed, new_output, say, whole_size
from mammogan.errors import OutputError, require
from mammogan.types import counted

app = typer.Typer(help="Build, serve and analyze a reader study.", no_args_is_help=True, rich_markup_mode=None)


@app.command("build")
def study_build(
    real: Annotated[Path, typer.Argument(help="Store of real images, or a folder of DICOM files or pictures.")],
    synthetic: Annotated[list[Path], typer.Argument(help="Store of synthetic images, or a folder; one per generator.")],
    out: Annotated[Path, typer.Option(help="Folder of the study to write.")],
    pairs: Annotated[int, typer.Option(min=1, help="Pairs per session.")] = 10,
    pool: Annotated[int, typer.Option(min=0, help="Images of each class to draw from, chosen at random; 0: all.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed of the pools. Names, sides and sessions have a secret seed.")
    ] = None,
    attempts: Annotated[int, typer.Option(min=0, help="Tests that one reader's code may begin; 0: no limit.")] = 3,
    idle: Annotated[float, typer.Option(min=0, help="Seconds without a touch until a tablet asks; 0: never.")] = 180,
    height: Annotated[int, typer.Option(min=0, help="Height of the pictures, pixels; 0: the largest in common.")] = 0,
    width: Annotated[int, typer.Option(min=0, help="Width of the pictures, pixels.")] = 0,
    bits: Annotated[int, typer.Option(min=0, max=16, help="Bits per pixel of folders; 0: those they have.")] = 0,
    view: Annotated[str, typer.Option(help="Use only this view, for example MLO; empty: all views.")] = "",
    labels: Annotated[
        list[Path] | None, typer.Option(help='CSV with the columns id and label; labels other than "none" exclude.')
    ] = None,
    exclude_label: Annotated[list[str] | None, typer.Option(help="Exclude only this label; repeatable.")] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="Text file: per line an id, a comma and the reason.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title that readers see; empty: that of the language.")] = "",
    note: Annotated[str, typer.Option(help="Sentence above the instructions.")] = "",
    protocol: Annotated[
        Path | None, typer.Option(help="YAML file: design, consent, questionnaire, language; see the book.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="No server is needed; the truth is in the page.")] = False,
    force: Force = False,
) -> None:
    """Build a reader study: curated pools, blinded pictures, and the application."""
    from mammogan.reader_study.build import build
    from mammogan.reader_study.design import RESPONSES
    from mammogan.reader_study.protocol import StudyProtocol
    from mammogan.reader_study.settings import StudySettings

    with writing(out):
        if force and (out / RESPONSES).exists():
            raise OutputError(f"{out} holds responses; export them and give another folder.")
    settings = StudySettings(
        pairs=pairs,
        pool=pool,
        seed=seed,
        attempts=attempts,
        idle=idle,
        size=whole_size(height, width),
        bits=bits,
        view=view,
        labels=labels or (),
        exclude_labels=exclude_label or (),
        exclude=exclude or (),
        title=title,
        note=note,
        browser=browser,
        protocol=StudyProtocol.read(protocol) if protocol else StudyProtocol(),
    )
    inputs = (real, *synthetic, *settings.labels, *settings.exclude, protocol)
    with new_output(out, STUDY, inputs, force) as bars:
        study = build(real, synthetic, out, settings, progress=bars)
    for sentence in study.summary:
        print(sentence)
    print(f"The study is {out}")
    print(f"Open {out / 'public' / 'index.html'}" if browser else f"Serve it with: mammogan study serve {out}")


@app.command("serve")
def study_serve(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 admits tablets.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 8000,
    certificate: Annotated[Path | None, typer.Option(help="Certificate (PEM) for HTTPS.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    new_password: Annotated[bool, typer.Option("--new-password", help="Make a new password for /admin.")] = False,
) -> None:
    """Serve a study to browsers. The password of /admin is MAMMOGAN_STUDY_PASSWORD, or one that is printed once."""
    require("study", "starlette", "uvicorn", "httptools", "uvloop", "segno")
    from mammogan.reader_study.server import serve

    serve(folder, host, port, certificate=certificate, key=key, new_password=new_password, echo=say)


@app.command("invite")
def study_invite(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    count: Annotated[int, typer.Option(min=1, max=10000, help="Number of codes.")] = 1,
) -> None:
    """Print codes of invitation, one per line. From the first one on, a test begins only with such a code."""
    from mammogan.reader_study.database import Database
    from mammogan.reader_study.design import ReaderStudy

    for code in Database(ReaderStudy.open(folder)).invite(count):
        print(code)


@app.command("close")
def study_close(folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")]) -> None:
    """Close a study, also while it is served: no test begins, and those that have begun go on."""
    _close(folder, True)


@app.command("reopen")
def study_reopen(folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")]) -> None:
    """Reopen a study that was closed."""
    _close(folder, False)


def _close(folder: Path, close: bool) -> None:
    from mammogan.reader_study.database import Database
    from mammogan.reader_study.design import ReaderStudy

    Database(ReaderStudy.open(folder)).close_study(close)
    print(f"The study {folder} is {'closed' if close else 'open'}")


@app.command("void")
def study_void(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    session: Annotated[str, typer.Argument(help="Name of the session, as S00012.")],
    reason: Annotated[str, typer.Option(help="Reason, which is kept with the responses.")],
) -> None:
    """Void a session, also while the study is served: its answers are kept, and the export leaves them out."""
    from mammogan.reader_study.database import Database
    from mammogan.reader_study.design import ReaderStudy

    Database(ReaderStudy.open(folder)).void(session, reason)
    print(f"{session} is void")


@app.command("export")
def study_export(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    force: Force = False,
) -> None:
    """Write the answers of a study as CSV, one row per answer; also while it is served."""
    from mammogan.reader_study.design import ReaderStudy
    from mammogan.reader_study.export import responses, voids

    if out.exists() and not force:
        raise OutputError(f"{out} exists; give another name.")
    study = ReaderStudy.open(folder)
    table = responses(study)
    header = f"{','.join(table.columns[:3])},".encode()
    with writing(out):
        if out.is_symlink() or (out.exists() and not _begins_with(out, header)):
            raise OutputError(f"{out} is not a table of answers that this command wrote; give another name.")
    with replacing_text(out) as file:
        table.to_csv(file, index=False)
    for session, reason in voids(study).items():
        print(f"left out: {session} ({reason})")
    print(f"{counted(len(table), 'answer')} in {out}")


def _begins_with(path: Path, header: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(header)) == header


@app.command("analyse")
def study_analyse(
    responses: Annotated[Path, typer.Argument(help="CSV, one row per answer: reader, question, correct, and others.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    margin: Annotated[float, typer.Option(help="Margin of equivalence, as a rate of right answers.")] = 0.05,
    simulations: Annotated[int, typer.Option(min=99, help="Simulated data sets per Monte Carlo P value.")] = 2000,
    seed: Seed = 0,
    study: Annotated[Path | None, typer.Option(help="Check that the answers are of the study in this folder.")] = None,
    force: Force = False,
) -> None:
    """Analyze the answers of a reader study: report, numbers, figures and their data."""
    from mammogan.report.reader_answers import StudyAnswers
    from mammogan.report.reader_study import analyse
    from mammogan.stats.responses import read_responses

    table = read_responses(responses)
    if study:
        from mammogan.reader_study.design import ReaderStudy

        ReaderStudy.open(study).check(table)
    answers = StudyAnswers(table, margin, simulations, seed)
    with new_output(out, ANALYSIS, [responses], force) as bars, replacing_folder(out) as folder:
        page = out / analyse(answers, folder, progress=bars).name
    for analysis, reason in answers.missing.items():
        print(f"not done: {analysis} ({reason})")
    for sentence in answers.warnings:
        print(sentence)
    print(f"The report is {page}")
