"""Seconds of one training step (an update of D and one of G), level by level, beside a plain reference.

    python benchmarks/training.py [--device cpu] [--levels 0 1 2 3] [--square] [--rounds 2] [--zoo DIR] [--name NAME]
    python benchmarks/training.py --paper --levels 0 1 2 3 4 5 6 7 8 --rounds 1 --repeats 5 --store STORE     on a GPU

The plain reference is the same arithmetic as a paper would state it: three passes of D (real, generated, between), maps
in rows, PyTorch's own convolutions. Ours takes real and generated images in one pass, by convolutions of its own, and
keeps freed memory, with deterministic algorithms, as training does; "memory given back" does neither. "tf32" and
"bfloat16" are these settings of `precision`, on a GPU with the penalty in TF32. "compiled" has the generator go through
torch.compile, which cannot take the second derivatives of D's penalty and needs a compiler. A variant that fails at a
level is said and left out there.

--paper takes each level's minibatch of the paper's schedule and adds up the hours that all its images would take at the
speed of the levels measured. Memory is the device's, on a processor that of the whole process. Speed is compared with
that of a large product of matrices in the type that a variant multiplies in most. --store adds how long a minibatch
takes to be read, which training does ahead of time.

Variants take turns, each in a process of its own, warm; the table gives medians over rounds and medians of the ratios
within a round. --square counts 4 x 4 doubled, to compare with ports that know squares only. --processor-time counts
the processor's seconds, which neighbors on a shared machine stretch less than a clock's. --zoo adds the step of a
well-known port, pytorch_GAN_zoo, from a checkout (measured: b75dee4) for the square sizes. The table is printed and
kept as benchmarks/results/NAME.md and .json; NAME is training-cpu or training-gpu where none is given.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from mammogan.data.store import Store
from mammogan.gan import networks
from mammogan.gan.config import Config
from mammogan.gan.cost import count_step
from mammogan.gan.dataset import RealImages
from mammogan.gan.device import allow_tf32, configure_device
from mammogan.gan.losses import DRIFT, LAMBDA, discriminator_losses, generator_loss, gradient_penalty
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.ops.conv2d_gradfix import convolve, four_shifts
from mammogan.gan.schedule import Schedule
from mammogan.parallel import keep_memory

RESULTS = Path(__file__).parent / "results"
RIVALS = ("plain", "GAN zoo")
GIVEN_BACK = "memory given back"
WARM = 2  # steps before the timed ones
# Peak of dense products, FLOP a second, as the vendors state.
PEAK = {name: {"float32": 67e12, "tf32": 494e12, "bfloat16": 989e12} for name in ("H100", "H200")}


def variants(device: str) -> dict[str, dict[str, Any]]:
    """What is timed: the plain reference, ours, and ours with a choice more each."""
    found: dict[str, dict[str, Any]] = {"plain": {"plain": True}, "ours": {}}
    if device != "cpu":
        half = {"precision": "bfloat16,tf32", "channels_last": True}
        found |= {
            "tf32": {"precision": "tf32"},
            "channels_last": {"precision": "tf32", "channels_last": True},
            "bfloat16": half,
        }
        return found | ({"compiled": half | {"compiled": True}} if shutil.which("gcc") else {})
    found["channels_last"] = {"channels_last": True}
    found["bfloat16"] = {"precision": "bfloat16", "channels_last": True}
    compiled = {"compiled": {"compiled": True}} if shutil.which("g++") else {}
    return found | {GIVEN_BACK: {}} | compiled


def plainly(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, kind: str = "same") -> torch.Tensor:
    """A layer by PyTorch's own convolutions and their derivatives."""
    if kind == "same":
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    if kind == "down":
        return F.conv2d(x, four_shifts(weight) / 4, bias, stride=2, padding=1)
    return F.conv_transpose2d(x, four_shifts(weight.flip(2, 3).transpose(0, 1)), bias, stride=2, padding=1)


