"""Measure the time of an answer while two hundred readers are active, on loopback, with every answer on disk first.

    python benchmarks/reader_server.py [--readers 200] [--repeats 3]

Readers are coroutines of one client process with a connection each; the server is `mammogan study serve` in another
process on the same cores. In the first setting each reader thinks for a second on average before an answer (exponential
times; people need ten times as long). In the second there is no pause: all answer as fast as replies come, which
shows the capacity of the server and makes them wait in line. For scale, one fsync of the same disk is timed too. The
table is printed and written to benchmarks/results/reader_server.md and .json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import secrets
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mammogan.atomic import write_json
from mammogan.reader_study.browser import write_application
from mammogan.reader_study.design import FORMAT, SECRET, ReaderStudy
from mammogan.reader_study.export import responses
from mammogan.types import Size

RESULT = Path(__file__).parent / "results" / "reader_server"
PAIRS = 10
SETTINGS = {"a second of thought": 1.0, "no thought": 0.0}


def blank_study(folder: Path) -> ReaderStudy:
    """Make a study with pools of a thousand names; answering reads no picture."""
    (folder / "public").mkdir(parents=True)
    rng = np.random.default_rng(0)
    pools = {
        name: [{"name": rng.bytes(8).hex(), "id": f"{name}-{number}"} for number in range(1000)]
        for name in ("real", "synthetic")
    }
    write_json(folder / SECRET, {"format": FORMAT, "title": "", "note": "", "seed": 0, "pairs": PAIRS, "pools": pools})
    study = ReaderStudy.open(folder)
    write_application(study, folder / "public", Size(1280, 1024), browser=False)
    return study


class Client:
    """The connection of one reader."""

    def __init__(self, port: int) -> None:
        self.port, self.token = port, ""

    async def post(self, path: str, body: dict) -> dict:
        """Send a request; return the JSON of the reply."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {self.token}\r\nContent-Length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        status = await self.reader.readline()
        if not status:
            raise SystemExit("the server closed a connection")
        length = 0
        while (line := await self.reader.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        content = json.loads(await self.reader.readexactly(length))
        if b" 200 " not in status:
            raise SystemExit(f"refused: {content}")
        return content

    async def read(self, thought: float, rng: random.Random, times: list[float]) -> None:
        """Answer the questions of one session; add the seconds of each answer to `times`."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        about = {"radiologist": "no", "years": 0}
        opened = await self.post("/api/sessions", {"key": secrets.token_hex(16), "questionnaire": about, "reader": ""})
        self.token = opened["token"]
        for question in range(1, PAIRS + 1):
            if thought:
                await asyncio.sleep(rng.expovariate(1 / thought))
            body = {"question": question, "chosen": rng.choice(["left", "right"]), "seconds": 1.0, "age": 0.0}
            started = time.perf_counter()
            await self.post("/api/answers", {**body, "key": secrets.token_hex(16)})
            times.append(time.perf_counter() - started)
        self.writer.close()


async def everybody(port: int, readers: int, thought: float) -> tuple[list[float], float]:
    """Run all readers at once; return the seconds of each answer, and of all."""
    times: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(*(Client(port).read(thought, random.Random(n), times) for n in range(readers)))
    return times, time.perf_counter() - started


def fsync_time(folder: Path) -> float:
    """Return the median seconds of an fsync of 4 KiB on the disk of the study."""
    times = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return float(np.median(times))


def processor_time(pid: int) -> float:
    """Return the seconds of processor time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Parse the command line, run all settings and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[dict]] = {name: [] for name in SETTINGS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for repeat in range(options.repeats):
            for name, thought in SETTINGS.items():
                study = blank_study(folder / f"{repeat}-{thought}")
                server = subprocess.Popen(
                    [sys.executable, "-m", "mammogan", "study", "serve", str(study.folder), "--port", "0"],
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "MAMMOGAN_STUDY_PASSWORD": "x"},
                )
                try:
                    assert server.stdout
                    port = int(server.stdout.readline().split("/ and")[0].rpartition(":")[2])
                    before = processor_time(server.pid)
                    times, took = asyncio.run(everybody(port, options.readers, thought))
                    used = processor_time(server.pid) - before
                finally:
                    server.terminate()
                    server.wait()
                table = responses(study)
                wanted = options.readers * PAIRS
                assert len(table) == len(times) == wanted, f"{len(table)} answers stored of {wanted}"
                assert not table.duplicated(["session", "question"]).any()
                quantiles = [float(q) for q in np.quantile(times, (0.5, 0.95, 0.99, 1))]
                load = os.getloadavg()[0]
                runs[name].append(
                    {
                        "quantiles": quantiles,
                        "rate": wanted / took,
                        "kept": len(table),
                        "load": load,
                        "used": used / wanted,
                    }
                )
                print(name, *(f"{1000 * q:.1f} ms" for q in quantiles), f"{wanted / took:.0f} answers/s", flush=True)
        disk = fsync_time(folder)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "readers": options.readers,
        "repeats": options.repeats,
        "fsync": disk,
        "niceness": os.nice(0),
        "runs": runs,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(table_of(report))
    print(table_of(report))


def table_of(report: dict) -> str:
    """Return the results as Markdown: medians over the repeats."""
    load = [run["load"] for runs in report["runs"].values() for run in runs]
    lines = [
        f"{report['date']}; {report['device']}; {report['repeats']} repeats of {report['readers']} readers, {PAIRS} "
        f"answers each. Load average of the machine {min(load):.0f} to {max(load):.0f}, niceness of client and server "
        f"{report['niceness']}; one fsync takes "
        f"{1000 * report['fsync']:.2f} ms. Milliseconds from request to acknowledgment, medians over the repeats.",
        "",
        "| Readers answer after | Median | 95th percentile | 99th | Longest | Answers per second "
        "| Server's processor time per answer | Stored of sent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in report["runs"].items():
        quantiles = 1000 * np.median([run["quantiles"] for run in runs], axis=0)
        kept, sent = sum(run["kept"] for run in runs), len(runs) * report["readers"] * PAIRS
        rate = np.median([run["rate"] for run in runs])
        used = 1000 * np.median([run["used"] for run in runs])
        times = " | ".join(f"{q:.1f}" for q in quantiles)
        lines.append(f"| {name} | {times} | {rate:.0f} | {used:.2f} | {kept} of {sent} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
