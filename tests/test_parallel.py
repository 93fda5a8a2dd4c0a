"""Maps give the same results in this process, in children and on Dask; no file can take the reader down.

A guarded call that hangs, crashes or eats memory becomes a refusal, and the next one works.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pebble import ProcessPool
from small_stores import make_store

from mammogan import parallel
from mammogan.errors import InputError, Refused
from mammogan.metrics.moments import image_moments
from mammogan.parallel import guarded_map, guarded_pool, in_processes, map_images, outcome, submit_guarded


@pytest.mark.slow
def test_a_pass_on_dask_is_a_pass_here(tmp_path: Path) -> None:
    images = make_store(tmp_path / "store", 40, 1).images()
    here = image_moments(images[:], 12)
    seen: list[int] = []
    moments = map_images(images, image_moments, 12, progress=lambda task, done, total: seen.append(done))
    np.testing.assert_array_equal(moments, here)
    assert seen == [16, 32, 40]
    rows = np.array([31, 2, 17])
    np.testing.assert_array_equal(map_images(images, image_moments, 12, rows=rows), here[rows])
    np.testing.assert_array_equal(map_images(images, image_moments, 12, workers=2), here)


def page_faults(images: np.ndarray) -> np.ndarray:
    """Process, and pages that it has had to be given so far, for every image."""
    time.sleep(0.02)  # tasks that take no time would nearly all go to one worker, and no median of the other be known
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return np.full((len(images), 2), [os.getpid(), faults])


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the memory of glibc can be told to stay")
def test_a_worker_keeps_the_memory_of_its_images(tmp_path: Path) -> None:
    images = make_store(tmp_path / "store", 1, 1, size=(640, 512)).images()
    found = map_images(images, page_faults, rows=np.zeros(640, int), workers=2)[::16]  # a row a task
    for worker in np.unique(found[:, 0]):
        more = np.diff(found[found[:, 0] == worker, 1])
        assert len(more) >= 5
        # An image takes 160 pages, and a task 2,560 where each is asked for anew.
        assert np.median(more) < 160


def fill(gibibytes: float) -> tuple[int, int]:
    """Fill memory and free it; return the pages that this took, and the bytes that the process keeps."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(int(gibibytes * 2**30), np.uint8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return faults, resident


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the memory of glibc can be told to stay")
def test_a_guarded_child_keeps_the_memory_of_an_image_and_not_that_of_an_odd_file() -> None:
    first, second, _, last = guarded_map(fill, [(0.1,), (0.1,), (2,), (0.1,)])
    # 0.1 GiB are 51 huge pages or 26,000 small ones.
    assert second[0] < 40 < first[0]
    assert last[1] < 2**30


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_keep_the_order(processes: int) -> None:
    assert list(in_processes(abs, range(-20, 0), processes)) == list(range(20, 0, -1))


@pytest.fixture(scope="module")
def children() -> Iterator[ProcessPool]:
    pool = guarded_pool()
    yield pool
    pool.stop()
    pool.join()


def crash() -> None:
    ctypes.string_at(0)


def eat() -> bytes:
    return bytes(6 * 2**30)


class Panic(BaseException):
    """As the decoders written in Rust raise it: not an Exception."""

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
@pytest.mark.slow
def test_a_bad_call_is_a_refusal_and_the_next_call_works(
    children: ProcessPool, function: object, arguments: tuple, reason: str
) -> None:
    refused = outcome(submit_guarded(children, function, *arguments, seconds=3))
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert outcome(submit_guarded(children, abs, -3)) == 3


def test_an_error_of_the_function_is_not_hidden(children: ProcessPool) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        outcome(submit_guarded(children, int, "x"))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", [None, "local"])
def test_a_guarded_map_keeps_the_order_and_refuses_single_calls(scheduler: str | None) -> None:
    calls = [(-3,), (0,), (5,)]
    assert list(guarded_map(abs, calls, workers=2, scheduler=scheduler)) == [3, 0, 5]
    outcomes = list(guarded_map(os._exit, [(1,), (2,)], scheduler=scheduler))
    assert [refused.reason for refused in outcomes] == ["crashed", "crashed"]


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    import dask

    address = "tcp://127.0.0.1:1"

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(InputError, match=f"No Dask scheduler answers at {address}"),
    ):
        list(guarded_map(len, [("a",)], scheduler=address))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 2])
def test_children_that_are_killed_while_they_wait_are_replaced(seconds: int) -> None:
    parallel.close_worker_pool()
    try:
        for number in range(3):
            pid = parallel.guarded_call((), os.getpid)
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            time.sleep(seconds)  # the pool notices at once, or when it is asked
            assert parallel.guarded_call((), abs, -number) == number
    finally:
        parallel.close_worker_pool()


@pytest.mark.slow
def test_calls_that_wait_for_killed_children_are_started_again() -> None:
    children = parallel.Children(1)
    try:
        os.kill(children.outcome(children.submit(os.getpid)), signal.SIGKILL)
        calls = [children.submit(abs, -number) for number in range(9)]
        assert [children.outcome(call) for call in calls] == list(range(9))
    finally:
        children.close()
