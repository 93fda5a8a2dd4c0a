"""The administrator's page: progress, counts and the table of answers; closing and reopening the study, and voids.

The page shows no result: the administrator may still be a reader. The table of answers, which is downloaded, has them.
"""

from __future__ import annotations

import asyncio
import base64
import html
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mammogan.errors import StudyError
from mammogan.reader_study.addresses import ipaddress_of, qr_image, reachable
from mammogan.reader_study.bodies import body_of
from mammogan.reader_study.database import Database
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.export import responses
from mammogan.reader_study.password import COOKIE, Gate
from mammogan.reader_study.requests import RequestRefused

PAGE, SCRIPT = (Path(__file__).with_name(name) for name in ("admin.html", "admin.js"))


class Administration:
    """The routes of the administrator.

    Args:
        study, database: study that is served, and its responses.
        gate: check of the password.
        host: address that the server listens at.
        note: function that logs a refusal.
        refusals: refusals since the start by kind.
    """

    def __init__(
        self,
        study: ReaderStudy,
        database: Database,
        gate: Gate,
        host: str,
        note: Callable[[Request, RequestRefused], None],
        refusals: Counter[str],
    ) -> None:
        self.study, self.database, self.gate, self.host = study, database, gate, host
        self.note, self.refusals = note, refusals

    def routes(self) -> list[Route]:
        """Return the routes; all but the script need the password."""
        return [
            Route("/admin", partial(self.guarded, self.page)),
            Route("/admin/admin.js", lambda _: FileResponse(SCRIPT)),
            Route("/admin/responses.csv", partial(self.guarded, self.table)),
            Route("/admin/study", partial(self.guarded, self.close), methods=["POST"]),
            Route("/admin/voids", partial(self.guarded, self.void), methods=["POST"]),
        ]

    async def guarded(self, page: Callable, request: Request) -> Response:
        """Send what a method returns to who has the password."""
        password = _password(request)
        address = request.client.host if request.client else ""
        if password is None or not await self.gate.admits(password, address, request.cookies.get(COOKIE, "")):
            if password is not None:
                self.note(request, RequestRefused("The administrator's password is wrong.", 401, "password"))
            challenge = {"WWW-Authenticate": 'Basic realm="study", charset="UTF-8"'}
            return Response("The administrator's page needs its password.", 401, challenge)
        reply: Response = await page(request)
        secure = request.url.scheme == "https"
        reply.set_cookie(COOKIE, self.gate.cookie, path="/admin", secure=secure, httponly=True, samesite="strict")
        return reply

    def _address(self, request: Request) -> str:
        """Return the address that tablets open: that of this request, which a proxy may have."""
        if not ipaddress_of(request.url.hostname or "").is_loopback:
            return str(request.base_url)
        best = reachable(self.host)[0]
        return f"{request.url.scheme}://{f'[{best}]' if ':' in best else best}:{request.url.port}/"

    async def page(self, request: Request) -> Response:
        """Send the page."""
        closed = await self.database.submit(self.database.closed_at)
        counts = await self.database.submit(self.database.counts)
        counts |= {f"Requests refused since the start: {kind}": n for kind, n in sorted(self.refusals.items())}
        address = self._address(request)
        sessions = [_session(row, self.study.questions) for row in await self.database.submit(self.database.progress)]
        filled = PAGE.read_text(encoding="utf-8").format(
            title=html.escape(self.study.title),
            counts="".join(f'<tr><th scope="row">{html.escape(k)}</th><td>{v}</td></tr>' for k, v in counts.items()),
            state=f"The study is closed since {closed[:16].replace('T', ' ')} UTC." if closed else "The study is open.",
            close="Open it again" if closed else "Close the study",
            closing="" if closed else "yes",
            sessions="".join(sessions),
            address=html.escape(address),
            code=html.escape(qr_image(address)),
        )
        return HTMLResponse(filled)

    async def table(self, request: Request) -> Response:
        """Send the table of answers."""
        try:
            table = await asyncio.to_thread(responses, self.study)
        except StudyError as error:
            raise RequestRefused(str(error), 409, "no responses") from None
        name = {"Content-Disposition": 'attachment; filename="responses.csv"'}
        return Response(table.to_csv(index=False), media_type="text/csv", headers=name)

    async def close(self, request: Request) -> Response:
        """Close the study to new sessions, or open it again."""
        body = await body_of(request)
        if not isinstance(body, dict) or not isinstance(body.get("closed"), bool):
            raise RequestRefused("The state of a study is closed or not.")
        await self.database.submit(partial(self.database.close_study, body["closed"]))
        return JSONResponse({})

    async def void(self, request: Request) -> Response:
        """Void a session."""
        body = await body_of(request)
        if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in ("session", "reason")):
            raise RequestRefused("A session is voided by its name and a reason.")
        try:
            await self.database.submit(partial(self.database.void, body["session"], body["reason"][:200]))
        except StudyError as error:
            raise RequestRefused(str(error), 422, "no such session") from None
        return JSONResponse({})


def _session(row: dict[str, object], questions: int) -> str:
    """Return the row of a session in the table of progress."""
    answered = row["answered"]
    state = f"void: {row['void']}" if row["void"] else "complete" if answered == questions else "under way"
    times = [str(row[name])[5:16].replace("T", " ") for name in ("started", "last")]
    cells = [row["tablet"], row["screen"], times[0], f"{answered} of {questions}", times[1], state]
    session = html.escape(str(row["session"]))
    button = "" if row["void"] else f'<button type="button" data-void="{session}">Void {session}</button>'
    data = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
    return f'<tr><th scope="row">{session}</th>{data}<td>{button}</td></tr>'


def _password(request: Request) -> str | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:  # neither Base64 nor UTF-8, or not ASCII
        return ""
