"""The reverse proxy of the book, run as it is printed but for its name, ports and files."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from study import ABOUT, PASSWORD, answer_rows, blank_study, needs_viewer, served

from mammogan.reader_study.addresses import CERTIFICATE
from mammogan.report.provenance import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    needs_viewer,
    pytest.mark.skipif(not NGINX or not shutil.which("openssl"), reason="nginx or OpenSSL is missing"),
]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return listening.getsockname()[1]


@contextmanager
def proxied(folder: Path, port: str) -> Iterator[int]:
    """Run book/examples/nginx.conf before the study at a port; yield the port of HTTPS."""
    subprocess.run(CERTIFICATE.format(host="127.0.0.1").split(), cwd=folder, check=True, capture_output=True)
    plain, secure = free_port(), free_port()
    conf = (ROOT / "book" / "examples" / "nginx.conf").read_text()
    for printed, here in {
        "127.0.0.1:8000": f"127.0.0.1:{port}",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ": f"listen 127.0.0.1:{secure} ",
        "/etc/nginx/": f"{folder}/",
    }.items():
        assert printed in conf
        conf = conf.replace(printed, here)
    temporary = "".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
    (folder / "main.conf").write_text(f"{main} http {{ access_log off; {temporary}\n{conf} }}")
    command = [str(NGINX), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "main.conf")]
    process = subprocess.Popen(command)
    try:
        for _ in range(200):
            time.sleep(0.05)
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", secure)) == 0:
                    break
        yield secure
    finally:
        process.terminate()
        process.wait(20)


def test_the_proxy_of_the_book(tmp_path: Path) -> None:
    study = blank_study(tmp_path / "study")
    (tmp_path / "nginx").mkdir()
    with served(study.folder) as (address, _), proxied(tmp_path / "nginx", address.rpartition(":")[2]) as port:
        context = ssl.create_default_context(cafile=str(tmp_path / "nginx" / "certificate.pem"))
        origin = f"https://127.0.0.1:{port}"

        def call(method: str, path: str, body: object = None, source: str = "127.0.0.1", **headers: str) -> tuple:
            wire = http.client.HTTPSConnection(
                "127.0.0.1", port, context=context, source_address=(source, 0), timeout=60
            )
            with closing(wire):
                sent = {"content-type": "application/json", "origin": origin, **headers}
                wire.request(method, path, json.dumps(body) if body is not None else None, sent)
                reply = wire.getresponse()
                return reply.status, reply.read().decode(), reply.headers

        def password(text: str) -> dict[str, str]:
            return {"authorization": f"Basic {base64.b64encode(f'admin:{text}'.encode()).decode()}"}

        # A session, whose requests have the origin that the browser sees.
        about = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": ""}
        status, text, headers = call("POST", "/api/sessions", about)
        assert status == 200, text
        assert "default-src 'none'" in headers["content-security-policy"]
        token = json.loads(text)["token"]
        body = {"question": 1, "chosen": "left", "seconds": 2.5, "age": 0, "key": secrets.token_hex(16)}
        assert call("POST", "/api/answers", body, authorization=f"Bearer {token}")[0] == 200
        assert call("POST", "/api/answers", body, authorization=f"Bearer {token}", origin="https://evil")[0] == 403
        # The administrator sees the address of the proxy, and gets a cookie for HTTPS only.
        status, page, headers = call("GET", "/admin", **password(PASSWORD))
        assert status == 200
        assert f"https://127.0.0.1:{port}/" in page
        assert "secure" in headers["set-cookie"].lower()
        # Wrong passwords of one address do not count for another one, which the proxy tells apart.
        wrong = [call("GET", "/admin", source="127.0.0.2", **password("no"))[0] for _ in range(7)]
        assert set(wrong) == {401, 429}
        assert call("GET", "/admin", source="127.0.0.3", **password(PASSWORD))[0] == 200
        # A request that is too long, and a head that does not end, stop at the proxy.
        assert call("POST", "/api/sessions", {"key": "x" * 2**17})[0] == 413
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1") as slow:
            slow.settimeout(30)
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            started = time.monotonic()
            assert slow.recv(100) == b""
            assert time.monotonic() - started < 20
    assert answer_rows(study) == [(1, 1, "left")]
