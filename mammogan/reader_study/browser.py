"""The application in the browser: its files, and what it may know of a study."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

from mammogan.errors import StudyError
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.pictures import tile_size
from mammogan.report.provenance import ROOT
from mammogan.types import Size

STATIC = Path(__file__).parent / "static"
BROWSER_SESSIONS = 64  # sessions of a study that runs without a server
IMPORT = re.compile(r'^import (?:{[^}]*} from )?"\./([a-z_]+\.js)";\n', re.MULTILINE)


def viewer_files() -> tuple[Path, Path]:
    """Return the script and the license of OpenSeadragon: those in the package, or those of npm in a checkout.

    Raises:
        StudyError: OpenSeadragon is not installed.
    """
    package, checkout = STATIC / "openseadragon", ROOT / "node_modules" / "openseadragon"
    for folder, build in ((package, package), (checkout, checkout / "build" / "openseadragon")):
        if (script := build / "openseadragon.min.js").is_file():
            return script, folder / "LICENSE.txt"
    raise StudyError("OpenSeadragon is missing; run make setup (or npm ci) in the checkout.")


def own_files() -> list[Path]:
    """Return the files of the application itself, without the viewer."""
    return sorted(path for path in STATIC.iterdir() if path.is_file())


def one_script(name: str = "app.js") -> str:
    """Return a module of the application with all that it imports, as one classic script.

    A browser loads no modules from files. Names at the top of a module are therefore unique in the application, and an
    import renames nothing; otherwise the script is refused by the browser, which a test opens it in.
    """
    order: list[str] = []

    def visit(name: str) -> str:
        text = (STATIC / name).read_text(encoding="utf-8")
        before = "".join(visit(found) for found in IMPORT.findall(text) if found not in order)
        order.append(name)
        return before + re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)

    return f'"use strict";\n{visit(name)}'


def write_application(study: ReaderStudy, public: Path, size: Size, browser: bool) -> None:
    """Write the files of the application to the folder `public`, and study.js with what it may know.

    Args:
        study, size: study to show, and the size of its pictures, pixels.
        browser: the application runs without a server; study.js then holds sessions with their truth.
    """
    script, license_text = viewer_files()
    omitted = {".js", ".webmanifest"} if browser else set()
    files = [*(path for path in own_files() if path.suffix not in omitted), script]
    for path in files:
        shutil.copyfile(path, public / path.name)
    if browser:
        page = (STATIC / "index.html").read_text(encoding="utf-8").replace('type="module"', "defer")
        page = re.sub(r'<link rel="manifest".*\n', "", page)
        (public / "index.html").write_text(page, encoding="utf-8")
        (public / "app.js").write_text(one_script(), encoding="utf-8")
    shutil.copyfile(license_text, public / "openseadragon.LICENSE.txt")
    facts: dict[str, object] = {
        "mode": "browser" if browser else "server",
        **{name: getattr(study, name) for name in ("id", "title", "note", "pairs", "idle")},
        **size._asdict(),
        "tile": tile_size(*size),
    }
    if not browser:
        facts["files"] = [*(path.name for path in files), "study.js"]  # for a start without a network
    else:
        sessions = [[vars(pair) for pair in study.session(number)] for number in range(BROWSER_SESSIONS)]
        # Encoded against a glance, not against a reader who looks for it: without a server it cannot be kept secret.
        facts["sessions"] = base64.b64encode(json.dumps(sessions).encode()).decode()
    (public / "study.js").write_text(f"globalThis.STUDY = {json.dumps(facts, indent=1)};\n", encoding="utf-8")
