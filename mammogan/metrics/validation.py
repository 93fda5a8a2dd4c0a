"""Validation of arrays that the metrics accept."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_images(images: Any, name: str = "set") -> None:
    """Refuse what is no set of unsigned integer images (n, h, w).

    Raises:
        ValueError: another shape or type, or no image.
    """
    if len(images.shape) != 3 or not np.issubdtype(images.dtype, np.unsignedinteger):
        raise ValueError(f"The {name} must be unsigned integer images (n, h, w); quantize them to a gray grid.")
    if 0 in images.shape:
        raise ValueError(f"The {name} has no image.")


def check_features(real: np.ndarray, synthetic: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both tables as float64, or a sentence on what is wrong.

    Raises:
        ValueError: not two tables of the same columns, fewer than `least` rows, or a number that is not finite.
    """
    tables = tuple(np.asarray(table, np.float64) for table in (real, synthetic))
    for name, table in zip(("real", "synthetic"), tables, strict=True):
        if table.ndim != 2 or table.shape[1] != tables[0].shape[-1]:
            raise ValueError("Two tables of features with the same columns are needed, one row an image.")
        if len(table) < least:
            raise ValueError(f"The {name} set has {len(table)} images; this measure needs {least} or more.")
        if not np.isfinite(table).all():
            raise ValueError(f"The {name} set has a feature that is not a finite number; find the image and drop it.")
    return tables[0], tables[1]


def check_tables(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two moment tables as float64, or a sentence on what is wrong with them.

    Raises:
        ValueError: not two tables of the same columns, fewer than four rows, or a number that is not finite.
    """
    tables = [np.asarray(table, np.float64) for table in (real, synthetic)]
    for table, name in zip(tables, ("real", "synthetic"), strict=True):
        if table.ndim != 2 or table.shape[1] != tables[0].shape[1]:
            raise ValueError("Two tables of moments with the same columns are needed, one row an image.")
        if len(table) < 4:
            raise ValueError(f"The {name} set has {len(table)} images; at least 4 are needed to compare distributions.")
        if not np.isfinite(table).all():
            raise ValueError(f"The {name} set has a moment that is not a finite number; find the image and drop it.")
    return tables[0], tables[1]
