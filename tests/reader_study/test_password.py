"""The administrator's password: a limit on guesses that does not lock the administrator out."""

from __future__ import annotations

import asyncio

import pytest

from mammogan.reader_study import password
from mammogan.reader_study.password import Gate, hash_password, same_password
from mammogan.reader_study.requests import RequestRefused


def test_passwords_are_stored_as_hashes() -> None:
    hashed = hash_password("geheim")
    assert "geheim" not in hashed
    assert same_password("geheim", hashed)
    assert not same_password("Geheim", hashed)


async def outcome(gate: Gate, *request: str) -> bool | str:
    try:
        return await gate.admits(*request)
    except RequestRefused as refusal:
        return refusal.kind


def test_guesses_are_limited_per_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password, "SCRYPT", {"n": 2, "r": 1, "p": 1})
    gate = Gate(hash_password("right"))

    async def attack() -> None:
        for network, addresses in (("192.0.2.1", ["192.0.2.1"]), ("2001:db8::", [f"2001:db8::{n}" for n in range(9)])):
            guesses = [outcome(gate, "wrong", addresses[n % len(addresses)]) for n in range(100)]
            seen = await asyncio.gather(*guesses)
            assert seen.count(False) == 5, network
            assert seen.count("password") == 95
            assert await outcome(gate, "right", addresses[0]) == "password"
        assert await outcome(gate, "right", "192.0.2.2") is True
        assert await outcome(gate, "right", "192.0.2.1", gate.cookie) is True
        assert await outcome(gate, "right", "192.0.2.1", "é") == "password"
        for _ in range(20):  # the right password is no guess
            assert await outcome(gate, "right", "2001:db8:1::1") is True
        monkeypatch.setattr(password, "PERIOD", 0.0)
        assert await outcome(gate, "right", "192.0.2.1") is True
        monkeypatch.setattr(password, "CLIENTS", 5)
        for number in range(50):
            await outcome(gate, "wrong", f"198.51.100.{number}")
        assert len(gate._guesses) == 5

    asyncio.run(attack())
