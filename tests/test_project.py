"""The project's own files agree with each other: dependencies, make targets, container, citation."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mammogan import __version__
from mammogan.report.provenance import ROOT

# conda-forge's name of a package that has another one at PyPI.
CONDA = {"torch": "pytorch-gpu"}


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> dict[str, Requirement]:
    """Return what the package and all of its extras ask for."""
    content = pyproject()
    lines = content["dependencies"] + [line for extra in content["optional-dependencies"].values() for line in extra]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pins(file: str = "constraints.txt") -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_each_dependency_is_pinned_within_its_bounds() -> None:
    pinned = pins()
    for name, requirement in requirements().items():
        assert name in pinned, f"{name} is missing in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} excludes the pinned {pinned[name]}"


def test_the_oldest_versions_are_those_of_the_bounds() -> None:
    """A bound is a claim that this version suffices: a workflow tests exactly these."""
    oldest = pins("oldest.txt")
    assert oldest.keys() - {"distributed"} == requirements().keys()
    for name, requirement in requirements().items():
        (bound,) = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        version = Version(oldest[name])
        assert version.release[: len(bound.release)] == bound.release and version >= bound, f"{requirement}: {version}"
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "smoke.yml").read_text())["jobs"]["oldest"]["steps"]
    assert any("CONSTRAINTS=oldest.txt" in step.get("run", "") for step in steps)


def test_the_conda_environment_asks_for_the_same() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(item["pip"] for item in content if isinstance(item, dict))
    conda = dict(re.fullmatch(r"([\w.-]+)(.*)", item).groups() for item in content if isinstance(item, str))
    pip = {canonicalize_name(r.name): r for r in map(Requirement, (i for i in from_pip if not i.startswith("--")))}
    assert "--editable ." in from_pip
    for name, requirement in requirements().items():
        if name in pip:
            assert pip[name].specifier == requirement.specifier, name
        elif name == "dask":
            assert conda["dask"] == conda["distributed"] == str(requirement.specifier)
        else:
            # Otherwise pip would replace conda's build, of torch the one for the GPU, by its own.
            asked = conda.get(CONDA.get(name, name))
            assert asked, f"{name} is missing in environment.yml"
            assert SpecifierSet(asked) == requirement.specifier, f"{name}: {asked} in place of {requirement.specifier}"
    wanted = pyproject()["requires-python"].removeprefix(">=")
    assert conda["python"] == f"={wanted}"


def test_windows_is_refused_in_one_sentence() -> None:
    code = "import sys; sys.platform = 'win32'; import mammogan"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith("on Windows install it within WSL.")


def targets() -> set[str]:
    return set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split())


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.stem)
def test_workflows_call_what_there_is(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert content["permissions"]["contents"] == "read"
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    called = [word for step in steps for line in step.get("run", "").splitlines()
              if line.strip().startswith("make ") for word in line.split()[1:] if "=" not in word]  # fmt: skip
    assert called
    assert set(called) <= targets()
    assert all("timeout-minutes" in job for job in content["jobs"].values())


def test_commands_in_the_documents_exist() -> None:
    """`make TARGET` and `mammogan COMMAND` wherever the README, the guides and the examples write them."""
    import typer.main

    from mammogan.__main__ import app

    commands = set(typer.main.get_command(app).commands)
    for path in [*ROOT.glob("*.md"), *(ROOT / "book").glob("*.md"), *(ROOT / "book" / "examples").glob("*")]:
        code = path.read_text()
        if path.suffix == ".md":
            code = "\n".join(block or word for block, word in re.findall(r"(?s)```bash\n(.*?)```|`([^`\n]+)`", code))
        for target in re.findall(r"(?m)^\s*make ([a-z]+)", code):
            assert target in targets(), f"{path.name}: make {target}"
        for name in re.findall(r"(?m)(?:^|\s|-m )mammogan ([a-z]+)\b", code):
            assert name in commands, f"{path.name}: mammogan {name}"


def test_the_container_copies_what_there_is() -> None:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name


def test_the_citation_names_this_version() -> None:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert content["version"] == __version__
    assert {"cff-version", "message", "title", "authors", "license"} <= content.keys()
    paper = content["references"][0]
    assert paper["doi"] == "10.1148/ryai.2020190181"
    assert all(len(author) == 2 for author in paper["authors"])
