"""A small study served in a process of its own, for the tests of server and browser."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammogan.atomic import write_json
from mammogan.data.store import StoreWriter
from mammogan.errors import StudyError
from mammogan.reader_study.browser import viewer_files, write_application
from mammogan.reader_study.design import ReaderStudy
from mammogan.types import Size


def _has_viewer() -> bool:
    try:
        return viewer_files()[0].is_file()
    except StudyError:
        return False


needs_viewer = pytest.mark.skipif(not _has_viewer(), reason="OpenSeadragon is missing: run make setup")
PASSWORD = "correct horse battery"
ABOUT = {"radiologist": "yes", "board_certified": "yes", "trainee": "no", "breast_specialist": "no", "years": 7}


def made_store(folder: Path, images: list[np.ndarray], prefix: str, bits: int = 12, **facts: str) -> Path:
    """Make a store of given gray values in [0, 1]; return its path."""
    with StoreWriter(folder, *images[0].shape, bits, {"by": "test"}) as writer:
        for number, image in enumerate(images):
            writer.accept(image, id=f"{prefix}-{number}", **facts)
    return folder


def ovals(count: int, height: int = 80, width: int = 64, smooth: float = 0) -> list[np.ndarray]:
    """Return textured half ovals on black, of several sizes: breasts to the study; (height, width) in [0, 1]."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(count)
    rows, columns = np.mgrid[:height, :width]
    images = []
    for depth in np.linspace(0.5, 0.9, count):
        inside = (rows / height - 0.5) ** 2 / 0.2 + (columns / width / depth) ** 2 < 1
        texture = gaussian_filter(rng.standard_normal(inside.shape), smooth)
        images.append(np.where(inside, np.clip(0.5 + 0.1 * texture / texture.std(), 0, 1), 0.0))
    return images


def blank_study(folder: Path, pairs: int = 10) -> ReaderStudy:
    """Make a study whose pictures are names only: answering reads none."""
    (folder / "public" / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    pools = {
        name: [{"name": rng.bytes(8).hex(), "id": f"{name}-{number}"} for number in range(20)]
        for name in ("real", "synthetic")
    }
    secret = {"format": "mammogan-study-1", "title": "T", "note": "", "seed": 9, "pairs": pairs, "pools": pools}
    write_json(folder / "study.json", secret)
    study = ReaderStudy.open(folder)
    write_application(study, folder / "public", Size(40, 32), browser=False)
    return study


def answer_rows(study: ReaderStudy) -> list[tuple[int, int, str]]:
    """Return (session, question, side) of every stored answer."""
    with closing(sqlite3.connect(study.folder / "responses.sqlite")) as connection:
        return connection.execute("SELECT session, question, chosen_side FROM answers ORDER BY 1, 2").fetchall()


@contextmanager
def served(folder: Path, port: int = 0, *arguments: str, **options: Any) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve a study, with more arguments and options of `subprocess.Popen`; yield its address and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mammogan", "study", "serve", str(folder), "--port", str(port), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MAMMOGAN_STUDY_PASSWORD": PASSWORD},
        **options,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        address = line.split(" at ")[1].split("/ ")[0]
        while True:
            try:
                urllib.request.urlopen(f"{address}/study.js").read()
                break
            except urllib.error.URLError as error:
                if isinstance(error.reason, ssl.SSLError):
                    break  # it answers; the certificate is the caller's
                time.sleep(0.05)
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


def call(address: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request; return its status, and its JSON or text."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {**({"content-type": "application/json"} if data is not None else {}), **headers}
    request = urllib.request.Request(f"{address}{path}", data=data, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            status, content = reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read().decode()
    try:
        return status, json.loads(content)
    except ValueError:
        return status, content


def begin(address: str, **changes: Any) -> dict[str, Any]:
    """Begin a session; return its state."""
    status, session = call(
        address, "/api/sessions", {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": "", **changes}
    )
    assert status == 200, session
    return session


def answer(address: str, token: str, question: int, chosen: str = "left", **changes: Any) -> tuple[int, Any]:
    """Answer a question; return the status and the reply."""
    body = {"question": question, "chosen": chosen, "seconds": 2.5, "age": 0, "key": secrets.token_hex(16), **changes}
    return call(address, "/api/answers", body, authorization=f"Bearer {token}")
