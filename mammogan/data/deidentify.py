"""Salted hashes of patients, and splits by patient."""

import hashlib
import os
import secrets
from pathlib import Path

from mammogan.atomic import replacing_text, sibling, writing
from mammogan.errors import OutputError

SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))


def split_of(patient: str, seed: int) -> str:
    """Return the split of a patient, a function of identifier and seed alone: new images follow the old ones."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}:{patient}".encode()).digest()[:8], "big") / 2**64
    for name, share in SPLITS:
        if draw < share:
            return name
        draw -= share
    return SPLITS[-1][0]


def salt_path(store: Path) -> Path:
    """Return the file of a store's salt, next to the store, so that the store can be passed on without it."""
    return sibling(store, ".salt")


def salt_of(store: Path) -> bytes:
    """Return the secret that patient hashes are salted with; created once, readable by its owner alone.

    Raises:
        OutputError: it cannot be written or read, or is empty: hashes without it give identifiers away.
    """
    path = salt_path(store)
    with writing(path):
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_text(path) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(secrets.token_hex(16))
        salt = path.read_bytes()
    if not salt:
        raise OutputError(f"{path} is empty, and patients are hashed with it; delete it, and give another store.")
    return salt


def salted_hash(salt: bytes, identifier: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of salt and identifier."""
    return hashlib.sha256(salt + identifier.encode(errors="surrogateescape")).hexdigest()[:16]
