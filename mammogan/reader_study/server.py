"""The server of a reader study: the application's files, sessions and answers, and counts for its administrator.

A client gets blinded names only; the truth of a session leaves the machine when all of its questions are answered.
What is refused is logged without the token and without the address that it came from.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import html
import json
import logging
import os
import secrets
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mammogan.reader_study.database import Answer, Database, Questionnaire, RequestRefused, is_key
from mammogan.reader_study.design import PUBLIC, ReaderStudy

PASSWORD = "MAMMOGAN_STUDY_PASSWORD"  # environment variable
LOG = "refused.log"
MAX_BODY = 4096  # bytes; the longest request of the application has some 300
MAX_WAIT = 10.0  # seconds for a body to arrive
FAILURES = 5  # wrong passwords a minute, for all clients together
SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # RFC 7914; some 50 ms

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers:
    """Adds the security headers, and says how long each answer may be kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # A picture never changes, and a tablet that loses the network must still have it.
        keep = "private, max-age=604800, immutable" if scope["path"].startswith("/pictures/") else "no-cache"
        keep = "no-store" if scope["path"].startswith(("/api/", "/admin")) else keep
        added = [(k.lower().encode(), v.encode()) for k, v in (HEADERS | {"Cache-Control": keep}).items()]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, with_headers)


