"""One layer at a time on a processor: PyTorch's convolution, ours by direct sums, and ours by Winograd.

    python benchmarks/convolution.py [--repeats 3] [--threads 2]

Three tasks: the output; output and both gradients; the gradient by the image differentiated by the weights, as the
penalty does. Ratios are of processor time, medians over repeats in one process, minibatch of 8. From it comes
`mammogan.gan.ops.conv2d_gradfix.NARROWEST`. The table is printed
and kept as benchmarks/results/convolution.md and .json.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mammogan.gan.ops import conv2d_gradfix, winograd
from mammogan.parallel import keep_memory

RESULT = Path(__file__).parent / "results" / "convolution"
LAYERS = (
    (512, 512, 16, "same"), (512, 512, 32, "same"), (256, 256, 64, "same"), (128, 128, 128, "same"),
    (512, 256, 32, "up"), (256, 128, 64, "up"), (256, 512, 64, "down"), (128, 256, 128, "down"),
)  # fmt: skip
TASKS = ("output", "gradients", "penalty")


def pytorch(x: Tensor, weight: Tensor, kind: str) -> Tensor:
    if kind == "same":
        return F.conv2d(x, weight, padding=1)
    if kind == "down":
        return F.conv2d(x, conv2d_gradfix.four_shifts(weight) / 4, stride=2, padding=1)
    kernel = conv2d_gradfix.four_shifts(weight.flip(2, 3).transpose(0, 1))
    return F.conv_transpose2d(x, kernel, stride=2, padding=1)


def direct(x: Tensor, weight: Tensor, kind: str) -> Tensor:
    with conv2d_gradfix.plain_convolutions():
        return conv2d_gradfix.convolve(x, weight, weight.new_zeros(len(weight)), kind)  # type: ignore[arg-type]


WAYS = {"PyTorch": pytorch, "direct": direct, "Winograd": winograd.convolve}


def task(name: str, way, x: Tensor, weight: Tensor, kind: str, grad: Tensor) -> None:
    if name == "output":
        with torch.no_grad():
            way(x, weight, kind)
        return
    y = way(x, weight, kind)
    if name == "gradients":
        torch.autograd.grad(y, (x, weight), grad)
        return
    with conv2d_gradfix.no_weight_gradients():
        (first,) = torch.autograd.grad(y, x, grad, create_graph=True)
    torch.autograd.grad(first.square().sum(), weight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    rows = []
    for incoming, outgoing, side, kind in LAYERS:
        random = torch.Generator().manual_seed(0)
        x = torch.randn(8, incoming, side, side, generator=random).requires_grad_()
        weight = torch.randn(outgoing, incoming, 3, 3, generator=random).requires_grad_()
        grad = torch.randn(pytorch(x, weight, kind).shape, generator=random)
        seconds = {name: {way: [] for way in WAYS} for name in TASKS}
        for repeat in range(options.repeats + 1):
            for name in TASKS:
                for way, function in WAYS.items():
                    started = time.process_time()
                    task(name, function, x, weight, kind, grad)
                    if repeat:  # the first one warms up
                        seconds[name][way].append(time.process_time() - started)
        rows.append({"maps": [incoming, outgoing], "side": side, "kind": kind, "seconds": seconds})
        print(rows[-1], flush=True)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{platform.machine()}, {options.threads} thread(s)",
        "repeats": options.repeats,
        "rows": rows,
    }
    RESULT.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(table(report))
    print(table(report))


def table(report: dict) -> str:
    """The results as Markdown: seconds of PyTorch's own, and how many times faster the others are."""
    heads = [f"{name}: PyTorch, s | direct | Winograd" for name in TASKS]
    lines = [
        f"{report['date']}; {report['device']}; minibatch of 8; medians of {report['repeats']}, warm; *direct* and "
        "*Winograd*: times faster than PyTorch.",
        "",
        f"| Maps | Pixels in | Kind | {' | '.join(heads)} |",
        "|---" * (3 + 3 * len(TASKS)) + "|",
    ]
    for row in report["rows"]:
        cells = ["{} to {}".format(*row["maps"]), f"{row['side']} x {row['side']}", row["kind"]]
        for name in TASKS:
            times = row["seconds"][name]
            cells.append(f"{statistics.median(times['PyTorch']):.3f}")
            for way in ("direct", "Winograd"):
                ratios = [a / b for a, b in zip(times["PyTorch"], times[way], strict=True)]
                cells.append(f"{statistics.median(ratios):.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
