"""Parallel work with bounded memory: an ordered map, guarded child processes, workers of Dask, threads."""

import ctypes
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from itertools import islice
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pebble import ProcessExpired, ProcessPool
from threadpoolctl import threadpool_limits

from mammogan.errors import InputError, Reason, Refused
from mammogan.types import ImageStack, Progress, no_progress

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Handle = TypeVar("Handle")
Value = TypeVar("Value")

SECONDS = 120.0  # a full mammogram takes less than one
GIBIBYTES = 4  # beyond what the child needs for itself; 30 megapixels as float64 take 0.24
AHEAD = 8  # items submitted or waiting per process: children go on while a shard is written
BLOCK = 16  # images per task of a worker
CACHED = 4_000_000  # bytes of images at a time, which fit into the cache of the processor
# mallopt(3): no blocks by mmap, grown by 256 MiB at a time, one arena for all threads; and from where to trim.
MALLOC_OPTIONS = ((-4, 0), (-2, 2**28), (-8, 1))
TRIM_THRESHOLD = -1
KEPT = 2**29  # bytes of freed memory that a guarded child keeps; an image takes a tenth, an odd file may take all


def keep_memory(at_most: int = -1) -> None:
    """Keep freed memory in this process for its next step, where the C library is glibc; -1 means all of it.

    Otherwise large blocks are returned to the system and cleared by it before they are allocated again, which takes
    much of the time of a step of wide networks, and most of the time of reading an image in a worker of Dask.
    """
    if platform.libc_ver()[0] == "glibc":
        set_option = ctypes.CDLL(None).mallopt
        for option, value in (*MALLOC_OPTIONS, (TRIM_THRESHOLD, at_most)):
            set_option(option, value)


def count_cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    submit: Callable[[Item], Handle], result: Callable[[Handle], Value], items: Iterable[Item], processes: int
) -> Iterator[Value]:
    """Yield the results of submitted items in order, with at most `AHEAD` items per process under way.

    Args:
        submit: starts the work on an item.
        result: waits for the return value of `submit`.
        items: read no further than work is under way.
        processes: number of processes that work.
    """
    items = iter(items)
    pending = deque(submit(item) for item in islice(items, AHEAD * processes))
    while pending:
        value = result(pending.popleft())
        pending.extend(submit(item) for item in islice(items, 1))
        yield value


