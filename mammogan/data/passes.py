"""One look at every image of a set, on Dask: images stay where they are read, and a few numbers an image come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import numpy as np

from mammogan.data.shards import Level
from mammogan.memory import keep_memory

BLOCK = 16  # images a task
AT_ONCE = 4_000_000  # bytes of images: what is in the processor's cache need not come from memory again
AHEAD = 2  # tasks in work or waiting for each process


@contextmanager
def client(workers: int, scheduler: str | None) -> Iterator[Any]:
    """A Dask client: of the scheduler at an address, or of a cluster of `workers` processes on this machine."""
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if not scheduler:
            # The dashboard would open a port, and a worker's spill folder would land in the working directory.
            dask.config.set({"distributed.worker.memory.spill": False, "distributed.logging.distributed": "error"})
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
            scheduler = stack.enter_context(cluster).scheduler_address
        yield stack.enter_context(Client(scheduler))


def per_image(
    images: Level,
    function: Callable[..., np.ndarray],
    *arguments: Any,
    rows: np.ndarray | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """What a function says of every image; memory does not grow with the number of images but by the answers.

    Args:
        images: (N, h, w), a level of a store.
        function: of images (b, h, w) and `arguments`; returns (b, ...), a row an image. Importable by its name.
        rows: of the images to look at; all by default.
        workers: processes on this machine; one is this process itself.
        scheduler: address of a Dask scheduler, "tcp://host:8786", whose workers see the same files; they keep
            freed memory from then on.
        progress: called with the number of images done.

    Returns:
        (n, ...), in the order of `rows`.
    """
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    blocks = iter([rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)])
    found: list[np.ndarray] = []
    done = 0
    with ExitStack() as stack:
        if workers == 1 and not scheduler:
            answers: Iterator[Any] = (_look(images, block, function, arguments) for block in blocks)
        else:
            cluster = stack.enter_context(client(workers, scheduler))
            processes = max(len(cluster.scheduler_info(n_workers=-1)["workers"]), 1)
            answers = _in_order(
                lambda block: cluster.submit(_work, images, block, function, arguments, pure=False), blocks, processes
            )
        for answer in answers:
            found.append(answer)
            done += len(answer)
            progress(done)
    return np.concatenate(found)


def _look(images: Level, rows: np.ndarray, function: Callable[..., np.ndarray], arguments: tuple) -> np.ndarray:
    count = max(AT_ONCE // (images.dtype.itemsize * images.shape[1] * images.shape[2]), 1)
    some = [rows[start : start + count] for start in range(0, len(rows), count)]
    return np.concatenate([function(images[part], *arguments) for part in some])


def _work(images: Level, rows: np.ndarray, function: Callable[..., np.ndarray], arguments: tuple) -> np.ndarray:
    """`_look` in a worker, which Dask tells to give all freed memory back."""
    keep_memory()
    return _look(images, rows, function, arguments)


def _in_order(submit: Callable[[np.ndarray], Any], blocks: Iterator[np.ndarray], processes: int) -> Iterator[Any]:
    pending = deque(submit(block) for block in islice(blocks, AHEAD * processes))
    while pending:
        answer = pending.popleft().result()
        pending.extend(submit(block) for block in islice(blocks, 1))
        yield answer
