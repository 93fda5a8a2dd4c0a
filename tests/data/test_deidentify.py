"""Splits are by patient."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mammogan.data.deidentify import salt_of, salt_path, split_of
from mammogan.data.store import Store
from mammogan.errors import OutputError


def test_patients_are_not_divided(store: Store) -> None:
    assert store.manifest.groupby("patient")["split"].nunique().max() == 1
    draws = [split_of(str(number), 0) for number in range(4000)]
    assert draws.count("train") == pytest.approx(3200, abs=120)


def test_a_disk_that_is_full_leaves_no_empty_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full, pytest.raises(OutputError, match="full"):

        def write(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr("mammogan.data.deidentify.secrets.token_hex", write)
        salt_of(tmp_path / "store")
    assert not salt_path(tmp_path / "store").exists()
    salt = salt_of(tmp_path / "store")
    assert len(salt) == 32 and salt_of(tmp_path / "store") == salt
    assert salt_path(tmp_path / "store").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"])
def test_an_empty_salt_is_refused_and_any_other_is_used(tmp_path: Path, content: bytes) -> None:
    salt_path(tmp_path / "store").write_bytes(content)
    if content:
        assert salt_of(tmp_path / "store") == content
        return
    with pytest.raises(OutputError, match="is empty"):
        salt_of(tmp_path / "store")
