"""Stages of the paper: profiles, parameters, order, and whether the results of a stage are up to date."""

import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import yaml

from mammogan.errors import PipelineError, require
from mammogan.report import provenance
from mammogan.report.provenance import ROOT, sha256

DEFAULT_PROFILE = "smoke"
PHANTOMS = "embedded phantoms"
PLACEHOLDER = r"\{(\w+)\}"  # in a parameter: the folder of a stage, or the data
TRAINING = "02_progressive_training"  # the stage whose run may be trained outside of it
KEPT = ("reference/", "benchmarks/")  # folders of the checkout that hold files of earlier runs


class Stage(NamedTuple):
    """One notebook of the paper, as pipeline.yaml describes it."""

    name: str
    parameters: dict[str, object]  # for the notebook, with placeholders
    makes: tuple[str, ...]  # files that it must write, besides results.json


class Pipeline:
    """The stages of one build: a profile, on the embedded phantoms or on a folder of real images.

    Args:
        profile: a profile of pipeline.yaml.
        data: folder of real images, or None for the phantoms.
        root: folder that holds pipeline.yaml, notebooks/ and book/.
        show_real: whether chapters show images of people; such a build has folders and banners of its own.

    Raises:
        PipelineError: there is no checkout or no such profile, the data folder is missing, empty or unreadable, or real
            images are to be shown and there are none.
    """

    def __init__(
        self, profile: str = DEFAULT_PROFILE, data: str | Path | None = None, root: Path = ROOT, show_real: bool = False
    ) -> None:
        self.root = Path(root)
        if not (self.root / "pipeline.yaml").is_file():
            raise PipelineError(f"There is no pipeline.yaml in {self.root}; run this in a checkout of the repository.")
        content = yaml.safe_load((self.root / "pipeline.yaml").read_text(encoding="utf-8"))
        if profile not in content["profiles"]:
            raise PipelineError(f"There is no profile {profile!r}; the profiles are {', '.join(content['profiles'])}.")
        self.profile = profile
        self.data = Path(data).resolve() if data else None
        if self.data and not self.data.is_file() and not any(names for _, _, names in os.walk(self.data)):
            problem = "is empty or cannot be read" if self.data.exists() else "does not exist"
            raise PipelineError(f"The folder {data} {problem}; give DATA a folder of DICOM files or pictures.")
        self.stages = {name: Stage(name, s["parameters"], tuple(s["makes"])) for name, s in content["stages"].items()}
        self.overrides: dict[str, dict[str, object]] = dict(content["profiles"][profile] or {})
        if show_real and not data:
            raise PipelineError("There are no real images to show; give DATA a folder of images that you may see.")
        for stage, values in content["show_real"].items() if show_real else ():
            self.overrides[stage] = self.overrides.get(stage, {}) | values
        # A profile that rests on files of an earlier run describes the images of that run.
        described = str(self.overrides.pop("data", PHANTOMS))
        processes = self.overrides.pop("processes", None)
        self.processes = None if processes is None else int(str(processes))  # of torchrun; None trains in the notebook
        self.data_name = self.data.name if self.data else described
        if unknown := sorted(self.overrides.keys() - self.stages.keys()):
            raise PipelineError(f"The profile {profile} sets parameters of {unknown[0]}, which is not a stage.")
        # A build on other data has folders of its own, so that it never overwrites another's results.
        slug = re.sub(r"[^a-z0-9]+", "-", self.data.name.lower()).strip("-") or "data" if self.data else ""
        self.name = f"{profile}-{slug}" if slug else profile
        if show_real:  # no profile and no folder of data gives such a name
            self.name += "_SHOWS_PEOPLE"
        self.runs = self.root / "runs" / self.name

    @property
    def trained(self) -> Path:
        """Folder of the run that was trained outside of the stages, where there is one: no stage deletes it."""
        return self.runs / "run"

    def folder(self, stage: str) -> Path:
        """Return the folder of the results of a stage."""
        return self.runs / stage

    def notebook(self, stage: str) -> Path:
        """Return the path of the notebook of a stage."""
        return self.root / "notebooks" / f"{stage}.ipynb"

    def chosen(self, only: str | None) -> list[str]:
        """Return a stage, named by its beginning ("04"), and all that it needs, in order; all stages for None.

        Raises:
            PipelineError: no stage or several stages begin so.
        """
        named = [name for name in self.stages if only is None or name.startswith(only)]
        if only is not None and len(named) != 1:
            raise PipelineError(f"{only!r} names {len(named)} stages of {', '.join(self.stages)}; name one.")
        needed = set(named)
        for name in reversed(self.stages):
            if name in needed:
                needed |= set(self.needs(name))
        return [name for name in self.stages if name in needed]

    def _unfilled(self, stage: str) -> dict[str, object]:
        return {**self.stages[stage].parameters, "out": f"{{{stage}}}", **self.overrides.get(stage, {})}

    def needs(self, stage: str) -> list[str]:
        """Return the stages whose files a stage reads: those that its parameters name."""
        named = {name for value in self._unfilled(stage).values() for name in re.findall(PLACEHOLDER, str(value))}
        return [name for name in self.stages if name in named and name != stage]

    def parameters(self, stage: str) -> dict[str, object]:
        """Return what the runner passes to a notebook; paths are relative to the root, so that no page names a machine.

        The data folder is a link of the build: its own path may name people or machines, and would be on a page.
        """
        folders = {name: str(self.folder(name).relative_to(self.root)) for name in self.stages}
        folders["data"] = str((self.runs / "data").relative_to(self.root)) if self.data else ""
        return {
            key: re.sub(PLACEHOLDER, lambda match: folders[match[1]], value) if isinstance(value, str) else value
            for key, value in self._unfilled(stage).items()
        }

    def values(self, stage: str) -> dict[str, object]:
        """Return all parameters of a notebook: those that it is given, and its defaults."""
        return self._defaults(stage) | self.parameters(stage)

    def _defaults(self, stage: str) -> dict[str, object]:
        require("book", "papermill")
        from papermill import inspect_notebook

        facts = inspect_notebook(str(self.notebook(stage))).values()
        return {fact["name"]: yaml.safe_load(fact["default"]) for fact in facts}

    def check_parameters(self, stage: str) -> None:
        """Check that a notebook has the parameters that it is given; papermill would ignore others.

        Raises:
            PipelineError: the notebook is missing, or has no such parameter.
        """
        path = self.notebook(stage)
        if not path.is_file():
            raise PipelineError(f"The notebook {path.relative_to(self.root)} is missing; restore it.")
        declared = self._defaults(stage)
        if unknown := [name for name in self.parameters(stage) if name not in declared]:
            names = ", ".join(declared) or "none"
            raise PipelineError(f"{stage} has no parameter {unknown[0]!r}; it has {names}. Correct pipeline.yaml.")

    @cached_property
    def _data_hash(self) -> str:
        return provenance.tree_hash(self.data) if self.data else ""

    def key(self, stage: str) -> dict[str, str]:
        """Return what the results of a stage depend on: {description: hash}."""
        parameters = self.parameters(stage)
        kept = [part for path in self.kept(stage) for part in provenance.contents(path)]
        logs = [self.trained / name for name in ("config.json", "stats.jsonl")] if stage == TRAINING else []
        trained = [path.read_bytes() for path in logs if path.is_file()]
        return {
            "the notebook": provenance.notebook_hash(self.notebook(stage)),
            "its parameters": sha256(json.dumps(parameters, sort_keys=True)),
            "the code it imports": provenance.code_hash(self.code(stage)),
            "the data folder": self._data_hash if "source" in parameters else "",
            **({"the reference": sha256(*kept)} if kept else {}),
            **({"the run": sha256(*trained)} if trained else {}),
            **{f"the stage {name}": sha256(json.dumps(self.key(name))) for name in self.needs(stage)},
        }

    def code(self, stage: str) -> list[str]:
        """Return the code cells of a notebook, without magics, which are not Python."""
        cells = json.loads(self.notebook(stage).read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]).splitlines() for cell in cells if cell["cell_type"] == "code"]
        return ["\n".join("" if re.match(r"\s*[%!]", line) else line for line in lines) for lines in sources]

    def kept(self, stage: str) -> list[Path]:
        """Return the files and folders of earlier runs that a stage reads.

        Raises:
            PipelineError: one of them is missing.
        """
        values = self.parameters(stage).values()
        paths = sorted({self.root / value for value in values if isinstance(value, str) and value.startswith(KEPT)})
        if missing := [path.relative_to(self.root) for path in paths if not path.exists()]:
            raise PipelineError(f"The profile {self.profile} needs {missing[0]}; restore it.")
        return paths

    def why(self, stage: str) -> str:
        """Return why a stage must run, in words; "" where its results are up to date."""
        folder = self.folder(stage)
        before = read_key(folder / "key.json")
        if not before:
            return "it has no results yet"
        if changed := [part for part, value in self.key(stage).items() if before.get(part) != value]:
            return f"changed: {', '.join(changed)}"
        wanted = ("notebook.ipynb", "results.json", "provenance.json", *self.stages[stage].makes)
        missing = [name for name in wanted if not (folder / name).exists()]
        return f"missing: {', '.join(missing)}" if missing else ""

    def plan(self, only: str | None = None, force: bool = False) -> dict[str, str]:
        """Return which stages would run and why, and "" for those whose results are up to date: {stage: reason}."""
        reasons: dict[str, str] = {}
        for name in self.chosen(only):
            self.check_parameters(name)
            before = next((f"the stage {need} runs" for need in self.needs(name) if reasons.get(need)), "")
            reasons[name] = "asked for" if force else self.why(name) or before
        return reasons


def read_key(path: Path) -> dict[str, str]:
    """Return the content of a file that `Pipeline.key` was written to; {} where there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
