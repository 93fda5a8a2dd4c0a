"""Run the notebooks of the paper, each again only where something changed, and build the book from their results."""

import inspect
import sys
from pathlib import Path
from types import ModuleType

from mammogan.errors import ParameterError
from mammogan.pipeline.running import run
from mammogan.pipeline.stages import Pipeline
from mammogan.report.provenance import ROOT

__all__ = ["Pipeline", "check_parameters", "notebook_output", "stage_output"]


def check_parameters(notebook: ModuleType | None = None, **least: float) -> None:
    """Check the values that a notebook was given: each has the type of its parameter and is not too small.

    Args:
        notebook: module whose annotated variables are the parameters; by default that of the notebook which calls.
        least: smallest value of some parameters.

    Raises:
        ParameterError: a value of another type, or one that is too small.
    """
    notebook = notebook or sys.modules["__main__"]
    for name, kind in inspect.get_annotations(notebook, eval_str=True).items():
        value = getattr(notebook, name)
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise ParameterError(f"The parameter {name} is {value!r}; give one of the type {kind.__name__}.")
        if name in least and not value >= least[name]:
            raise ParameterError(f"The parameter {name} is {value}; give {least[name]:g} or more.")


def stage_output(stage: str) -> Path:
    """Return the folder of a stage of the smoke profile, run first where needed: input of a notebook run by itself."""
    pipeline = Pipeline()
    if any(pipeline.plan(stage).values()):
        run(pipeline, only=stage, echo=lambda line: print(line, file=sys.stderr))
    return pipeline.folder(stage)


def notebook_output(stage: str) -> Path:
    """Return the folder that a notebook run by itself writes to, apart from the folders of the runner."""
    return ROOT / "runs" / "by-hand" / stage
