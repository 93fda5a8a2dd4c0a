"""The administrator's password: its hash, and a limit on guesses that does not lock the administrator out."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from contextlib import suppress

from mammogan.reader_study.requests import RequestRefused

FAILURES = 5  # wrong passwords per client
PERIOD = 60.0  # seconds in which a client may send that many
CLIENTS = 1024  # that are remembered
SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # RFC 7914; some 50 ms
COOKIE = "administrator"


def hash_password(password: str, salt: bytes = b"") -> str:
    """Return the scrypt hash of a password with this salt, by default a new one, as SALT:HASH in hexadecimal."""
    salt = salt or secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def same_password(password: str, hashed: str) -> bool:
    """Return whether a password has this hash."""
    return hmac.compare_digest(hash_password(password, bytes.fromhex(hashed.partition(":")[0])), hashed)


class Gate:
    """A check of passwords that allows each client five wrong ones per minute.

    A client is an IPv4 address or an IPv6 network of 64 bits. A browser in which the password was right once gets a
    cookie and is a client of its own, whoever shares its address ("Device cookies", OWASP).

    Args:
        hashed: hash of the password, see `hash_password`.
    """

    def __init__(self, hashed: str) -> None:
        self.hashed = hashed
        self.cookie = secrets.token_hex(32)
        self._guesses: OrderedDict[str, deque[float]] = OrderedDict()
        self._turn = asyncio.Lock()  # one comparison at a time: the answers need the processor, too

    async def admits(self, password: str, address: str, cookie: str = "") -> bool:
        """Return whether a password is right.

        Raises:
            RequestRefused: the client has sent too many wrong ones.
        """
        client = COOKIE if hmac.compare_digest(cookie.encode(), self.cookie.encode()) else _network(address)
        guesses = self._guesses.setdefault(client, deque(maxlen=FAILURES))
        self._guesses.move_to_end(client)
        if len(self._guesses) > CLIENTS:
            self._guesses.popitem(last=False)
        now = time.monotonic()
        if len(guesses) == FAILURES and now - guesses[0] < PERIOD:
            raise RequestRefused("Too many wrong passwords; wait a minute.", 429, "password")
        guesses.append(now)  # before the comparison, so that requests at the same time count each other
        async with self._turn:
            right = await asyncio.to_thread(same_password, password, self.hashed)
        if right:
            with suppress(ValueError):
                guesses.remove(now)
        return right


def _network(address: str) -> str:
    """Return the client that an address belongs to."""
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
