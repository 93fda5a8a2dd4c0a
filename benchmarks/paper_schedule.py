"""What the paper's schedule asks of a GPU, counted: arithmetic of every level, and hours at the peak of an H200.

    python benchmarks/paper_schedule.py

Nothing is computed and no GPU is needed. The original's schedule of 12 million images, nine levels, full widths, and
that of the profile `paper-2560` with one level more; a fade is counted as the level that it leads to. No program
reaches a device's peak: the hours are bounds from below, and the share of the peak that 24 hours ask for says what is
out of reach. The table is printed and kept as benchmarks/results/paper_schedule.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from training import PEAK

from mammogan.gan.config import PRECISIONS, preset
from mammogan.gan.cost import Counter, count_step
from mammogan.gan.losses import gradient_penalty
from mammogan.gan.networks import Architecture, Discriminator
from mammogan.gan.ops.conv2d_gradfix import plain_convolutions

RESULT = Path(__file__).parent / "results" / "paper_schedule.md"
DEVICE = "H200"
GOAL = 24.0  # hours


def penalty_flop(architecture: Architecture, level: int, batch: int) -> float:
    """Floating-point operations of the gradient penalty, derivatives by D's weights included, an image."""
    with FakeTensorMode(), plain_convolutions():
        d = Discriminator(architecture)
        real, fake = (torch.empty(batch, architecture.channels, *architecture.size(level)) for _ in range(2))
        with Counter() as counter:
            critic = lambda images, labels: d(images, level, 1.0, labels)  # noqa: E731
            gradient_penalty(critic, real, fake, torch.empty(batch, 0), torch.empty(batch)).mean().backward()
    return counter.flop / batch


def hours(precision: str, rest: float, penalty: float) -> float:
    """At the device's peak, of so many operations outside the penalty and in it."""
    peak = PEAK[DEVICE]
    full = "tf32" if "tf32" in precision else "float32"
    most = "bfloat16" if "bfloat16" in precision else full
    return (rest / peak[most] + penalty / peak[full]) / 3600


def section(profile: str) -> list[str]:
    """Lines on the schedule of a profile, whose levels are those of minibatches if it states none."""
    config = preset(profile)
    config = config.at_levels(config.levels or len(config.batches))
    architecture, schedule = config.architecture(Architecture().base), config.schedule
    lines = [
        f"Profile `{profile}`, {config.levels} levels:",
        "",
        "| Size | Minibatch | Images | GFLOP an image | Of it the penalty | Memory, GB | EFLOP |",
        "|---|---|---|---|---|---|---|",
    ]
    total = penalties = 0.0
    for level, images in enumerate(schedule.images_by_level):
        batch = schedule.batches[level]
        cost, penalty = count_step(architecture, level, batch, alpha=1.0), penalty_flop(architecture, level, batch)
        total += images * cost.flop
        penalties += images * penalty
        height, width = architecture.size(level)
        lines.append(
            f"| {height} x {width} | {batch} | {images:,} | {cost.flop / 1e9:.4g} | {100 * penalty / cost.flop:.0f} % "
            f"| {cost.peak_bytes / 1e9:.1f} | {images * cost.flop / 1e18:.3f} |"
        )
    lines += [
        "",
        f"In all {total / 1e18:.2f} EFLOP, {100 * penalties / total:.0f} % of them in the penalty.",
        "",
        f"| `precision` | Hours at the peak of an {DEVICE} | Share of the peak for {GOAL:.0f} hours |",
        "|---|---|---|",
    ]
    for precision in PRECISIONS:
        least = hours(precision, total - penalties, penalties)
        lines.append(f"| {precision} | {least:.1f} | {100 * least / GOAL:.0f} % |")
    return [*lines, ""]


def main() -> None:
    lines = [f"{datetime.now(UTC).date().isoformat()}; counted.", "", *section("paper"), *section("paper-2560")]
    RESULT.write_text("\n".join(lines).rstrip() + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
