"""What a process does with memory that it has freed."""

from __future__ import annotations

import ctypes
import platform

# mallopt(3): no blocks by mmap, nothing trimmed, grown by 256 MiB at a time, one arena for all threads.
M_OPTIONS = ((-4, 0), (-1, -1), (-2, 2**28), (-8, 1))


def keep_memory() -> None:
    """Let this process keep freed memory for its next step, where the C library is glibc.

    Large blocks are otherwise returned to the system when freed and cleared by it when asked for again, which takes
    much of the time of a step of wide networks, and most of the time to read an image in a worker of Dask.
    """
    if platform.libc_ver()[0] == "glibc":
        set_option = ctypes.CDLL(None).mallopt
        for option, value in M_OPTIONS:
            set_option(option, value)
