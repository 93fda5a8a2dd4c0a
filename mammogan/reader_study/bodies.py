"""Bodies of requests: JSON from the same origin, of bounded length and time."""

from __future__ import annotations

import asyncio
import json

from starlette.requests import ClientDisconnect, Request

from mammogan.reader_study.requests import RequestRefused

MAX_BODY = 4096  # bytes; an answer with a long comment has some 2,500, a start at most `questionnaire.ROOM` and 1,000
MAX_WAIT = 10.0  # seconds until a body must have arrived


async def body_of(request: Request) -> object:
    """Return the JSON of a request.

    Raises:
        RequestRefused: it is too long, too slow, of another origin, or not JSON.
    """
    origin = request.headers.get("origin")
    if origin and origin.partition("://")[2] != request.headers.get("host"):
        raise RequestRefused("The request comes from another origin.", 403, "forged")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused("The request is not JSON.", 415)
    content = b""
    try:
        async with asyncio.timeout(MAX_WAIT):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY:
                    raise RequestRefused(f"A request has {MAX_BODY} bytes at most.", 413, "oversized")
        return json.loads(content)
    except TimeoutError:
        raise RequestRefused("The request did not arrive in time.", 408) from None
    except ClientDisconnect:
        raise RequestRefused("The request broke off.", 400) from None
    except (ValueError, RecursionError):
        raise RequestRefused("The request is not JSON.", 400) from None
