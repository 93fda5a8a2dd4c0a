"""The application in the browser: its files, and what it may know of a study."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
from pathlib import Path

from mammogan.errors import StudyError
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.pictures import tile_size
from mammogan.reader_study.protocol import SHOWS
from mammogan.reader_study.questionnaire import DEFAULT
from mammogan.reader_study.texts import CATALOGS
from mammogan.report.provenance import ROOT
from mammogan.stats.responses import SIDES
from mammogan.types import Size

STATIC = Path(__file__).parent / "static"
SHOWN = ("show", "practice", "confidence", "comments", "feedback", "display")  # of the protocol, as it is
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


def sources() -> list[Path]:
    """Return all files that the application is made of, without the viewer."""
    return [*own_files(), *sorted(CATALOGS.iterdir()), DEFAULT]


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
    omitted = {".js", ".webmanifest", ".html"} if browser else {".html"}
    files = [*(path for path in own_files() if path.suffix not in omitted), script]
    for path in files:
        shutil.copyfile(path, public / path.name)
    page = _page(study)
    if browser:
        page = page.replace('type="module"', "defer")
        page = re.sub(r'<link rel="manifest".*\n', "", page)
        (public / "app.js").write_text(one_script(), encoding="utf-8")
    (public / "index.html").write_text(page, encoding="utf-8")
    shutil.copyfile(license_text, public / "openseadragon.LICENSE.txt")
    protocol = study.protocol
    facts: dict[str, object] = {
        "mode": "browser" if browser else "server",
        **{name: getattr(study, name) for name in ("id", "title", "note", "idle")},
        **{name: getattr(protocol, name) for name in SHOWN},
        "pairs": study.questions,
        "consent": vars(protocol.consent) if protocol.consent else None,
        "questionnaire": protocol.questionnaire.items,
        "text": _texts(study),
        **size._asdict(),
        "tile": tile_size(*size),
    }
    if not browser:
        facts["files"] = [*(path.name for path in files), "index.html", "study.js"]  # for a start without a network
    else:
        facts["columns"] = study.columns
        sessions = [[vars(question) for question in study.session(number)] for number in range(BROWSER_SESSIONS)]
        # Encoded against a glance, not against a reader who looks for it: without a server it cannot be kept secret.
        facts["sessions"] = base64.b64encode(json.dumps(sessions).encode()).decode()
    (public / "study.js").write_text(f"globalThis.STUDY = {json.dumps(facts, indent=1)};\n", encoding="utf-8")


def _texts(study: ReaderStudy) -> dict[str, str]:
    """Return the texts of the application, of those for pairs or single images the study's."""
    texts = {}
    for key, text in study.protocol.texts.entries.items():
        base, _, kind = key.rpartition("_")
        if kind not in SHOWS or f"{base}_{SHOWS[0]}" not in study.protocol.texts.entries:
            texts[key] = text
        elif kind == study.protocol.show:
            texts[base] = text
    return texts


def _page(study: ReaderStudy) -> str:
    """Return the page of the application in the language of the study."""
    protocol, texts = study.protocol, _texts(study)
    first, second = SIDES if protocol.show == "pairs" else ("real", "synthetic")
    texts |= {
        "intro": texts["intro"].replace("{count}", str(study.questions - protocol.practice)),
        "help_practice": texts["help_practice"].replace("{count}", str(protocol.practice)),
        "image_first": texts["image_left" if protocol.show == "pairs" else "image_single"],
        "first_value": first,
        "first_choice": texts[f"choose_{first}"],
        "second_value": second,
        "second_choice": texts[f"choose_{second}"],
        "title": html.escape(study.title),
        "language": protocol.language,
        "show": protocol.show,
        "practice": str(protocol.practice),
    }
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{([a-z_]+)\}\}", lambda hole: _markup(texts[hole[1]]), page)


def _markup(text: str) -> str:
    """Return a text for the page: without tags, it may also be an attribute."""
    return text if "<" in text else text.replace('"', "&quot;")