class Step:
    """A step of one variant at one level, on tensors that stand."""

    def __init__(
        self,
        architecture: Architecture,
        level: int,
        batch: int,
        device: str,
        plain: bool = False,
        channels_last: bool = False,
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        torch.manual_seed(0)
        allow_tf32("tf32" in precision)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.g = Generator(architecture).to(device).to(memory_format=layout)
        self.d = Discriminator(architecture).to(device).to(memory_format=layout)
        adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99), fused=not plain)
        self.adams = [adam(net.parameters()) for net in (self.d, self.g)]
        self.z = torch.randn(batch, architecture.latent, device=device)
        self.real = torch.randn(batch, architecture.channels, *architecture.size(level), device=device)
        self.labels, self.mix = torch.zeros(batch, 0, device=device), torch.rand(batch, device=device)
        self.level, self.device, self.plain, self.half = level, device, plain, "bfloat16" in precision
        self.draw: Callable[..., torch.Tensor] = torch.compile(self.g) if compiled else self.g

    def critic(self, images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return self.d(images, self.level)

    def losses_d(self, fake: torch.Tensor) -> Iterator[torch.Tensor]:
        if not self.plain:
            yield from (loss for loss, _ in discriminator_losses(self.critic, self.real, fake, self.labels, self.mix))
            return
        real_scores, fake_scores = self.d(self.real, self.level), self.d(fake, self.level)
        penalty = gradient_penalty(self.critic, self.real, fake, self.labels, self.mix)
        yield (fake_scores - real_scores + LAMBDA * penalty + DRIFT * real_scores.square()).mean()

    def losses_g(self, fake: torch.Tensor) -> Iterator[torch.Tensor]:
        yield generator_loss(self.d(fake, self.level).float())

    def __call__(self) -> None:
        networks.convolve = plainly if self.plain else convolve
        for network, adam, of_d in ((self.d, self.adams[0], True), (self.g, self.adams[1], False)):
            self.d.requires_grad_(of_d)
            self.g.requires_grad_(not of_d)
            network.zero_grad(set_to_none=True)
            autocast = partial(torch.autocast, self.device.split(":")[0], torch.bfloat16, enabled=self.half)
            with autocast():
                fake = self.draw(self.z, self.level)
            parts = (self.losses_d if of_d else self.losses_g)(fake)
            while True:
                with autocast():
                    loss = next(parts, None)
                if loss is None:
                    break
                loss.backward()
            adam.step()
        if self.device != "cpu":
            torch.cuda.synchronize()


class ZooStep:
    """A step of pytorch_GAN_zoo, whose code as it stands this torch refuses for Adam's betas alone.

    Its gray images do not train; three channels cost it next to nothing.
    """

    def __init__(self, checkout: Path, architecture: Architecture, level: int, batch: int) -> None:
        sys.path.insert(0, str(checkout))
        from models.progressive_gan import ProgressiveGAN

        def adam(network: torch.nn.Module) -> torch.optim.Adam:
            return torch.optim.Adam(network.parameters(), 1e-3, betas=(0.0, 0.99))

        ProgressiveGAN.getOptimizerD = lambda model: adam(model.netD)
        ProgressiveGAN.getOptimizerG = lambda model: adam(model.netG)
        torch.manual_seed(0)
        self.model = ProgressiveGAN(
            dimLatentVector=architecture.latent, depthScale0=architecture.maps(0), miniBatchStdDev=True, dimOutput=3,
            useGPU=False, lossMode="WGANGP", lambdaGP=LAMBDA, epsilonD=DRIFT,
        )  # fmt: skip
        for above in range(1, level + 1):
            self.model.addScale(architecture.maps(above))
        self.real = torch.randn(batch, 3, *architecture.size(level))

    def __call__(self) -> None:
        self.model.optimizeParameters(self.real)


def measure(name: str, level: int, batch: int, options: argparse.Namespace) -> tuple[list[float], int]:
    """Seconds of each step of a variant once warm, and its peak of memory in bytes."""
    architecture = Architecture(base=(4, 4) if options.square else (5, 4))
    clock = time.process_time if options.processor_time else time.perf_counter
    if name not in (*RIVALS, GIVEN_BACK):
        configure_device(options.device)
    if options.device != "cpu":
        torch.cuda.set_device(options.device)
    step: Callable[[], None]
    if name == "GAN zoo":
        step = ZooStep(options.zoo, architecture, level, batch)
    else:
        step = Step(architecture, level, batch, options.device, **variants(options.device)[name])
    seconds = []
    for repeat in range(WARM + options.repeats):
        started = clock()
        step()
        if repeat >= WARM:
            seconds.append(clock() - started)
    if options.device == "cpu":
        return seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, torch.cuda.max_memory_allocated()


def reading(store: Store, size: tuple[int, int], batch: int) -> float:
    """Seconds until a minibatch of real images is ready: the median of ten."""
    keep_memory()
    reals, seconds = RealImages(store, size, "", seed=0), []
    for repeat in range(10):
        started = time.perf_counter()
        reals.batch(repeat * batch, batch)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def product_speed(device: str, precision: str) -> float:
    """FLOP a second of one large product of matrices, the best of five: what convolutions can be measured by."""
    kind = torch.bfloat16 if "bfloat16" in precision else torch.float32
    allow_tf32("tf32" in precision)
    side = 4096 if device == "cpu" else 16384
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    if device != "cpu":
        del a, b
        torch.cuda.empty_cache()  # for the processes that follow
    return 2 * side**3 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--levels", type=int, nargs="+", default=[3, 4])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--paper", action="store_true", help="the paper's minibatches, and hours of its schedule")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each variant, in turn")
    parser.add_argument("--repeats", type=int, default=2, help="steps timed in each process")
    parser.add_argument("--store", type=Path, help="of real images, of all these levels")
    parser.add_argument("--square", action="store_true")
    parser.add_argument("--skip", nargs="*", default=[], help="variants to leave out")
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--zoo", type=Path, help="checkout of pytorch_GAN_zoo")
    parser.add_argument("--name", help="of the results")
    options = parser.parse_args()
    architecture = Architecture(base=(4, 4) if options.square else (5, 4))
    schedule = paper_schedule()
    paper = schedule.images_by_level
    if options.device != "cpu":
        options.device = "cuda:0" if options.device == "cuda" else options.device
        torch.cuda.set_device(options.device)
    gpu = torch.cuda.get_device_name() if options.device != "cpu" else ""
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": gpu or f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
        "clock": "processor" if options.processor_time else "wall",
        "rounds": options.rounds,
        "repeats": options.repeats,
    }
    path = RESULTS / (options.name or f"training-{'gpu' if gpu else 'cpu'}")
    rows: list[dict[str, Any]] = []
    for level in options.levels:
        batch = schedule.batches[level] if options.paper else options.batch
        named: dict[str, dict[str, Any]] = {
            k: v for k, v in variants(options.device).items() if k not in options.skip
        } | ({"GAN zoo": {}} if options.zoo else {})
        seconds: dict[str, list[list[float]]] = {name: [] for name in named}
        peak: dict[str, int] = {}
        for _ in range(options.rounds):
            for name in named:
                # A process of its own: one variant's memory would be in the way of another's.
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                    try:
                        found = process.submit(measure, name, level, batch, options).result()
                    except (RuntimeError, BrokenExecutor) as error:  # of memory, of a compiler
                        print(f"level {level}, {name}: {error}", flush=True)
                        continue
                seconds[name].append(found[0])
                peak[name] = found[1]
                print(f"level {level}, {name}: {', '.join(f'{s:.3g}' for s in found[0])} s", flush=True)
        if not peak.keys() - RIVALS:
            print(f"level {level}: nothing of ours could be measured", flush=True)
            continue
        cost = count_step(architecture, level, batch, alpha=1.0)
        row = {"level": level, "size": architecture.size(level), "batch": batch, "flop": cost.flop}
        row |= {"peak_bytes": cost.peak_bytes} | ({"images": paper[level]} if options.paper else {})
        if options.store:
            row["reading"] = reading(Store.open(options.store), row["size"], batch)
        # Beside each level: on a shared machine the ceiling moves, too.
        kinds = {variants(options.device).get(name, {}).get("precision", "float32") for name in named}
        row["product_speed"] = {kind: product_speed(options.device, kind) for kind in sorted(kinds)}
        rows.append({**row, "measured_peak_bytes": peak, "seconds": seconds})
        report["rows"] = rows
        # After each level: what is measured stays where a later one takes too long.
        path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
        path.with_suffix(".md").write_text(table(report))
    if rows:
        print(table(report))


