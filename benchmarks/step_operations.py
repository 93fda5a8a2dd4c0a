"""Count the operations of a training step on a GPU, without one: kernel launches, bytes and waits for the device.

    python benchmarks/step_operations.py [--levels 0 3 6 7 8] [--name NAME]

A step (an update of D and one of G) of the paper's architecture runs on tensors that have shapes but no content, as if
they were on a GPU. Each operation that computes counts as one launch and moves all its inputs and outputs once; a
convolution with a bias, which PyTorch adds afterwards on a GPU, as two. Fused and foreach operations count as one per
320 tensors. Views do not count, nor do the operations within a library's kernel. The table is printed and kept as
benchmarks/results/NAME.md.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from mammogan.gan import cost
from mammogan.gan.config import Config
from mammogan.gan.minibatch import Piece
from mammogan.gan.networks import Discriminator, Generator
from mammogan.gan.ops import activation
from mammogan.gan.ops.conv2d_gradfix import plain_convolutions
from mammogan.gan.schedule import Phase
from mammogan.gan.training import Run

RESULTS = Path(__file__).parent / "results"
LEVELS = 9  # of the paper
BASE = (5, 4)
TENSORS = 320  # of one launch of a foreach operation, about as many as its arguments can hold
PRECISION = "bfloat16,tf32"  # of the profile `paper`, pipeline.yaml
WAITS = ("_local_scalar_dense", "nonzero")
NO_KERNEL = ("empty", "empty_like", "empty_strided", "new_empty", "detach", "alias", "_unsafe_view", "lift_fresh",
             "promote_types", "new_empty_strided")  # fmt: skip


class Operations(TorchDispatchMode):
    """Counts what a step asks of a GPU.

    Args:
        on_processor: identities of tensors that are on the processor.

    Attributes:
        launches: kernels, by the name of their operation.
        moved: bytes, of convolutions and products of matrices, and of all others.
        flop: floating-point operations of convolutions and products of matrices.
        waits: values that the processor waits for.
    """

    def __init__(self, on_processor: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        super().__init__()
        self.on_processor = on_processor
        self.launches: Counter[str] = Counter()
        self.moved = {"products": 0, "others": 0}
        self.flop = self.waits = 0
        self.memory = cost.Counter()

    def __torch_dispatch__(
        self, function: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        space, _, name = function._schema.name.partition("::")
        if name in WAITS:
            self.waits += id(args[0]) not in self.on_processor
            return 1.0 if name == WAITS[0] else function(*args, **kwargs)
        result = function(*args, **kwargs)
        outputs = [value for value in tree_iter(result) if isinstance(value, Tensor)]
        inputs = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
        for tensor in outputs:
            self.memory.add(tensor)
        if function.is_view or space != "aten" or name in NO_KERNEL:
            return result
        if name.startswith("_foreach") or name.startswith("_fused"):
            lists = [value for value in args if isinstance(value, list)]
            self.launches[name] += math.ceil(max(map(len, lists)) / TENSORS)
        else:
            self.launches[name] += 1 if name != "convolution_backward" else sum(args[-1])
        kind = "products" if function._overloadpacket in flop_registry else "others"
        written = [] if function._schema.is_mutable else outputs
        self.moved[kind] += sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, *written))
        if function._schema.is_mutable:  # what is changed is read and written
            changed = [a for a, s in zip(args, function._schema.arguments, strict=False) if s.is_write]
            self.moved[kind] += sum(t.numel() * t.element_size() for t in tree_iter(changed) if isinstance(t, Tensor))
        if name == "convolution" and args[2] is not None:
            self.launches["bias of a convolution"] += 1
            self.moved["others"] += 2 * sum(tensor.numel() * tensor.element_size() for tensor in outputs)
        if formula := flop_registry.get(function._overloadpacket):
            self.flop += formula(*args, **kwargs, out_val=result)
        return result


def count(level: int, **settings: object) -> Operations:
    """Count a step at a level of the paper's schedule, after its fade."""
    config = Config().changed(settings).at_levels(LEVELS)
    batch = config.batches[level]
    activation.SQUARED_APART = ()  # as on a GPU
    with FakeTensorMode(allow_non_fake_inputs=True), plain_convolutions():
        architecture = config.architecture(BASE)
        networks: tuple[Any, ...] = Generator(architecture), Discriminator(architecture)
        if config.channels_last:
            networks = tuple(network.to(memory_format=torch.channels_last) for network in networks)
        record: Any = SimpleNamespace(config=config, folder=Path("run"))
        run = Run(SimpleNamespace(bits=12), record, *networks)  # type: ignore[arg-type]
        size = architecture.size(level)
        latent, labels = torch.empty(batch, config.latent), torch.empty(batch, 0)
        real = torch.empty(batch, 1, *size)
        piece = Piece(1.0, real, labels, latent, torch.empty(batch), latent, labels,
                      torch.empty(batch, 3, dtype=torch.int64), labels)  # fmt: skip
        run._draw = lambda phase: [piece]  # type: ignore[method-assign]
        for adam in (run.adam_d, run.adam_g):  # PyTorch's choice on a GPU
            adam.param_groups[0]["foreach"] = not adam.param_groups[0]["fused"]
        phase = Phase(level, 1.0, batch, 0)
        with Operations():
            run.step(phase)  # Adam has its state from the first step on
        # Adam counts its steps on the processor, unless it is fused.
        states = [state for adam in (run.adam_d, run.adam_g) for state in adam.state.values()]
        operations = Operations(set() if run.adam_g.param_groups[0]["fused"] else {id(s["step"]) for s in states})
        for tensor in tree_iter([list(network.parameters()) for network in (*networks, run.average)]):
            operations.memory.add(tensor)
        with operations:
            run.step(phase)
    return operations


def table(levels: list[int], **settings: object) -> list[str]:
    """Return a Markdown table, a line per level."""
    lines = ["| Level | Minibatch | Launches | Waits | TFLOP | GB moved: products | others | all | Memory, GB |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    config = Config().at_levels(LEVELS)
    for level in levels:
        o = count(level, **settings)
        size = "{} x {}".format(*config.architecture(BASE).size(level))
        products, others = (o.moved[kind] / 1e9 for kind in ("products", "others"))
        lines.append(
            f"| {size} | {config.batches[level]} | {sum(o.launches.values())} | {o.waits} | {o.flop / 1e12:.2f} | "
            f"{products:.1f} | {others:.1f} | {products + others:.1f} | {o.memory.peak / 1e9:.1f} |"
        )
    return lines


def main() -> None:
    """Count and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, nargs="+", default=[0, 3, 6, 7, 8])
    parser.add_argument("--name", default="step_operations")
    parser.add_argument("--top", action="store_true", help="print the most frequent operations of the finest level")
    arguments = parser.parse_args()
    if arguments.top:
        operations = count(max(arguments.levels))
        print(*operations.launches.most_common(40), sep="\n")
    date = datetime.now(UTC).date().isoformat()
    lines = [f"Operations of a step, counted on {date} by benchmarks/step_operations.py, in float32:", "",
             *table(arguments.levels), "", f"In {PRECISION}, as the profile `paper` trains on a GPU:", "",
             *table(arguments.levels, precision=PRECISION)]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    RESULTS.joinpath(f"{arguments.name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