def in_threads(function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
    """Return `function` of every item, in order, computed in one thread per core."""
    # Several threads of linear algebra in each of these would wait for each other and take several times as long.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def in_processes(function: Callable[[Item], Value], items: Iterable[Item], processes: int = 1) -> Iterator[Value]:
    """Yield `function` of every item, in order, computed in child processes; 1 is this process itself."""
    if processes == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from ordered_map(lambda item: pool.submit(function, item), lambda call: call.result(), items, processes)


# Guarded child processes: no file can crash, hang or fill the process that reads many files.


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C in the processes that the block starts: the terminal sends it to all, and this process ends them.

    Only the main thread can arrange that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_child() -> None:
    """Ignore Ctrl-C, keep memory from call to call, and bound the address space where the system allows it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory(KEPT)
    if sys.platform.startswith("linux"):
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + GIBIBYTES * 2**30,) * 2)


def guarded_pool(processes: int = 1, preload: Sequence[str] = ()) -> ProcessPool:
    """Return child processes with bounded memory; one that dies is replaced.

    Args:
        processes: number of children.
        preload: modules that are loaded once, before children are forked.
    """
    # Fork would copy the locks of other threads; a fork server is clean and, with the modules loaded, as fast.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with _ignoring_interrupts():
        forkserver.ensure_running()
    return ProcessPool(max_workers=processes, context=context, initializer=_start_child)


@lru_cache(maxsize=1)
def worker_pool(preload: tuple[str, ...] = ()) -> "Children":
    """Return the one child of this process, made at the first call and kept."""
    # Dask starts its workers as daemons, which Python forbids children. The child ends with its parent all the same:
    # its pipe closes.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    return Children(1, preload)


def close_worker_pool(preload: tuple[str, ...] = ()) -> None:
    """End the child of `worker_pool`; a process that keeps it would never end."""
    if worker_pool.cache_info().currsize:
        worker_pool(preload).close()
        worker_pool.cache_clear()


def submit_guarded(
    pool: ProcessPool, function: Callable[..., Value], *arguments: object, seconds: float = SECONDS
) -> Future[Value]:
    """Start a call in a child, which is stopped after `seconds`; see `outcome`."""
    return pool.schedule(_call, args=(function, *arguments), timeout=seconds)


class _Panicked(Exception):
    """A decoder written in Rust panicked; its own exception is not an `Exception` and cannot leave the process."""


def _call(function: Callable[..., Value], *arguments: object) -> Value:
    try:
        return function(*arguments)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        raise _Panicked from None


def outcome(call: Future[Value]) -> Value | Refused:
    """Return the result of a guarded call; a refusal if it took too long or too much memory, or its process died."""
    try:
        return call.result()
    except (TimeoutError, CancelledError):
        return Refused(Reason.TIMEOUT, f"Reading the file took longer than {SECONDS:.0f} s.")
    except MemoryError:
        return Refused(Reason.MEMORY, f"Reading the file takes more than {GIBIBYTES} GiB of memory.")
    except (ProcessExpired, _Panicked):
        return Refused(Reason.CRASHED, "The decoder crashed on the file.")


Call = tuple[tuple[Any, ...], Future[Any]]  # function and arguments, and what comes of them


class Children:
    """Guarded children: pebble replaces one that dies at work, but gives up when all are killed while they wait."""

    def __init__(self, processes: int, preload: Sequence[str] = ()) -> None:
        self._open = partial(guarded_pool, processes, preload)
        self.pool = self._open()

    def submit(self, *call: Any) -> Call:
        """Start a call of a function with arguments."""
        if not self.pool.active:
            self.close()
            self.pool = self._open()
        return call, submit_guarded(self.pool, *call)

    def outcome(self, started: Call) -> Any:
        """Return the outcome of a call, which is started again if the children were killed before it began."""
        try:
            return outcome(started[1])
        except BrokenProcessPool:
            return outcome(self.submit(*started[0])[1])

    def close(self) -> None:
        """End the children."""
        self.pool.stop()
        self.pool.join()


def guarded_call(preload: tuple[str, ...], function: Callable[..., Value], *arguments: object) -> Value | Refused:
    """Return the outcome of a call in the one child of this process."""
    children = worker_pool(preload)
    return children.outcome(children.submit(function, *arguments))


def guarded_map(
    function: Callable[..., Value],
    items: Iterable[tuple],
    workers: int = 1,
    scheduler: str | None = None,
    preload: tuple[str, ...] = (),
) -> Generator[Value | Refused, None, None]:
    """Yield the outcome of a guarded call per tuple of arguments, in order; close the generator to end early.

    Args:
        function: importable by its name.
        items: arguments of the calls, read no further than work is under way.
        workers: child processes on this machine.
        scheduler: address of a Dask scheduler, "tcp://host:8786", whose workers see the same files; or "local" for a
            Dask cluster of `workers` on this machine. Without one the children are called directly, which spares each
            result two passages through a network protocol.
        preload: modules that are loaded once, before children are forked.
    """
    with ExitStack() as stack:
        if not scheduler:
            children = Children(workers, preload)
            stack.callback(children.close)
            yield from ordered_map(lambda item: children.submit(function, *item), children.outcome, items, workers)
            return
        client = stack.enter_context(dask_client(workers, None if scheduler == "local" else scheduler))
        stack.callback(client.run, close_worker_pool, preload)
        yield from ordered_map(
            lambda item: client.submit(guarded_call, preload, function, *item, pure=False),
            lambda call: call.result(),
            items,
            count_workers(client),
        )


# Dask: workers on this machine or on others.


@contextmanager
def dask_client(workers: int, scheduler: str | None) -> Iterator["Client"]:
    """Yield a Dask client: of the scheduler at an address, or of a cluster of `workers` processes on this machine."""
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if not scheduler:
            # The dashboard would open a port, and a worker's spill folder would be made in the working directory.
            dask.config.set({"distributed.worker.memory.spill": False, "distributed.logging.distributed": "error"})
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
            scheduler = stack.enter_context(cluster).scheduler_address
        try:
            client = stack.enter_context(Client(scheduler))
        except (OSError, ValueError) as error:
            sentence = f"No Dask scheduler answers at {scheduler} ({type(error).__name__}); give the address of one"
            raise InputError(f"{sentence}, as tcp://host:8786, or none.") from None
        yield client


def count_workers(client: "Client") -> int:
    """Return the number of workers of a Dask client, at least 1."""
    return max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)


def map_images(
    images: ImageStack,
    function: Callable[..., np.ndarray],
    *arguments: object,
    rows: np.ndarray | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
    task: str = "images",
) -> np.ndarray:
    """Map a function over all images in parallel; only the results leave the workers.

    Args:
        images: (N, h, w).
        function: of images (b, h, w) and `arguments`; returns (b, ...), one row per image. Importable by its name.
        rows: indices of the images to map over; all by default.
        workers: processes on this machine; 1 is this process itself.
        scheduler: address of a Dask scheduler, "tcp://host:8786", whose workers see the same files; they keep
            freed memory from then on.
        progress, task: counts images under the name `task`.

    Returns:
        (n, ...), in the order of `rows`.
    """
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    results: list[np.ndarray] = []
    with ExitStack() as stack:
        if workers == 1 and not scheduler:
            answers: Iterator[np.ndarray] = (_map_block(images, block, function, arguments) for block in blocks)
        else:
            client = stack.enter_context(dask_client(workers, scheduler))
            answers = ordered_map(
                lambda block: client.submit(_map_in_worker, images, block, function, arguments, pure=False),
                lambda future: future.result(),
                blocks,
                count_workers(client),
            )
        done = 0
        for answer in answers:
            results.append(answer)
            done += len(answer)
            progress(task, done, len(rows))
    return np.concatenate(results)


def _map_block(
    images: ImageStack, rows: np.ndarray, function: Callable[..., np.ndarray], arguments: tuple[object, ...]
) -> np.ndarray:
    count = max(CACHED // (images.dtype.itemsize * images.shape[1] * images.shape[2]), 1)
    parts = [rows[start : start + count] for start in range(0, len(rows), count)]
    return np.concatenate([function(images[part], *arguments) for part in parts])


def _map_in_worker(*block: Any) -> np.ndarray:
    """Run `_map_block` in a worker, which Dask otherwise makes return all freed memory."""
    keep_memory()
    return _map_block(*block)
