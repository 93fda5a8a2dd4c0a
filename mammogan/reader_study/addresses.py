"""The addresses under which other machines open the server of a study, and their QR codes."""

from __future__ import annotations

import io
import ipaddress
import socket
from contextlib import suppress

import segno

CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout key.pem -out certificate.pem -subj /CN=study "
    "-addext subjectAltName=IP:{host}"
)


def reachable(host: str) -> list[str]:
    """Return the hosts of the URLs of a server that listens at `host`; for 0.0.0.0 those of the machine."""
    if not ipaddress_of(host).is_unspecified:
        return [host]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    addresses: list[str] = []
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(("2001:db8::1" if ":" in host else "192.0.2.1", 9))  # documentation addresses; nothing is sent
        addresses.append(probe.getsockname()[0])
    with suppress(OSError):
        addresses += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, family)]
    useful = [each for each in addresses if not (ip := ipaddress_of(each)).is_loopback and not ip.is_link_local]
    return list(dict.fromkeys(useful)) or ["::1" if ":" in host else "127.0.0.1"]


def ipaddress_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return a host as an address; a name of a machine counts as an address of documentation."""
    try:
        return ipaddress.ip_address(host.partition("%")[0] or "0.0.0.0")
    except ValueError:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else "192.0.2.1")


def announcement(host: str, port: int, secure: bool) -> list[str]:
    """Return what `serve` prints: where the study is, a QR code for tablets, and how to get a certificate."""
    hosts = reachable(host)
    urls = [f"{'https' if secure else 'http'}://{f'[{each}]' if ':' in each else each}:{port}" for each in hosts]
    lines = [f"The study is at {urls[0]}/ and its counts at {urls[0]}/admin; Ctrl-C stops it, and nothing is lost."]
    if urls[1:]:
        lines.append(f"Other addresses of this machine: {', '.join(f'{url}/' for url in urls[1:])}")
    if ipaddress_of(hosts[0]).is_loopback:
        return [*lines, "Only this machine can open it; --host 0.0.0.0 admits tablets."]
    code = io.StringIO()
    segno.make(f"{urls[0]}/", error="m").terminal(out=code, compact=True)
    lines.append(code.getvalue().rstrip("\n"))
    if not secure:
        how = CERTIFICATE.format(host=hosts[0])
        lines.append(f"HTTP is not encrypted; for HTTPS, give --certificate and --key, which OpenSSL makes with: {how}")
    return lines


def qr_image(url: str) -> str:
    """Return the QR code of a URL as the URL of an image."""
    return segno.make(url, error="m").svg_data_uri(scale=6, light="white", border=4)
