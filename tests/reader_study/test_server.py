"""The server of a study: no answer is lost, doubled or revealed, and all else is refused and logged."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import resource
import secrets
import signal
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from study import ABOUT, PASSWORD, answer, answer_rows, begin, blank_study, call, needs_viewer, served

from mammogan.errors import StudyError
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.database import Database
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.export import responses
from mammogan.reader_study.server import serve
from mammogan.stats.responses import check_responses

pytestmark = needs_viewer


@pytest.fixture
def study(tmp_path: Path) -> ReaderStudy:
    return blank_study(tmp_path / "study")


def refused(study: ReaderStudy) -> list[str]:
    """Return the kinds of the refusals that were logged."""
    lines = (study.folder / "refused.log").read_text().splitlines()
    return [json.loads(line)["refused"] for line in lines]


def test_the_bytes_of_a_picture_differ_in_each_session(stores: tuple[Path, Path], tmp_path: Path) -> None:
    study = build(*stores, tmp_path / "study", StudySettings(secret=3))
    with served(study.folder) as (address, _):
        sent: dict[str, list[bytes]] = {}  # by the name of the picture in the study
        for number in (1, 2):
            names = [name for pair in study.session(number) for name in (pair.left, pair.right)]
            aliases = [alias for pair in begin(address)["pairs"] for alias in pair]
            for name, alias in dict(zip(names, aliases, strict=True)).items():
                with urllib.request.urlopen(f"{address}/pictures/{alias}.png", timeout=60) as reply:
                    assert reply.headers["content-type"] == "image/png"
                    sent.setdefault(name, []).append(reply.read())
    both = [contents for contents in sent.values() if len(contents) == 2]
    assert len(both) > 3
    for first, second in both:
        assert first != second
        assert len(first) == len(second)
        np.testing.assert_array_equal(*(np.asarray(Image.open(BytesIO(content))) for content in (first, second)))
    assert len({len(content) for contents in sent.values() for content in contents}) == 1


def test_a_session_is_reserved_before_its_reader_is_known(study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        key = secrets.token_hex(16)
        status, reserved = call(address, "/api/reservations", {"key": key})
        assert (status, reserved["open"]) == (200, True)
        assert call(address, "/api/reservations", {"key": key}) == (200, reserved)
        assert [row["refused"] for row in [answer(address, reserved["token"], 1)[1]]] == ["out of order"]
        assert call(address, "/api/session", authorization=f"Bearer {reserved['token']}")[0] == 401
        other = begin(address)
        session = begin(address, key=key)
        assert (other["session"], session["session"]) == ("S00002", "S00001")
        assert {name: session[name] for name in ("token", "pairs")} == {n: reserved[n] for n in ("token", "pairs")}
        assert answer(address, reserved["token"], 1)[0] == 200
        for body in ({}, {"key": "x"}, {"key": key, "more": 1}, [key]):
            assert call(address, "/api/reservations", body)[0] == 422
        Database(study).invite(1)
        assert call(address, "/api/reservations", {"key": secrets.token_hex(16)})[1]["open"] is False


def test_a_session_from_beginning_to_end(study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        session = begin(address)
        pairs = study.session(1)
        assert len(session["pairs"]) == len(pairs)
        assert set(session) == {"token", "session", "reader", "answered", "pairs"}
        token, seen = session["token"], [session]
        for question in range(1, 11):
            status, early = call(address, "/api/result", authorization=f"Bearer {token}")
            assert status == 403
            done = answer(address, token, question, "left" if question % 2 else "right", age=3600.4)
            assert done == (200, {"answered": question, "again": False})
            seen += [early, done]
        # Nothing that was sent before the end tells the sides.
        assert "real_side" not in json.dumps(seen)
        assert not any(pair.real_id in json.dumps(seen) for pair in pairs)
        status, result = call(address, "/api/result", authorization=f"Bearer {token}")
        assert status == 200
        assert [a["real_side"] for a in result["answers"]] == [pair.real_side for pair in pairs]
        # A reader who comes back keeps the code; one who makes one up is told so.
        again = begin(address, reader=session["reader"].lower())
        assert again["reader"] == session["reader"]
        assert again["session"] != session["session"]
        assert again["pairs"] != session["pairs"]
        wrong = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": "NOBODY"}
        assert call(address, "/api/sessions", wrong)[0] == 422
        # The same request once more, because its reply was lost, begins no second session.
        body = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": ""}
        assert call(address, "/api/sessions", body) == call(address, "/api/sessions", body)
        answer(address, again["token"], 1)
    table = check_responses(responses(study).fillna("").astype(str))
    assert len(table) == 11
    assert table["reader"].nunique() == 1
    first = table[table["session"] == session["session"]]
    assert first["correct"].tolist() == [
        int(pair.real_side == ("right" if i % 2 else "left")) for i, pair in enumerate(pairs)
    ]
    assert first["real_id"].tolist() == [pair.real_id for pair in pairs]
    # The tablet confirmed an hour before the server heard of it.
    age = time.time() - first["confirmed_at"].iloc[0].timestamp()
    assert 3600 <= age < 3700
    assert first["board_certified"].iloc[0] == "yes"
    assert first["years"].iloc[0] == 7


@pytest.mark.slow
def test_forged_replayed_out_of_order_and_oversized(study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        one, two = begin(address)["token"], begin(address)["token"]
        number, _, code = one.partition(".")
        for token in ("", "x", "1.", f"{number}.{'0' * 64}", f"2.{code}", f"999.{code}", f"{one}0", "²." + code):
            assert call(address, "/api/session", authorization=f"Bearer {token}".encode().decode("latin-1"))[0] == 401
        assert call(address, "/api/answers", {})[0] == 401
        key = secrets.token_hex(16)
        assert answer(address, one, 1, key=key)[0] == 200
        assert answer(address, one, 1, key=key) == (200, {"answered": 1, "again": True})
        assert answer(address, one, 1, "right", key=key)[0] == 409
        assert answer(address, one, 1)[0] == 409
        assert answer(address, two, 2)[0] == 409
        assert answer(address, one, 11)[0] == 409
        assert answer(address, one, 3)[0] == 409
        for change in ({"question": 0}, {"question": -1}, {"question": True}, {"question": 2.0}, {"chosen": "up"},
                       {"seconds": -1}, {"seconds": "1"}, {"age": -5}, {"key": "short"}, {"extra": 1}, {"key": None},
                       {"seconds": 1e300}):  # fmt: skip
            assert answer(address, one, **{"question": 2, **change})[0] in (409, 422), change
        bearer = {"authorization": f"Bearer {one}"}
        for body in (b"{", b"", b"NaN", b"[" * 4000, b"\xff", b'{"question": NaN}', b"null", b"[]"):
            assert call(address, "/api/answers", body, **bearer)[0] in (400, 422), body
        assert call(address, "/api/answers", b" " * 5000, **bearer)[0] == 413
        assert call(address, "/api/answers", {}, **bearer, **{"content-type": "text/plain"})[0] == 415
        assert call(address, "/api/answers", {}, **bearer, origin="http://elsewhere.example")[0] == 403
        # Without a length, in pieces: the limit holds for what arrives.
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            head = f"POST /api/answers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one}\r\n"
            raw.sendall((head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").encode())
            for _ in range(6):
                raw.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 413")
        for about in (None, {}, {"radiologist": "maybe"}, {"radiologist": "no", "trainee": "yes"},
                      {"radiologist": "yes", "trainee": "yes", "board_certified": "yes"}, {**ABOUT, "years": -1},
                      {**ABOUT, "years": True}, {**ABOUT, "name": "x"}, {"radiologist": ["yes"]}):  # fmt: skip
            body = {"key": secrets.token_hex(16), "questionnaire": about, "reader": ""}
            assert call(address, "/api/sessions", body)[0] == 422, about
        for path in ("/study.json", "/../study.json", "/%2e%2e/study.json", "/responses.sqlite", "/pictures/", "/api"):
            assert call(address, path)[0] in (404, 405), path
    kinds = refused(study)
    assert {"forged", "replayed", "repeated", "out of order", "malformed", "oversized"} <= set(kinds)
    assert kinds.count("replayed") == 2
    assert kinds.count("repeated") == 1
    assert kinds.count("oversized") == 2
    log = (study.folder / "refused.log").read_text()
    assert code not in log
    assert "127.0.0.1" not in log
    assert answer_rows(study) == [(1, 1, "left")]


def test_counts_behind_a_password_and_headers(study: ReaderStudy) -> None:
    def login(password: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}

    with served(study.folder) as (address, _):
        token = begin(address)["token"]
        for question in range(1, 11):
            answer(address, token, question)
        assert call(address, "/admin")[0] == 401
        with urllib.request.urlopen(urllib.request.Request(f"{address}/admin", headers=login(PASSWORD))) as reply:
            cookie, *marks = reply.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "Path=/admin", "SameSite=strict"} <= set(marks)
        status, page = call(address, "/admin", **login(PASSWORD))
        assert status == 200
        assert '<th scope="row">Sessions finished</th><td>1</td>' in page
        assert '<th scope="row">Answers</th><td>10</td>' in page
        # Counts only: neither a side, a score, a name nor an id.
        hidden = [
            *(n for n, _ in (*study.real, *study.synthetic)),
            "left",
            "right",
            "correct",
            "real-",
            token,
        ]
        assert not [word for word in hidden if word in page]
        # Guesses at the same time are counted before they are compared.
        with ThreadPoolExecutor(30) as pool:
            guesses = list(pool.map(lambda _: call(address, "/admin", **login("guess"))[0], range(30)))
        assert sorted(guesses) == [401] * 5 + [429] * 25
        assert call(address, "/admin", **login(PASSWORD)) == (429, "Too many wrong passwords; wait a minute.")
        # The browser in which the password was right is not locked out.
        assert call(address, "/admin", **login(PASSWORD), cookie=cookie)[0] == 200

        with urllib.request.urlopen(f"{address}/") as reply:
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert "server" not in reply.headers
    assert (study.folder / "responses.sqlite").stat().st_mode & 0o077 == 0


def test_a_poisoned_request_fails_alone(study: ReaderStudy) -> None:
    with served(study.folder) as (address, _):
        readers = ["\ud800", "A\0", "é", "A B", ["A"], "A" * 17, None]
        bodies = [
            {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": reader}
            for reader in [*readers * 6, *[""] * 50]
        ]
        random.Random(0).shuffle(bodies)
        with ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(lambda body: call(address, "/api/sessions", body)[0], bodies))
        assert statuses == [422 if body["reader"] != "" else 200 for body in bodies]
        for authorization in ("Basic é", "Basic \xff", "Basic e30", "Bearer 1.é", "Basic"):
            assert call(address, "/admin", authorization=authorization)[0] in (401, 429)
            assert call(address, "/api/session", authorization=authorization)[0] == 401


@pytest.mark.slow
def test_slow_endless_and_many_connections_do_not_stop_readers(study: ReaderStudy) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with ExitStack() as stack:
        address, process = stack.enter_context(served(study.folder, preexec_fn=few))
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        token = begin(address)["token"]
        started = time.monotonic()
        slow = [stack.enter_context(socket.create_connection(place)) for _ in range(1024)]
        for wire in slow:
            with suppress(OSError):
                wire.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        # An endless head is cut off, and not kept in memory.
        endless = stack.enter_context(socket.create_connection(place))
        with pytest.raises(OSError):
            endless.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 2**25)
        assert answer(address, token, 1)[0] == 200
        assert begin(address)["answered"] == 0
        assert time.monotonic() - started < 9
        # Neither is one kept that sends a byte now and then, or blank lines.
        while time.monotonic() - started < 12:
            for wire, byte in zip(slow, b"x\n" * 512, strict=True):
                with suppress(OSError):
                    wire.sendall(bytes([byte]))
            time.sleep(1)
        assert len(os.listdir(f"/proc/{process.pid}/fd")) < 50
        assert answer(address, token, 2)[0] == 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pictures_have_names_of_their_session(study: ReaderStudy) -> None:
    """What is learned of a picture in one session, and its name in the pool, is of no use in another session."""
    pool = [name for name, _ in (*study.real, *study.synthetic)]
    for name in pool:
        (study.folder / "public" / "pictures" / f"{name}.png").write_bytes(name.encode())
    (study.folder / "public" / "pictures" / pool[0] / "3").mkdir(parents=True)
    (study.folder / "public" / "pictures" / pool[0] / "3" / "0_1.png").write_bytes(b"tile")
    with served(study.folder) as (address, _):
        seen: set[str] = set()
        for number in range(1, 4):
            sent = begin(address)["pairs"]
            assert not seen & {name for pair in sent for name in pair}
            seen |= {name for pair in sent for name in pair}
            for names, pair in zip(sent, study.session(number), strict=True):
                for name, picture in zip(names, (pair.left, pair.right), strict=True):
                    assert call(address, f"/pictures/{name}.png") == (200, picture)
                    tile = call(address, f"/pictures/{name}/3/0_1.png")
                    assert tile == (200, "tile") if picture == pool[0] else tile[0] == 404
        one = min(seen)
        for path in (f"{pool[1]}.png", f"9{one}.png", f"{one}/../{pool[1]}.png", one, f"{one}/x.png", "", "9-é.png"):
            assert call(address, f"/pictures/{quote(path)}")[0] == (200 if path == one else 404), path


def test_attempts_are_limited_and_void_sessions_do_not_count(study: ReaderStudy) -> None:
    secret = json.loads((study.folder / "study.json").read_text())
    (study.folder / "study.json").write_text(json.dumps({**secret, "attempts": 2}))
    study = ReaderStudy.open(study.folder)
    with served(study.folder) as (address, _):
        first = begin(address)
        begin(address, reader=first["reader"])
        body = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": first["reader"]}
        status, reply = call(address, "/api/sessions", body)
        assert status == 422
        assert reply["sentence"] == "This code has begun 2 tests, as many as the study allows."
        Database(study).void("S00001", "a child played with it")
        assert call(address, "/api/sessions", body)[0] == 200
        [code] = Database(study).invite(1)
        assert begin(address, reader=code.lower())["reader"] == code
        for reader in ("", first["reader"], "ABCDEFGH"):
            body = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": reader}
            assert "by invitation" in call(address, "/api/sessions", body)[1]["sentence"]


@pytest.mark.slow
def test_two_hundred_sessions_at_once(study: ReaderStudy) -> None:
    """Every request is sent twice at the same time, as by an impatient network; no answer is lost or doubled."""
    with served(study.folder) as (address, _):
        host, port = address.removeprefix("http://").split(":")

        async def post(wire: tuple, path: str, body: dict, token: str = "") -> tuple[int, dict]:
            reader, writer = wire
            data = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Authorization: Bearer {token}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r")[0])
            return int(head.split()[1]), json.loads(await reader.readexactly(length))

        async def one_reader(number: int) -> tuple[str, list[str]]:
            rng = random.Random(number)
            wires = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
            body = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": ""}
            (_, session), (_, twin) = await asyncio.gather(*(post(wire, "/api/sessions", body) for wire in wires))
            assert session == twin
            chosen = []
            for question in range(1, 11):
                side = rng.choice(["left", "right"])
                key = secrets.token_hex(16)
                body = {"question": question, "chosen": side, "seconds": 1.0, "age": 0, "key": key}
                twins = await asyncio.gather(*(post(wire, "/api/answers", body, session["token"]) for wire in wires))
                assert [status for status, _ in twins] == [200, 200], twins
                assert sorted(done["again"] for _, done in twins) == [False, True]
                chosen.append(side)
            for _, writer in wires:
                writer.close()
            return session["session"], chosen

        async def everybody() -> list[tuple[str, list[str]]]:
            return await asyncio.gather(*(one_reader(number) for number in range(200)))

        sent = dict(asyncio.run(everybody()))
    assert len(sent) == 200
    table = check_responses(responses(study).fillna("").astype(str))
    assert len(table) == 2000
    stored = {name: group["chosen_side"].tolist() for name, group in table.groupby("session")}
    assert stored == sent


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_answer(study: ReaderStudy) -> None:
    acknowledged: dict[str, int] = {}
    port = 0
    for life in range(2):
        with served(study.folder, port) as (address, process):
            port = int(address.rpartition(":")[2])
            tokens = list(acknowledged) or [begin(address)["token"] for _ in range(8)]
            for token in tokens:
                acknowledged.setdefault(token, 0)
            stop = threading.Event()

            def keep_answering(token: str, address: str = address, stop: threading.Event = stop) -> None:
                while not stop.is_set() and acknowledged[token] < 10:
                    try:
                        status, done = answer(address, token, acknowledged[token] + 1)
                    except (OSError, HTTPException):
                        return
                    if status == 409:  # stored in the life before, the acknowledgment was cut off
                        status, session = call(address, "/api/session", authorization=f"Bearer {token}")
                        done = {"answered": session["answered"]}
                        assert session["answered"] == acknowledged[token] + 1
                    assert status == 200
                    acknowledged[token] = done["answered"]

            threads = [threading.Thread(target=keep_answering, args=(token,)) for token in tokens]
            for thread in threads:
                thread.start()
            if life == 0:
                while sum(acknowledged.values()) < 20:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
            stop.set()
        stored = {session: sum(1 for row in answer_rows(study) if row[0] == session) for session in range(1, 9)}
        for token, count in acknowledged.items():
            # One more than acknowledged may be stored: its acknowledgment was under way.
            assert 0 <= stored[int(token.partition(".")[0])] - count <= 1
    assert set(acknowledged.values()) == {10}
    assert len(answer_rows(study)) == 80


def test_what_cannot_be_served_is_a_sentence(study: ReaderStudy, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("not a certificate")
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(StudyError, match=r"127.0.0.1:\d+ cannot be listened at .*another --host or --port"),
    ):
        serve(study.folder, port=other.getsockname()[1])
    said: list[str] = []
    for files, sentence in (
        ({"key": certificate}, "The key .*certificate.pem has no certificate; give both --certificate and --key"),
        ({"certificate": certificate}, "The certificate .*certificate.pem or its key .* cannot be used"),
        ({"certificate": tmp_path / "missing.pem"}, "There is no file .*missing.pem"),
        ({"certificate": certificate, "key": tmp_path / "missing.pem"}, "There is no file .*missing.pem"),
    ):
        with pytest.raises(StudyError, match=sentence):
            serve(study.folder, port=0, echo=said.append, **files)
    assert said == []  # no password was made that nobody will see again
    (study.folder / "public" / "index.html").unlink()
    with pytest.raises(StudyError, match="holds no application"):
        serve(study.folder, port=0)
