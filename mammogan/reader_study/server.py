"""The server of a reader study: the application's files, sessions and answers, and counts for its administrator.

A client receives blinded names only; the truth of a session leaves the machine when all of its questions are answered.
Refused requests are logged without their token and without the address that they came from.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import socket
import ssl
import sys
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammogan.errors import StudyError
from mammogan.reader_study.addresses import announcement
from mammogan.reader_study.admin import Administration
from mammogan.reader_study.bodies import body_of
from mammogan.reader_study.connections import LimitedConnection, raise_limit
from mammogan.reader_study.database import Database, Reply
from mammogan.reader_study.design import PICTURES, PUBLIC, ReaderStudy
from mammogan.reader_study.password import Gate, hash_password
from mammogan.reader_study.pictures import salted
from mammogan.reader_study.requests import Answer, Opening, RequestRefused, is_key

PASSWORD = "MAMMOGAN_STUDY_PASSWORD"  # environment variable
LOG = "refused.log"
TILES = re.compile(r"[0-9]+/[0-9]+_[0-9]+\.png")  # a tile in the folder of its picture
SETTINGS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def with_headers(app: ASGIApp) -> ASGIApp:
    """Return an application that adds the security headers and how long each response may be cached."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        # A picture never changes, and a tablet that loses the network must still have it.
        cache = "private, max-age=604800, immutable" if path.startswith("/pictures/") else "no-cache"
        cache = "no-store" if path.startswith(("/api/", "/admin")) else cache
        added = [(k.lower().encode(), v.encode()) for k, v in (SETTINGS["headers"] | {"Cache-Control": cache}).items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await app(scope, receive, send_with_headers)

    return wrapped


class Server:
    """The routes of one study.

    Args:
        study: study to serve.
        database: its responses.
        password_hash: hash of the administrator's password, see `password.hash_password`.
        host: address that the server listens at.
    """

    def __init__(self, study: ReaderStudy, database: Database, password_hash: str, host: str) -> None:
        self.study, self.database, self.gate, self.host = study, database, Gate(password_hash), host
        self.refusals: Counter[str] = Counter()
        # Bounded, so that a flood of bad requests cannot fill the disk that the answers need.
        self.log = RotatingFileHandler(study.folder / LOG, maxBytes=2**20, backupCount=3, encoding="utf-8", delay=True)

    def app(self) -> ASGIApp:
        """Return the ASGI application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await self.database.close()

        async def refused(request: Request, refusal: Exception) -> Response:
            assert isinstance(refusal, RequestRefused)
            self.note(request, refusal)
            if request.url.path.startswith("/admin"):
                return Response(str(refusal), refusal.status)
            return JSONResponse({"refused": refusal.kind, "sentence": str(refusal)}, refusal.status)

        routes = [
            Route("/api/sessions", self.start, methods=["POST"]),
            Route("/api/reservations", self.reserve, methods=["POST"]),
            Route("/api/session", partial(self.read, self.database.state)),
            Route("/api/answers", self.answer, methods=["POST"]),
            Route("/api/result", partial(self.read, self.database.result)),
            *Administration(self.study, self.database, self.gate, self.host, self.note, self.refusals).routes(),
            Route("/pictures/{path:path}", self.picture),
            Mount("/", StaticFiles(directory=self.study.folder / PUBLIC, html=True)),
        ]
        return with_headers(Starlette(routes=routes, lifespan=lifespan, exception_handlers={RequestRefused: refused}))

    def note(self, request: Request, refusal: RequestRefused) -> None:
        """Count a refusal and log it."""
        self.refusals[refusal.kind] += 1
        record = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "refused": refusal.kind,
            "status": refusal.status,
            "path": request.url.path[:80],
            "session": getattr(request.state, "session", None),
            "sentence": str(refusal),
        }
        self.log.handle(logging.makeLogRecord({"msg": json.dumps(record)}))

    def _session(self, request: Request) -> int:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RequestRefused("The request has no token.", 401, "forged")
        request.state.session = self.database.session_of(token)
        return request.state.session

    async def start(self, request: Request) -> Response:
        """Begin a session."""
        opening = Opening.of(await body_of(request), request.headers.get("user-agent", ""))
        return JSONResponse(await self.database.submit(partial(self.database.start, opening)))

    async def reserve(self, request: Request) -> Response:
        """Name the pictures of the session that a tablet will begin."""
        body = await body_of(request)
        if not isinstance(body, dict) or set(body) != {"key"} or not is_key(body["key"]):
            raise RequestRefused("A reservation has a key.")
        return JSONResponse(await self.database.submit(partial(self.database.reserve, body["key"])))

    async def answer(self, request: Request) -> Response:
        """Store an answer."""
        number = self._session(request)
        answer = Answer.of(await body_of(request))
        reply = await self.database.submit(partial(self.database.answer, number, answer))
        if reply["again"]:  # stored once, acknowledged twice: no error, but worth a line
            self.note(request, RequestRefused(f"Question {answer.question} was stored before.", 200, "repeated"))
        return JSONResponse(reply)

    async def read(self, method: Callable[[int], Reply], request: Request) -> Response:
        """Send what a method of the database returns on the client's session."""
        return JSONResponse(await self.database.submit(partial(method, self._session(request))))

    async def picture(self, request: Request) -> Response:
        """Send a picture, or a tile of one, by the name that it has in its session."""
        alias, _, tile = request.path_params["path"].partition("/")
        name = self.database.picture(alias if tile else alias.removesuffix(".png"))
        file = self.study.folder / PUBLIC / PICTURES / (f"{name}/{tile}" if tile else f"{name}.png")
        try:
            if name is None or (tile and not TILES.fullmatch(tile)):
                raise FileNotFoundError
            content = await asyncio.to_thread(file.read_bytes)
        except OSError:
            return Response("There is no such picture.", 404)
        return Response(salted(content, request.url.path), media_type="image/png")


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Raise a StudyError if HTTPS is wanted and impossible, before a password is made and an address is announced."""
    if key and not certificate:
        raise StudyError(f"The key {key} has no certificate; give both --certificate and --key.")
    for path in (certificate, key):
        if path and not path.is_file():
            raise StudyError(f"There is no file {path}; give the certificate and its key as PEM files.")
    if certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        except OSError as error:
            files = f"The certificate {certificate} or its key {key or certificate}"
            raise StudyError(f"{files} cannot be used ({error.strerror or error}); give two PEM files.") from None


def serve(
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    new_password: bool = False,
    echo: Callable[[str], None] = print,
) -> None:
    """Serve a study until it is stopped.

    Args:
        folder: folder of the study.
        host, port: address to listen at; port 0 chooses a free one.
        certificate, key: PEM files for HTTPS; plain HTTP without them.
        new_password: forget the administrator's password and make a new one.
        echo: function that prints the address of the study and a new password.

    Raises:
        StudyError: the folder holds no study, its responses cannot be written, the address is in use, or the
            certificate or its key cannot be used.
    """
    study = ReaderStudy.open(folder)
    if not (study.folder / PUBLIC / "index.html").is_file():
        raise StudyError(f"{study.folder / PUBLIC} holds no application; restore it from a copy or build it again.")
    _check_certificate(certificate, key)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise StudyError(f"{host}:{port} cannot be listened at ({error}); give another --host or --port.") from None
    database = Database(study)
    if given := os.environ.get(PASSWORD):
        hashed = hash_password(given)
    else:
        generated = secrets.token_urlsafe(12)
        new = hash_password(generated)
        hashed = database.fact("password", new, renew=new_password)
        if hashed == new:
            echo(f"The administrator's password, shown this once: {generated}")
    app = Server(study, database, hashed, host).app()
    LimitedConnection.most = raise_limit()
    settings = uvicorn.Config(
        app, http=LimitedConnection, ssl_certfile=certificate, ssl_keyfile=key, **SETTINGS["uvicorn"]
    )
    for line in announcement(host, listening.getsockname()[1], bool(certificate)):
        echo(line)
    sys.stdout.flush()
    uvicorn.Server(settings).run(sockets=[listening])
