"""Salted hashes of patients, and splits by patient."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))


def split_of(patient: str, seed: int) -> str:
    """Split of a patient: a pure function of identifier and seed, so that new images of a patient follow the old."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}:{patient}".encode()).digest()[:8], "big") / 2**64
    for name, share in SPLITS:
        if draw < share:
            return name
        draw -= share
    return SPLITS[-1][0]


def salt_path(store: Path) -> Path:
    """Where the secret of a store's hashes lies: beside it, so that the store can be handed on without it."""
    return store.with_name(f"{store.name}.salt")


def salt_of(store: Path) -> bytes:
    """The secret that patient hashes are salted with; made once, readable to its owner alone."""
    path = salt_path(store)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
    return path.read_text().encode()


def salted_hash(salt: bytes, identifier: str) -> str:
    return hashlib.sha256(salt + identifier.encode(errors="surrogateescape")).hexdigest()[:16]
