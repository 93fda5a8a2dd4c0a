"""Splits are by patient."""

from __future__ import annotations

import pytest

from mammogan.data.deidentify import split_of
from mammogan.data.store import Store


def test_patients_are_not_divided(store: Store) -> None:
    assert store.manifest.groupby("patient")["split"].nunique().max() == 1
    draws = [split_of(str(number), 0) for number in range(4000)]
    assert draws.count("train") == pytest.approx(3200, abs=120)