class Server:
    """The routes of one study.

    Args:
        study: the study.
        database: its responses.
        password_hash: of the administrator's password, see `hash_password`.
    """

    def __init__(self, study: ReaderStudy, database: Database, password_hash: str) -> None:
        self.study, self.database, self.password_hash = study, database, password_hash
        self.refusals: Counter[str] = Counter()
        self.failures: deque[float] = deque(maxlen=FAILURES)
        self.log = logging.getLogger(f"mammogan.study.{study.id}")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)
        # Bounded, so that a flood of bad requests cannot fill the disk that the answers need.
        self.log.handlers = [
            RotatingFileHandler(study.folder / LOG, maxBytes=2**20, backupCount=3, encoding="utf-8", delay=True)
        ]

    def app(self) -> ASGIApp:
        """The ASGI application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            self.database.close()

        api = {
            "/api/sessions": ("POST", self.start),
            "/api/session": ("GET", self.state),
            "/api/answers": ("POST", self.answer),
            "/api/result": ("GET", self.result),
        }
        routes: list[Route | Mount] = [
            Route(path, self._guarded(call), methods=[method]) for path, (method, call) in api.items()
        ]
        routes.append(Route("/admin", self.admin))
        routes.append(Mount("/", StaticFiles(directory=self.study.folder / PUBLIC, html=True)))
        return Headers(Starlette(routes=routes, lifespan=lifespan))

    def _guarded(self, call: Callable[[Request], Awaitable[dict[str, Any]]]) -> Callable:
        async def route(request: Request) -> Response:
            try:
                return JSONResponse(await call(request))
            except RequestRefused as refusal:
                self.refuse(request, refusal)
                return JSONResponse({"refused": refusal.kind, "sentence": str(refusal)}, refusal.status)

        return route

    def refuse(self, request: Request, refusal: RequestRefused) -> None:
        """Count a refusal and log it."""
        self.refusals[refusal.kind] += 1
        session = request.state.session if hasattr(request.state, "session") else None
        self.log.info(
            json.dumps(
                {
                    "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "refused": refusal.kind,
                    "status": refusal.status,
                    "path": request.url.path[:80],
                    "session": session,
                    "sentence": str(refusal),
                }
            )
        )

    def _session(self, request: Request) -> int:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RequestRefused(401, "forged", "The request has no token.")
        request.state.session = self.database.session_of(token)
        return request.state.session

    async def start(self, request: Request) -> dict[str, Any]:
        given = await _body(request)
        if not isinstance(given, dict) or set(given) != {"key", "questionnaire", "reader"} or not is_key(given["key"]):
            raise RequestRefused(422, "malformed", "A session has a key, a questionnaire and a reader.")
        if not isinstance(given["reader"], str) or len(given["reader"]) > 16:
            raise RequestRefused(422, "malformed", "The reader's code cannot be.")
        questionnaire, reader = Questionnaire.of(given["questionnaire"]), given["reader"].strip().upper()
        return await self.database.submit(partial(self.database.start, given["key"], questionnaire, reader))

    async def state(self, request: Request) -> dict[str, Any]:
        return await self.database.submit(partial(self.database.state, self._session(request)))

    async def answer(self, request: Request) -> dict[str, Any]:
        number = self._session(request)
        given = Answer.of(await _body(request))
        done = await self.database.submit(partial(self.database.answer, number, given))
        if done["again"]:  # kept once, acknowledged twice: no error, but worth a line
            self.refuse(request, RequestRefused(200, "repeated", f"Question {given.question} was kept already."))
        return done

    async def result(self, request: Request) -> dict[str, Any]:
        return await self.database.submit(partial(self.database.result, self._session(request)))

    async def admin(self, request: Request) -> Response:
        """Counts only: who reads them may still be a reader."""
        now = time.monotonic()
        if len(self.failures) == FAILURES and now - self.failures[0] < 60:
            self.refuse(request, RequestRefused(429, "password", "Too many wrong passwords."))
            return Response("Too many wrong passwords; wait a minute.", 429)
        given = _password(request)
        if given is None or not await asyncio.to_thread(same_password, given, self.password_hash):
            if given is not None:
                self.failures.append(now)
                self.refuse(request, RequestRefused(401, "password", "The administrator's password is wrong."))
            challenge = {"WWW-Authenticate": 'Basic realm="study", charset="UTF-8"'}
            return Response("The administrator's page needs its password.", 401, challenge)
        counts = await self.database.submit(self.database.counts)
        counts |= {f"Requests refused since the start: {kind}": n for kind, n in sorted(self.refusals.items())}
        rows = "".join(f'<tr><th scope="row">{html.escape(k)}</th><td>{v}</td></tr>' for k, v in counts.items())
        title = html.escape(self.study.title)
        return HTMLResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Counts - {title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="stylesheet" href="/study.css">'
            f'<body><main class="page"><h1>{title}: counts</h1><table>{rows}</table></main></body></html>'
        )


async def _body(request: Request) -> Any:
    """The JSON of a request.

    Raises:
        RequestRefused: it is too long, too slow, of another origin, or no JSON.
    """
    origin = request.headers.get("origin")
    if origin and origin.partition("://")[2] != request.headers.get("host"):
        raise RequestRefused(403, "forged", "The request comes from another origin.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused(415, "malformed", "The request is no JSON.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY:
        raise RequestRefused(413, "oversized", f"A request has {MAX_BODY} bytes at most.")
    content = b""
    try:
        async with asyncio.timeout(MAX_WAIT):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY:
                    raise RequestRefused(413, "oversized", f"A request has {MAX_BODY} bytes at most.")
    except TimeoutError:
        raise RequestRefused(408, "malformed", "The request did not arrive in time.") from None
    except ClientDisconnect:
        raise RequestRefused(400, "malformed", "The request broke off.") from None
    try:
        return json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RequestRefused(400, "malformed", "The request is no JSON.") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def _password(request: Request) -> str | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def hash_password(password: str) -> str:
    """Salted scrypt hash of a password, as SALT:HASH in hexadecimal."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def same_password(password: str, hashed: str) -> bool:
    """Whether a password has this hash."""
    salt, _, digest = hashed.partition(":")
    return hmac.compare_digest(hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **SCRYPT).hex(), digest)


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
        folder: of the study.
        host, port: to listen at; port 0 takes a free one.
        certificate, key: files for HTTPS; without them, plain HTTP.
        new_password: forget the administrator's password and make a new one.
        echo: takes the lines that say where the study is.

    Raises:
        StudyError: there is no study in `folder`.
        OSError: the port is taken.
    """
    study = ReaderStudy.open(folder)
    database = Database(study)
    if given := os.environ.get(PASSWORD):
        hashed = hash_password(given)
    else:
        generated = secrets.token_urlsafe(12)
        hashed, fresh = database.password(hash_password(generated), new_password)
        if fresh:
            echo(f"The administrator's password, shown this once: {generated}")
    listening = socket.create_server((host, port), backlog=2048)
    scheme = "https" if certificate else "http"
    at = f"{scheme}://{host}:{listening.getsockname()[1]}"
    echo(f"The study is at {at}/ and its counts at {at}/admin; Ctrl-C stops it, and nothing is lost.")
    settings = uvicorn.Config(
        Server(study, database, hashed).app(),
        log_level="warning",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=2**14,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_keep_alive=120,  # a reader looks at a pair for longer than the five seconds of the default
        timeout_graceful_shutdown=5,
    )
    sys.stdout.flush()
    uvicorn.Server(settings).run(sockets=[listening])
