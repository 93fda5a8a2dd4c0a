"""The files of the application: what a browser may load, and what it may know."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path

import pytest
from PIL import Image
from study import needs_viewer

from mammogan.errors import StudyError
from mammogan.reader_study import browser
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.drawing import Pair

pytestmark = needs_viewer


def test_what_a_browser_may_load_holds_no_truth(study: ReaderStudy) -> None:
    public = study.folder / "public"
    assert stat.S_IMODE((study.folder / "study.json").stat().st_mode) == 0o600
    files = [path for path in public.rglob("*") if path.is_file()]
    text = "".join(
        p.read_text(encoding="utf-8") for p in files if p.suffix in (".js", ".html") and "seadragon" not in p.name
    )
    for name, image in (*study.real, *study.synthetic):
        assert image not in text
        assert name not in text
    pictures = list((public / "pictures").iterdir())
    assert {p.stem for p in pictures} == {name for name, _ in (*study.real, *study.synthetic)}
    assert len({(p.stat().st_size, p.stat().st_mtime) for p in pictures}) == 1
    for path in pictures[:4]:
        assert Image.open(path).info == {}
        assert Image.open(path).size == (32, 40)


def test_a_study_for_a_browser_alone_holds_its_sessions(stores: tuple[Path, Path], tmp_path: Path) -> None:
    study = build(*stores, tmp_path / "study", StudySettings(secret=3, pairs=4, browser=True, note="hello"))
    facts = json.loads(
        (tmp_path / "study/public/study.js").read_text().removeprefix("globalThis.STUDY = ").rstrip(";\n")
    )
    sessions = json.loads(base64.b64decode(facts["sessions"]))
    assert facts["note"] == "hello"
    assert [Pair(**pair) for pair in sessions[7]] == study.session(7)


def test_the_modules_make_one_script(study: ReaderStudy) -> None:
    """No import remains, no name is declared twice, and each module is there once."""
    script = browser.one_script()
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:const|let|class|function) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names)) > 40
    modules = [path for path in browser.STATIC.glob("*.js") if path.name != "offline.js"]
    comments = [path.read_text().splitlines()[0] for path in modules]
    assert [script.count(comment) for comment in comments] == [1] * len(comments)
    public = study.folder / "public"
    assert {path.name for path in browser.STATIC.glob("*.js")} < {path.name for path in public.iterdir()}


def test_the_viewer_of_a_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "STATIC", tmp_path)
    script, license_text = browser.viewer_files()
    assert script.parts[-3:] == ("build", "openseadragon", "openseadragon.min.js")
    assert license_text.is_file()
    (tmp_path / "openseadragon").mkdir()
    (tmp_path / "openseadragon" / "openseadragon.min.js").write_text("")
    assert browser.viewer_files() == tuple(
        tmp_path / "openseadragon" / name for name in ("openseadragon.min.js", "LICENSE.txt")
    )
    monkeypatch.setattr(browser, "STATIC", tmp_path / "nowhere")
    monkeypatch.setattr(browser, "ROOT", tmp_path)
    with pytest.raises(StudyError, match="OpenSeadragon is missing"):
        browser.viewer_files()