def paper_schedule() -> Schedule:
    """Of nine levels."""
    c = Config()
    return Schedule(len(c.batches), c.stable_images, c.fade_images, c.total_images, c.batches)


def table(report: dict) -> str:
    """The results as Markdown; ratios are medians over rounds of the ratios of medians within a round."""
    rows = report["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    peak = next((value for key, value in PEAK.items() if key in report["device"]), None)
    rivals = [name for name in names if name in RIVALS]
    pairs = [(rival, name) for rival in rivals for name in names if name not in rivals]
    gpu, paper = "thread" not in report["device"], "images" in rows[0]
    heads = [
        *("Size", "Minibatch", "GFLOP an image", "Memory, GB (counted)"),
        *(f"{name}, s" for name in names),
        *(f"{rival} / {name}" for rival, name in pairs),
        *("GFLOP/s (best)", "Best"),
        *(("Reading, s",) if "reading" in rows[0] else ()),
        *(("Of a matrix product's speed",) if "product_speed" in rows[0] else ()),
        *(("Of the stated peak",) if peak else ()),
        "Memory of the best, GB (measured)",
        *(("Images of the paper's schedule", "Hours (best)") if paper else ()),
    ]
    lines = [
        f"{report['date']}; {report['device']}; {report['clock']} time; medians over {report['rounds']} processes, "
        f"{report['repeats']} timed in each, warm, full widths.",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    total = 0.0
    for row in rows:
        rounds = {name: [statistics.median(steps) for steps in found] for name, found in row["seconds"].items()}
        middle = {name: statistics.median(values) for name, values in rounds.items() if values}
        ratios = [
            f"{statistics.median(p / s for p, s in zip(rounds[rival], rounds[name], strict=True)):.2f}"
            if rival in middle and len(rounds[rival]) == len(rounds[name])
            else "-"
            for rival, name in pairs
        ]
        best = min(set(middle) - set(rivals), key=lambda name: middle[name])
        speed = row["flop"] * row["batch"] / middle[best]
        cells = [
            f"{row['size'][0]} x {row['size'][1]}",
            f"{row['batch']}",
            f"{row['flop'] / 1e9:.4g}",
            f"{row['peak_bytes'] / 1e9:.2f}",
            *(f"{middle[name]:.3g}" if name in middle else "-" for name in names),
            *ratios,
            f"{speed / 1e9:,.0f}",
            best,
            *([f"{row['reading']:.2g}"] if "reading" in row else ()),
        ]
        precision = variants("cuda" if gpu else "cpu").get(best, {}).get("precision", "float32")
        if "product_speed" in row:
            cells.append(f"{100 * speed / row['product_speed'][precision]:.0f} %")
        if peak:
            cells.append(f"{100 * speed / peak[precision.split(',')[0]]:.0f} %")
        cells.append(f"{row['measured_peak_bytes'][best] / 1e9:.2f}")
        if paper:
            hours = row["images"] / row["batch"] * middle[best] / 3600
            total += hours
            cells += [f"{row['images']:,}", f"{hours:.3g}"]
        lines.append(f"| {' | '.join(cells)} |")
    if paper:
        images = sum(row["images"] for row in rows)
        lines += ["", f"{images:,} images of the paper's schedule: {total:.3g} hours."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
