"""Run the notebooks of the paper, each again only where something changed, and build the book from their results."""

from __future__ import annotations

import sys
from pathlib import Path

from mammogan.pipeline.stages import Pipeline, run
from mammogan.report.provenance import ROOT

__all__ = ["Pipeline", "notebook_output", "stage_output"]


def stage_output(stage: str) -> Path:
    """Return the folder of a stage of the smoke profile, run first where needed: input of a notebook run by itself."""
    pipeline = Pipeline()
    if any(pipeline.plan(stage).values()):
        run(pipeline, only=stage, echo=lambda line: print(line, file=sys.stderr))
    return pipeline.folder(stage)


def notebook_output(stage: str) -> Path:
    """Return the folder that a notebook run by itself writes to, apart from the folders of the runner."""
    return ROOT / "runs" / "by-hand" / stage
