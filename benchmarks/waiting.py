"""Threads that wait in a loop: steps of a training, and next to two busy processes more, by the length of the loop.

python benchmarks/waiting.py writes results/waiting.md. Each measurement is a process of its own, because libgomp reads
its environment when it is loaded; settings are measured in turn, several rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "waiting.md"
SETTINGS: dict[str, dict[str, str]] = {
    "unset": {},
    **{f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": str(count)} for count in (0, 100, 1000, 10_000, 100_000)},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = 2  # processes


def steps(seconds: float) -> float:
    """Return the steps per second of the smoke profile at 40 x 32, warm."""
    from training import Step

    from mammogan.gan.device import configure_device
    from mammogan.gan.networks import Architecture

    configure_device("cpu")
    step = Step(Architecture(levels=4, latent=64, fmap_base=512, fmap_max=32), 3, 16, "cpu")
    step()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - started)


def measure(setting: dict[str, str], seconds: float, busy: int) -> float:
    """Return the steps per second in a process of its own, next to `busy` processes that compute."""
    environment = {name: value for name, value in os.environ.items() if name[:4] not in ("OMP_", "GOMP", "MKL_")}
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        command = [sys.executable, __file__, "--steps", str(seconds)]
        return float(subprocess.run(command, env={**environment, **setting}, check=True, capture_output=True).stdout)
    finally:
        for other in others:
            other.kill()
            other.wait()


def table(speeds: dict[str, dict[int, list[float]]], rounds: int, load: float) -> str:
    """Return the results as Markdown, medians over rounds."""
    lines = [
        f"{datetime.now(UTC).date().isoformat()}; {platform.machine()}, {os.cpu_count()} cores; medians of {rounds} "
        f"round(s); other load of the machine before the first: {load:.1f} processes.",
        "",
        f"| Setting | Steps/s, nothing added | With {BUSY} busy processes more | Ratio to unset | Ratio then |",
        "|---|---|---|---|---|",
    ]
    middle = {name: {busy: statistics.median(x) for busy, x in of.items()} for name, of in speeds.items()}
    for name, of in middle.items():
        ratios = [of[busy] / middle["unset"][busy] for busy in (0, BUSY)]
        lines.append(f"| {name} | {of[0]:.2f} | {of[BUSY]:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="duration of each measurement")
    parser.add_argument("--steps", type=float, help="measure in this process for so many seconds, and print the speed")
    options = parser.parse_args()
    if options.steps:
        print(steps(options.steps))
        return
    load = os.getloadavg()[0]
    speeds: dict[str, dict[int, list[float]]] = {name: {0: [], BUSY: []} for name in SETTINGS}
    for done in range(1, options.rounds + 1):
        for busy in (0, BUSY):
            for name, setting in SETTINGS.items():
                speeds[name][busy].append(measure(setting, options.seconds, busy))
                print(f"{name}, {busy} busy: {speeds[name][busy][-1]:.2f} steps/s", flush=True)
        RESULT.write_text(table(speeds, done, load))
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
