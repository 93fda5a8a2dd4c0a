"""A map over images gives the same numbers in this process and on Dask, and workers keep their memory."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

import numpy as np
import pytest
from small_stores import make_store

from mammogan.metrics.moments import image_moments
from mammogan.parallel import map_images


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
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return np.full((len(images), 2), [os.getpid(), faults])


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the memory of glibc can be told to stay")
def test_a_worker_keeps_the_memory_of_its_images(tmp_path: Path) -> None:
    images = make_store(tmp_path / "store", 1, 1, size=(640, 512)).images()
    found = map_images(images, page_faults, rows=np.zeros(320, int), workers=2)[::16]  # a row a task
    for worker in np.unique(found[:, 0]):
        more = np.diff(found[found[:, 0] == worker, 1])
        # An image takes 160 pages, and a task 2,560 where each is asked for anew.
        assert np.median(more) < 160
