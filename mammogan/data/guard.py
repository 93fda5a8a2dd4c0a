"""Runs the reading of one file in a child process, so that no file can crash, hang or fill the one that reads many."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, TimeoutError
from functools import lru_cache
from typing import Any

from pebble import ProcessExpired, ProcessPool

from mammogan.data.display import Refused

SECONDS = 120.0  # a full mammogram takes less than one
GIBIBYTES = 4  # beyond what the child needs for itself; 30 megapixels as float64 take 0.24


def limit_memory() -> None:
    """Bound the address space of this process; where the system has no such bound, do nothing."""
    if sys.platform.startswith("linux"):
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + GIBIBYTES * 2**30,) * 2)


def pool(processes: int = 1) -> ProcessPool:
    """Child processes with bounded memory; one that dies is replaced."""
    # Fork would copy the locks of other threads; a fork server is clean and, with the modules loaded, as fast.
    context = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
    if sys.platform != "win32":
        context.set_forkserver_preload(["mammogan.data.ingest"])
    return ProcessPool(max_workers=processes, context=context, initializer=limit_memory)


@lru_cache(maxsize=1)
def own_pool() -> ProcessPool:
    """One child for this process, made at the first call and kept."""
    # Dask starts its workers as daemons, which Python forbids children. The child ends with its parent all the same:
    # its pipe closes.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    return pool()


def close_own_pool() -> None:
    """End the child of `own_pool`; a process that keeps it would be waited for in vain."""
    if own_pool.cache_info().currsize:
        own_pool().stop()
        own_pool().join()
        own_pool.cache_clear()


def submit(children: ProcessPool, function: Callable[..., Any], *arguments: Any, seconds: float = SECONDS) -> Future:
    """Start a call in a child; `outcome` waits for it. It is stopped after `seconds`."""
    return children.schedule(_call, args=(function, *arguments), timeout=seconds)


class _PanickedError(Exception):
    """A decoder written in Rust gave up; its own exception is no `Exception` and cannot be sent between processes."""


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        raise _PanickedError from None


def outcome(call: Future) -> Any:
    """What a call returned.

    Raises:
        Refused: it took too long, took too much memory, or its process died.
    """
    try:
        return call.result()
    except (TimeoutError, CancelledError):
        raise Refused("timeout", f"Reading the file took longer than {SECONDS:.0f} s.") from None
    except MemoryError:
        raise Refused("memory", f"Reading the file takes more than {GIBIBYTES} GiB of memory.") from None
    except (ProcessExpired, _PanickedError):
        raise Refused("crashed", "The decoder crashed on the file.") from None
