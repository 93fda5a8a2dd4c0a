"""No file can take the reader down: a call that hangs, crashes or eats memory becomes a refusal, and the next works."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator

import pytest
from pebble import ProcessPool

from mammogan import parallel
from mammogan.errors import Refused


@pytest.fixture(scope="module")
def children() -> Iterator[ProcessPool]:
    pool = parallel.guarded_pool()
    yield pool
    pool.stop()
    pool.join()


def crash() -> None:
    ctypes.string_at(0)


def eat() -> bytes:
    return bytes(6 * 2**30)


class Panic(BaseException):
    """As the decoders written in Rust raise it: no Exception."""

    def __reduce__(self) -> str:
        raise TypeError("it cannot be pickled")


def panic() -> None:
    raise Panic


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (crash, (), "crashed"),
        (panic, (), "crashed"),
        (os._exit, (3,), "crashed"),
        (time.sleep, (60,), "timeout"),
        (eat, (), "memory"),
    ],
)
def test_a_bad_call_is_a_refusal_and_the_next_call_works(
    children: ProcessPool, function: object, arguments: tuple, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        parallel.guarded_result(parallel.submit_guarded(children, function, *arguments, seconds=3))
    assert refused.value.reason == reason
    assert parallel.guarded_result(parallel.submit_guarded(children, abs, -3)) == 3


def test_an_error_of_the_function_is_not_hidden(children: ProcessPool) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parallel.guarded_result(parallel.submit_guarded(children, int, "x"))
