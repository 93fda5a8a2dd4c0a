"""Addresses that tablets can open, and their QR codes."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from study import blank_study, needs_viewer, served

from mammogan.reader_study import addresses
from mammogan.reader_study.addresses import announcement, reachable


def test_an_address_that_tablets_can_open_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(0, 0, 0, "", (each, 0)) for each in ("127.0.1.1", "169.254.7.7", "10.1.2.3", "192.168.4.5")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: entries)

    def no_network(*_: Any) -> None:
        raise OSError("unreachable")

    monkeypatch.setattr(addresses.socket, "socket", no_network)
    assert reachable("0.0.0.0") == ["10.1.2.3", "192.168.4.5"]
    where, others, code, advice = announcement("0.0.0.0", 8000, secure=False)
    assert where.startswith("The study is at http://10.1.2.3:8000/ and its counts at http://10.1.2.3:8000/admin;")
    assert others == "Other addresses of this machine: http://192.168.4.5:8000/"
    assert len(code.splitlines()) > 10
    assert "subjectAltName=IP:10.1.2.3" in advice
    assert len(announcement("10.1.2.3", 8000, secure=True)) == 2
    assert announcement("::1", 8000, secure=True)[0].startswith("The study is at https://[::1]:8000/ ")
    entries.clear()
    assert "--host 0.0.0.0 admits tablets" in announcement("127.0.0.1", 8000, secure=False)[-1]
    assert reachable("0.0.0.0") == ["127.0.0.1"]


@needs_viewer
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="OpenSSL is missing")
def test_the_printed_command_makes_a_certificate(tmp_path: Path) -> None:
    study = blank_study(tmp_path / "study")
    subprocess.run(
        addresses.CERTIFICATE.format(host="127.0.0.1").split(), cwd=tmp_path, check=True, capture_output=True
    )
    files = ("--certificate", str(tmp_path / "certificate.pem"), "--key", str(tmp_path / "key.pem"))
    trusted = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    with (
        served(study.folder, 0, *files) as (address, _),
        urllib.request.urlopen(f"{address}/study.js", context=trusted) as reply,
    ):
        assert address.startswith("https://127.0.0.1:")
        assert reply.status == 200
