"""Options, progress bars and checks that several commands share."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from mammogan.atomic import FolderKind, renewing_folder, sibling, writing
from mammogan.cli.outputs import STORE
from mammogan.errors import OutputError
from mammogan.types import Size

if TYPE_CHECKING:
    from tqdm import tqdm

Force = Annotated[bool, typer.Option("--force", help="Replace output that this command made before.")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Workers = Annotated[int, typer.Option(min=1, help="Number of processes.")]
Device = Annotated[str, typer.Option(help='Device: "cpu", "cuda", "cuda:1"; the best by default.')]
EVERY = 10.0  # seconds between two plain lines
say = partial(print, flush=True)  # a line that a log shows at once


class Bars:
    """A `Progress`, and a context manager: one bar per task on a terminal; elsewhere a plain line now and then."""

    def __init__(self) -> None:
        self.bars: dict[str, tqdm] = {}
        self.last = time.monotonic()

    def __call__(self, task: str, done: int, total: int = 0, note: str = "") -> None:
        """Show the progress of a task, see `mammogan.types.Progress`."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            bar = self.bars.setdefault(task, tqdm(desc=task, total=total or None))
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)
        elif time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            of = f" of {total}" if total else ""
            print(f"{task}: {done}{of} {note}".rstrip(), file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self.bars.values():
            bar.close()


def cost() -> str:
    """Return what this process and its finished children have used: processor time, and the memory of the largest."""
    try:
        import resource
    except ImportError:  # on Windows
        return f"{time.process_time():.0f} s of processor time"
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(each.ru_utime + each.ru_stime for each in used)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return f"{seconds:.0f} s of processor time and {max(each.ru_maxrss for each in used) * unit / 1e9:.2f} GB of memory"


def check_empty(folder: Path) -> None:
    """Refuse a folder that holds something, as output of a command that does not continue."""
    with writing(folder):
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"The folder {folder} is not empty; give another folder.")
        if folder.exists() and folder.samefile(Path.cwd()):  # it is replaced: the shell would be in a deleted folder
            raise OutputError(f"{folder} is the folder in which you work; give another folder.")


@contextmanager
def new_output(
    out: Path, kind: FolderKind, inputs: Iterable[Path | None], force: bool, sets: Mapping[str, Path] | None = None
) -> Iterator[Bars]:
    """Yield the progress bars of a command that writes a folder and does not continue one, see `renewing_folder`.

    Args:
        out: folder to write, absent or empty unless `force` replaces it.
        kind: its kind.
        inputs: files and folders that the command reads; None is skipped.
        force: replace what this command made before.
        sets: images by name; those of a folder are ingested into the store OUT.NAME.store, which is replaced too.
    """
    read = [path for path in inputs if path]
    if not force:
        check_empty(out)
    with ExitStack() as stack:
        stack.enter_context(renewing_folder(out, [kind], read, force))
        for name, source in (sets or {}).items():
            if not (source / "zarr.json").is_file():
                store = sibling(out, f".{name}.store")
                stack.enter_context(renewing_folder(store, STORE, read, force))
        yield stack.enter_context(Bars())


def whole_size(height: int, width: int) -> Size | None:
    """Return the size that --height and --width give together; None without them."""
    if bool(height) != bool(width):
        raise typer.BadParameter("Give both --height and --width, or neither.")
    return Size(height, width) if height else None


def key_values(option: str, given: list[str] | None) -> dict[str, str]:
    """Return the KEY=VALUE texts of a repeatable option as a dictionary."""
    pairs = [text.partition("=") for text in given or []]
    if wrong := [pair[0] for pair in pairs if not pair[1]]:
        raise typer.BadParameter(f"{option} expects KEY=VALUE, not {wrong[0]!r}.")
    return {key: value for key, _, value in pairs}
