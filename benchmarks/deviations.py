"""What this project's choices in training cost and change, as far as that can be told without a second training.

    python benchmarks/deviations.py RUN STORE [--repeats 3]

RUN is a finished run with its exact weights and its discriminator, STORE the images that it was trained on. Scores,
gradients and gray levels are of its trained networks at its last level. Seconds are of networks of the original's
widths at 40 x 32, in turn within each repeat, warm; they are the processor's, which neighbors on a shared machine
stretch less than a clock's. Gradients are compared by the norm of their difference over the norm of the first. The
results are kept as benchmarks/results/deviations.json, from which the book's page of deviations takes them.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mammogan.data.store import Store
from mammogan.gan import checkpoints
from mammogan.gan.dataset import RealImages
from mammogan.gan.losses import DRIFT, LAMBDA, discriminator_losses, generator_loss, gradient_penalty, scores_of_both
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.ops.conv2d_gradfix import plain_convolutions
from mammogan.gan.sampling import Sampler
from mammogan.gan.snapshot import publish_run
from mammogan.metrics.distances import patches, sliced_wasserstein
from mammogan.parallel import keep_memory
from mammogan.report.results import Results

RESULT = Path(__file__).parent / "results" / "deviations.json"
IMAGES = 64  # a minibatch of the comparisons
DRAWN = 256
GRADIENT = "difference of the gradient of D's loss, over its norm"
EXACT = "difference of the gradient of D's loss from float64, over its norm"
WIDE_LEVEL, WIDE_BATCH = 3, 8  # of the times


class Pair:
    """Both networks at one level, with real images and what is drawn for a step.

    Args:
        generator, discriminator: of one architecture.
        level: to work at.
        real: (n, 1, h, w), -1 to 1.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, level: int, real: Tensor) -> None:
        self.g, self.d, self.level, self.real = generator, discriminator, level, real
        random = torch.Generator().manual_seed(0)
        n = len(real)
        self.z = torch.randn(n, generator.architecture.latent, generator=random).to(real)
        self.mix = torch.rand(n, generator=random).to(real)
        self.labels = torch.zeros(n, generator.architecture.labels).to(real)
        with torch.no_grad():
            self.fake = generator(self.z, level, 1.0, self.labels)

    def critic(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.d(images, self.level, 1.0, labels)

    def loss(self) -> Tensor:
        """The loss of D as it is computed here: real and generated images in one pass."""
        parts = discriminator_losses(self.critic, self.real, self.fake, self.labels, self.mix)
        return sum((loss for loss, _ in parts), torch.zeros((), device=self.real.device))

    def loss_in_passes(self) -> Tensor:
        """The same, each set in a pass of its own, as the original does."""
        real, fake = self.critic(self.real, self.labels), self.critic(self.fake, self.labels)
        penalty = gradient_penalty(self.critic, self.real, self.fake, self.labels, self.mix)
        return (fake - real + LAMBDA * penalty + DRIFT * real.square()).mean()

    def loss_g(self) -> Tensor:
        return generator_loss(self.critic(self.g(self.z, self.level, 1.0, self.labels), self.labels))

    def step(self, loss: Callable[[], Tensor]) -> None:
        """What a step of both networks computes, without Adam."""
        for trained, frozen, part in ((self.d, self.g, loss), (self.g, self.d, self.loss_g)):
            trained.requires_grad_(True)
            frozen.requires_grad_(False)
            part().backward()
            trained.zero_grad(set_to_none=True)

    def in_float64(self) -> Pair:
        """The same networks in double precision."""
        return Pair(copy.deepcopy(self.g).double(), copy.deepcopy(self.d).double(), self.level, self.real.double())

    def scores(self, together: bool) -> Tensor:
        """The loss without its penalty, which is always in float32, in one pass or in two."""
        sets = (self.real, self.fake)
        one = scores_of_both(self.critic, *sets, self.labels) if together else None
        real, fake = one or (self.critic(images, self.labels) for images in sets)
        return (fake - real + DRIFT * real.square()).mean()

    def on(self, real: Tensor) -> Pair:
        """The same networks and random numbers with other real images."""
        return Pair(self.g, self.d, self.level, real)

    def gradient(self, loss: Callable[[], Tensor] | None = None) -> Tensor:
        """The gradient of a loss, or of D's own, by D's weights, as one vector in float64."""
        parameters, value = list(self.d.requires_grad_(True).parameters()), (loss or self.loss)()
        found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([part.double().flatten() for part in found])

    def penalty_gradient(self, half: bool) -> Tensor:
        """The gradient of the penalty alone, in float32 or with its convolutions in bfloat16."""

        def loss() -> Tensor:
            between = torch.lerp(self.real, self.fake, self.mix.reshape(-1, 1, 1, 1)).requires_grad_(True)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                scores = self.critic(between, self.labels)
            (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
            return (slope.square().sum((1, 2, 3)).sqrt() - 1).square().mean()

        return self.gradient(loss)


class InTF32(TorchDispatchMode):
    """Products as a GPU forms them from TF32: factors of 8 bits of exponent and 10 after the point, sums in float32."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function._overloadpacket in flop_registry:  # convolutions and products of matrices
            args = [in_tf32(a) if isinstance(a, Tensor) and a.ndim > 1 else a for a in args]
        return function(*args, **(kwargs or {}))


def in_tf32(x: Tensor) -> Tensor:
    """float32 rounded to the nearest of 10 bits after the point, ties away from zero (PTX, cvt.rna.tf32.f32)."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def apart(a: Tensor, b: Tensor) -> float:
    """Norm of the difference over the norm of the first."""
    return float((a - b).norm() / a.norm())


def ratio(first: Callable[[], None], second: Callable[[], None], repeats: int) -> float:
    """Median over repeats of the first's seconds of processor over the second's, in turn."""
    found = []
    for repeat in range(repeats + 1):
        seconds = []
        for step in (first, second):
            started = time.process_time()
            step()
            seconds.append(time.process_time() - started)
        if repeat:  # the first one warms up
            found.append(seconds[0] / seconds[1])
    return statistics.median(found)


def unfused(network: Any) -> Any:
    """The same weights in a network that scales in a step of its own."""
    made = type(network)(replace(network.architecture, fused=False))
    made.load_state_dict(network.state_dict())
    return made


def directly_stepped(pair: Pair) -> None:
    """A step without Winograd's convolutions."""
    with plain_convolutions():
        pair.step(pair.loss)


def trained(run: Path, store: Store) -> tuple[Pair, Tensor]:
    """The newest checkpoint of a run with real images of its last level, and as many other ones."""
    newest = checkpoints.trained(run)
    if not newest.part("discriminator"):
        raise SystemExit(f"{run} has no checkpoint with a discriminator; give a run that `mammogan train` made.")
    architecture = newest.architecture
    nets = {"average": Generator(architecture), "discriminator": Discriminator(architecture)}
    for name, net in nets.items():
        net.load_state_dict(newest.part(name))
    level = Sampler.open(run).level
    images = RealImages(store, store.sizes[level], newest.config.split, seed=0).batch(0, 2 * IMAGES)[0]
    return Pair(nets["average"], nets["discriminator"], level, images[:IMAGES]), images[IMAGES:]


def in_8_bits(images: Tensor) -> Tensor:
    """Values between -1 and 1 rounded to 256 levels."""
    return ((images + 1) * 127.5).round() / 127.5 - 1


def weights(architecture: Architecture) -> int:
    """Of both networks."""
    with torch.device("meta"):
        return sum(p.numel() for kind in (Generator, Discriminator) for p in kind(architecture).parameters())


def measure(run: Path, store: Store, repeats: int, results: Results) -> None:
    keep_memory()
    pair, others = trained(run, store)
    torch.manual_seed(0)
    architecture = Architecture(levels=WIDE_LEVEL + 1)
    real = torch.rand(WIDE_BATCH, 1, *architecture.size(WIDE_LEVEL)) * 2 - 1
    wide = Pair(Generator(architecture), Discriminator(architecture), WIDE_LEVEL, real)
    size, wide_size = ("{} x {}".format(*p.real.shape[2:]) for p in (pair, wide))
    n, top = len(pair.real), 2**store.bits - 1

    whole = pair.gradient()
    results.value("size", size, how="of the trained networks")
    results.value("images", n, how="of the minibatch that is compared")
    wide_step = f"a step at full widths, {wide_size}, minibatch of {WIDE_BATCH}, seconds of processor over ours"

    results.value("passes.gradient", apart(whole, pair.gradient(pair.loss_in_passes)), fmt=".0e", how=GRADIENT)
    double = pair.in_float64()
    exact = [double.gradient(partial(double.scores, together)) for together in (True, False)]
    results.value("passes.float64", apart(*exact), fmt=".0e", how=f"{GRADIENT}, without penalty")
    seconds = ratio(lambda: wide.step(wide.loss_in_passes), lambda: wide.step(wide.loss), repeats)
    results.value("passes.seconds", seconds, fmt=".2f", how=wide_step)

    loose, slow = (Pair(unfused(p.g), unfused(p.d), p.level, p.real) for p in (pair, wide))
    with torch.no_grad():
        scores = [p.critic(pair.real, pair.labels) for p in (pair, loose)]
    gray = float((pair.fake - loose.fake).abs().max()) / 2 * top
    results.value("fused.gray", gray, fmt=".3f", how=f"largest difference of an image, of {top} gray levels")
    change = float((scores[0] - scores[1]).abs().mean() / scores[0].std())
    results.value("fused.scores", change, fmt=".2f", how="mean difference of D's scores, in their standard deviations")
    seconds = ratio(lambda: slow.step(slow.loss), lambda: wide.step(wide.loss), repeats)
    results.value("fused.seconds", seconds, fmt=".2f", how=wide_step)

    for name, real in (("bits.gradient", in_8_bits(pair.real)), ("bits.other", others)):
        change = 100 * apart(whole, pair.on(real).gradient())
        results.value(name, change, unit="%", fmt=".2g", how=GRADIENT)
    sets = [(images[:, 0].numpy() + 1) * (top / 2) for images in (pair.real, in_8_bits(pair.real), others)]
    fine = [patches(np.rint(images).astype(np.uint16), store.bits)[0] for images in sets]
    for name, second in (("bits.distance", fine[1]), ("bits.floor", fine[2])):
        distance = sliced_wasserstein(fine[0], second)["real"]
        results.value(name, distance, how="sliced Wasserstein distance x 1000, finest band")

    exact = wide.in_float64().gradient()
    with plain_convolutions():
        direct = wide.gradient()
        results.value("winograd.direct", apart(exact, direct), fmt=".0e", how=EXACT)
    results.value(
        "winograd.gradient", apart(exact, wide.gradient()), fmt=".0e", how=f"{GRADIENT}, ours against float64"
    )
    seconds = ratio(partial(directly_stepped, wide), lambda: wide.step(wide.loss), repeats)
    results.value("winograd.seconds", seconds, fmt=".2f", how=wide_step)

    full, half = (pair.penalty_gradient(half) for half in (False, True))
    with InTF32():
        rounded, whole_rounded = pair.penalty_gradient(False), pair.gradient()
    off = "difference of the penalty's gradient from float32, over its norm"
    results.value("penalty.gradient", 100 * apart(full, half), unit="%", fmt=".2g", how=f"{off}; in bfloat16")
    results.value("penalty.tf32", 100 * apart(full, rounded), unit="%", fmt=".2g", how=f"{off}; in TF32, emulated")
    change = 100 * apart(whole, whole_rounded)
    results.value("tf32.gradient", change, unit="%", fmt=".2g", how=f"{GRADIENT}; in TF32, emulated")

    with tempfile.TemporaryDirectory() as folder:
        publish_run(run, Path(folder) / "run")
        drawn = [
            np.stack(list(Sampler.open(place).draw(DRAWN, 1))).astype(int) for place in (run, Path(folder) / "run")
        ]
    change = np.abs(drawn[0] - drawn[1])
    results.value("half.largest", int(change.max()), how=f"of {top} gray levels, {DRAWN} images")
    results.value("half.mean", float(change.mean()), fmt=".2f", how=f"of {top} gray levels, {DRAWN} images")

    # The paper's base beside the original's: only the dense layers differ.
    bases = [weights(Architecture(base=base)) for base in ((4, 4), (5, 4))]
    results.value(
        "base.weights", 100 * (bases[1] / bases[0] - 1), unit="%", fmt=".1f", how="both networks, nine levels"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Results(folder, "deviations")
        results.value("date", datetime.now(UTC).date().isoformat(), how="of the measurement")
        device = f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
        results.value("device", device, how="of the measurement")
        measure(options.run, Store.open(options.store), options.repeats, results)
        RESULT.write_bytes(results.save().read_bytes())
    for key, entry in results.entries.items():
        print(f"{key}: {entry['value']} ({entry['how']})")


if __name__ == "__main__":
    main()
