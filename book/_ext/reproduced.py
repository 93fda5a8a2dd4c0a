"""Sphinx extension of the book: numbers from results.json next to the paper's, and claims with their evidence.

Roles and directives (also inside notebooks and figure captions)::

    {val}`alignment.n.real`             number with its format and unit
    {val}`alignment.n.real:interval`    95 % interval of the number
    {val}`alignment.n.real:paper`       number in the paper
    {val}`alignment.n.real:estimate`    number with its interval in brackets, or a text in its place
    {paper}`Table 1`                    part of the paper that a section answers, below its heading
    {csv}`alignment/moments`            link to the data of a figure, and to the code that drew it
    ```{compare} readers.table4.*       table of paper and reproduction for the keys that match
    ```{summary} alignment.summary      lines of a summary, each with a link to its section, a label such as (texture)=
    ```{claims} claims.yaml             claims of the paper, with verdicts, evidence and the cost of running it again
    ```{api} mammogan.metrics           reference of the modules of a package, from their docstrings
    ```{benchmarks} ingest              table of benchmarks/results; without a name, all that no page names

An unknown key, a failed notebook or a stale number is a warning, and the book is built with -W.
Other modules: `origin` (banner, badge, record), `folds`, `pictures`, `listing` (code), `mathematics`, `meta`.
"""

from __future__ import annotations

import fnmatch
import json
import operator
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import listing
import origin
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from mammogan.report import results as rules
from mammogan.report.numbers import grouped, raised

logger = logging.getLogger(__name__)

STAGES = {
    "preprocessing": "01_preprocessing",
    "training": "02_progressive_training",
    "artifacts": "03_artifact_inspection",
    "alignment": "04_moment_alignment",
    "readers": "05_reader_statistics",
    "future": "06_future_work",
}
EXECUTED = origin.EXECUTED
LONGEST_NUMBER = 30  # characters of a number with its interval; a longer text is words
# Results of scripts, not of chapters: {first part of the key: file}.
MEASURED = {name: f"benchmarks/results/{name}.json" for name in ("deviations", "ablation", "screens")}


def format_value(value: float | str, entry: dict[str, Any], unit: bool = True) -> str:
    """Return a number as the book prints it: by its own format, or whole, or to three significant digits."""
    if isinstance(value, str):
        text = value
    elif entry.get("format"):
        text = format(value, entry["format"])
    elif float(value).is_integer():
        text = grouped(int(value))
    else:
        text = f"{value:.3g}"
    text = raised(text) if not isinstance(value, str) else text
    return f"{text}\N{NO-BREAK SPACE}{entry['unit']}" if unit and entry.get("unit") else text


def format_paper(entry: dict[str, Any]) -> str:
    """Return the number of the paper, with the digits that it prints."""
    value = float(entry["paper"])
    return format_value(value, entry | {"format": "" if value.is_integer() else "g"})


def format_interval(entry: dict[str, Any]) -> str:
    """Return the 95 % interval in words."""
    low, high = (format_value(bound, entry, unit=False) for bound in entry["interval"])
    return f"{low} to {format_value(entry['interval'][1], entry)}" if low != high else low


def load(app: Sphinx) -> None:
    """Read all results and provenance records, and warn of what is missing or wrong."""
    results: dict[str, dict[str, Any]] = {}
    provenance: dict[str, dict[str, Any]] = {}
    folder = Path(app.srcdir) / EXECUTED
    for stage in STAGES.values():
        notebook = folder / f"{stage}.ipynb"
        if not notebook.is_file():
            logger.warning("%s/%s.ipynb is missing: run the notebooks first (make book)", EXECUTED, stage)
            continue
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    logger.warning("%s holds a failed cell (%s): run it again", stage, output["ename"])
        for name, target in (("results", results), ("provenance", provenance)):
            path = folder / stage / f"{name}.json"
            if not path.is_file():
                logger.warning("%s/%s/%s.json is missing: run the notebook again", EXECUTED, stage, name)
                continue
            content = json.loads(path.read_text(encoding="utf-8"))
            target.update(content if name == "results" else {stage: content})
    for key, entry in results.items():
        # A verdict that does not follow from its own numbers was written by hand, or by earlier rules.
        numbers = entry["value"], entry.get("paper"), entry.get("tolerance"), entry.get("basis", "images")
        if entry.get("verdict") != rules.verdict(*numbers):
            logger.warning("the verdict of %s does not follow from its numbers: run its notebook again", key)
        if "paper" in entry and entry.get("tolerance") is None and not entry.get("how"):
            logger.warning("%s cannot be compared, and its `how` does not give the reason", key)
    results |= costs(provenance)
    for file in MEASURED.values():
        results |= json.loads((Path(app.config.mammogan_root) / file).read_text(encoding="utf-8"))
    app.env.mammogan_results = results  # type: ignore[attr-defined]
    app.env.mammogan_provenance = provenance  # type: ignore[attr-defined]


# Assumed for the estimate of energy: a processor's package under load, and a data-center GPU at its limit.
WATTS = {"cpu": 65, "gpu": 700}


def costs(provenance: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the cost of the run as results for pages: cost.STAGE, cost.all, and energy at an assumed power."""

    def energy(stages: list[str]) -> str:
        joules = 0.0
        for stage in stages:
            record = provenance[stage]
            gpus = record["device"].partition(" x ")[0]
            watts = WATTS["gpu"] * int(gpus) if gpus.isdigit() else WATTS["cpu"]
            joules += watts * record["seconds"]
        return (
            f"{joules / 3600:.2g}\N{NO-BREAK SPACE}Wh"
            if joules < 3.6e6
            else f"{joules / 3.6e6:.2g}\N{NO-BREAK SPACE}kWh"
        )

    texts = {stage: duration(record["seconds"]) for stage, record in provenance.items()}
    texts["all"] = duration(sum(record["seconds"] for record in provenance.values()))
    texts["watts"] = f"{WATTS['cpu']} W for a processor, {WATTS['gpu']} W for a GPU"
    texts["energy_all"] = energy(list(provenance))
    texts["energy_statistics"] = energy([s for s in (STAGES["alignment"], STAGES["readers"]) if s in provenance])
    return {
        f"cost.{key}": {"value": text, "label": key, "unit": "", "format": "", "how": ""} for key, text in texts.items()
    }


def _note_dependency(env: Any, key: str) -> None:
    """Rebuild the page when the results that it quotes change, and count them for its badge."""
    stage = STAGES.get(key.split(".")[0].split("/")[0])
    if key.startswith("cost."):
        for name in STAGES.values():
            env.note_dependency(str(Path(env.srcdir) / EXECUTED / name / "provenance.json"))
    if file := MEASURED.get(key.split(".")[0]):
        env.note_dependency(str(Path(env.config.mammogan_root) / file))
    if stage:
        env.note_dependency(str(Path(env.srcdir) / EXECUTED / stage / "results.json"))
        origin.note(env, stage)


class ValueRole(SphinxRole):
    """Role of a number: {val}`KEY`, {val}`KEY:interval`, {val}`KEY:paper`, {val}`KEY:estimate`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        key, _, part = self.text.partition(":")
        _note_dependency(self.env, key)
        entry = self.env.mammogan_results.get(key)
        if entry is None or (part and part not in (*entry, "estimate")):
            what = f"result {self.text!r}" if part in ("", "interval", "paper") else f"part {part!r}"
            logger.warning("there is no %s", what, location=(self.env.docname, self.lineno))
            return [nodes.strong(self.text, f"[unknown: {self.text}]")], []
        if part == "interval":
            text = format_interval(entry)
        elif part == "estimate":
            text = format_value(entry["value"], entry) + (f" ({format_interval(entry)})" if "interval" in entry else "")
        else:
            text = format_paper(entry) if part == "paper" else format_value(entry["value"], entry)
        # A number and its unit stay on one line; a sentence does not.
        return [nodes.inline(self.text, text, classes=["val"] if len(text) <= LONGEST_NUMBER else [])], []


class PaperRole(SphinxRole):
    """Role of the part of the paper that a section answers: {paper}`Figure 3`; "not in it" for none."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        absent = self.text.startswith("not in it")
        text = self.text.replace("not in it", "Not in the paper", 1) if absent else f"In the paper: {self.text}"
        return [nodes.inline(self.rawtext, text, classes=["answers"])], []


class CsvRole(SphinxRole):
    """Role of links to the CSV of a figure and to the code that drew it: {csv}`chapter/name`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        chapter, _, name = self.text.partition("/")
        stage = STAGES.get(chapter, "")
        path = Path(self.env.srcdir) / EXECUTED / stage / "data" / f"{name}.csv"
        if not stage or not path.is_file():
            logger.warning("there is no data %r", self.text, location=(self.env.docname, self.lineno))
            return [nodes.strong(self.text, f"[unknown: {self.text}]")], []
        self.env.note_dependency(str(path))
        origin.note(self.env, stage)
        anchor = f"#{name}" if name in listing.drawn(path.parents[2] / f"{stage}.ipynb") else ""
        up = "../" * self.env.docname.count("/")
        commit = self.env.mammogan_provenance.get(stage, {}).get("commit", "unknown")[:10]
        data = nodes.reference("", "data (CSV)", refuri=f"{up}data/{stage}/{name}.csv", classes=["data-link"])
        code = nodes.reference("", f"code ({commit})", refuri=f"{up}code/{stage}.html{anchor}", classes=["code-link"])
        return [data, nodes.Text(" \N{MIDDLE DOT} "), code], []


def _table(header: list[str], widths: list[int], rows: list[list[list[nodes.Node]]], kind: str) -> list[nodes.Node]:
    """Return a table of nodes that scrolls by itself on a narrow screen, and that the keyboard can reach."""
    table = nodes.table(classes=[kind])
    group = nodes.tgroup(cols=len(header))
    table += group
    group += [nodes.colspec(colwidth=width) for width in widths]
    head, body = nodes.thead(), nodes.tbody()
    group += [head, body]
    head += _row([[nodes.Text(text)] for text in header])
    body += [_row(cells) for cells in rows]
    before = f'<div class="table-scroll" role="group" aria-label="{header[0]}" tabindex="0">'
    return [nodes.raw("", before, format="html"), table, nodes.raw("", "</div>", format="html")]


def _row(cells: list[list[nodes.Node]]) -> nodes.row:
    row = nodes.row()
    for content in cells:
        entry = nodes.entry()
        entry += nodes.paragraph("", "", *content)
        row += entry
    return row


def _verdict(text: str) -> nodes.inline:
    return nodes.inline("", text, classes=["verdict", "verdict-" + text.replace(" ", "-")])


class Compare(SphinxDirective):
    """Table of the numbers of the paper and ours, for the keys that match a pattern."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        pattern = self.arguments[0]
        _note_dependency(self.env, pattern)
        rows = []
        for key, entry in self.env.mammogan_results.items():
            if "paper" not in entry or not fnmatch.fnmatchcase(key, pattern):
                continue
            here = format_value(entry["value"], entry)
            if "interval" in entry:
                here += f" ({format_interval(entry)})"
            tolerance = entry["tolerance"]
            stated = "none" if tolerance is None else "exact" if tolerance == 0 else f"\N{PLUS-MINUS SIGN}{tolerance:g}"
            texts = [entry["label"], format_paper(entry), here, stated]
            cells: list[list[nodes.Node]] = [[nodes.Text(text)] for text in texts]
            rows.append([*cells, [_verdict(entry["verdict"])], [nodes.Text(entry["how"])]])
        if not rows:
            logger.warning("no result with a paper's value matches %r", pattern, location=self.get_location())
            return []
        header = ["Quantity", "Paper", "Here (95 % interval)", "Tolerance", "Verdict", "Method, or reason"]
        return _table(header, [24, 10, 26, 10, 18, 42], rows, "compare")


class Summary(SphinxDirective):
    """Lines of a summary that a chapter keeps, each with a link to the heading with the label CHAPTER-SECTION."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        start = f"{self.arguments[0]}."
        _note_dependency(self.env, start)
        lines = nodes.bullet_list(classes=["summary"])
        for key, entry in sorted(self.env.mammogan_results.items()):
            if key.startswith(start):
                link = f"{key.split('.')[0]}-{entry['how']}"
                item = nodes.list_item(classes=[entry["label"]])
                item += nodes.paragraph("", "", nodes.Text(f"{entry['value']} "), *self._link(link))
                lines += item
        if not len(lines):
            logger.warning("there is no summary %r", self.arguments[0], location=self.get_location())
        return [lines]

    def _link(self, label: str) -> list[nodes.Node]:
        holder = nodes.Element()
        self.state.nested_parse(StringList([f"{{ref}}`Evidence <{label}>`"], source="summary"), 0, holder)
        return list(holder.children[0].children)


CLAIMS = ("supported", "not supported", "open", "not tested")  # verdicts on a claim
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def arithmetic(entries: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the verdict on the printed numbers of a claim, and how many of them it holds for.

    One slip is enough. Numbers that were measured on images say nothing about print.
    """
    ranks = [rules.VERDICTS[e["basis"]].index(e["verdict"]) for e in entries if e.get("basis") in ("print", "text")]
    within, beyond, _ = (ranks.count(rank) for rank in range(3))
    rank = 1 if beyond else 0 if within else 2
    return rules.VERDICTS["print"][rank], f" ({beyond or within} of {within + beyond})" if within + beyond else ""


def holds(condition: str, results: dict[str, dict[str, Any]]) -> bool:
    """Return whether a condition on a result holds: "KEY <= NUMBER"; a text in place of a number meets none.

    Raises:
        KeyError: there is no such result.
        ValueError: the condition is not of that form.
    """
    key, sign, bound = condition.split()
    value = results[key]["value"]
    return not isinstance(value, str) and bool(COMPARISONS[sign](float(value), float(bound)))


class Claims(SphinxDirective):
    """Table of the claims of the paper: verdicts on its arithmetic and on the claim, what we found, evidence, cost.

    The verdict on a claim is `verdict` where all conditions under `provided` hold, and `otherwise` where one does not.
    """

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(path))
        rows = []
        for claim in yaml.safe_load(path.read_text(encoding="utf-8")):
            stage = STAGES[claim["chapter"]]
            text, count = arithmetic([entry for pattern in claim.get("evidence", []) for entry in self.named(pattern)])
            rows.append(
                [
                    [*self.inline(claim["claim"]), nodes.inline("", claim["paper"], classes=["claim-place"])],
                    [_verdict(text), nodes.Text(count)],
                    [_verdict(self.decide(claim))],
                    self.inline(claim["comment"]),
                    [
                        *self.inline(f"{{doc}}`/{EXECUTED}/{stage}`, {claim['where']}"),
                        nodes.Text(f". {self.cost(stage)}"),
                    ],
                ]
            )
        header = ["Claim of the paper", "Arithmetic", "Claim", "What we found", "Evidence here, and its cost"]
        return _table(header, [26, 17, 14, 43, 24], rows, "claims")

    def named(self, pattern: str) -> list[dict[str, Any]]:
        """Return the results with a verdict whose keys match a pattern."""
        _note_dependency(self.env, pattern)
        results = self.env.mammogan_results.items()
        entries = [entry for key, entry in results if fnmatch.fnmatchcase(key, pattern) and "verdict" in entry]
        if not entries:
            logger.warning("no result with a verdict matches %r", pattern, location=self.get_location())
        return entries

    def decide(self, claim: dict[str, Any]) -> str:
        """Return the verdict on a claim."""
        verdict = claim["verdict"]
        try:
            for condition in claim.get("provided", []):
                _note_dependency(self.env, condition.split()[0])
                if not holds(condition, self.env.mammogan_results):
                    verdict = claim["otherwise"]
        except (KeyError, ValueError) as error:
            logger.warning("the condition of a claim names no result: %s", error, location=self.get_location())
        if verdict not in CLAIMS:
            logger.warning("%r is not a verdict on a claim", verdict, location=self.get_location())
        return verdict

    def inline(self, text: str) -> list[nodes.Node]:
        """Return MyST text as the children of a paragraph."""
        holder = nodes.Element()
        self.state.nested_parse(StringList([text], source=self.arguments[0]), 0, holder)
        return list(holder.children[0].children) if holder.children else []

    def cost(self, stage: str) -> str:
        """Return the measured wall time of the stage and of those that it needs, in words."""
        records = self.env.mammogan_provenance
        own = records.get(stage, {}).get("seconds", 0.0)
        everything = sum(records[name]["seconds"] for name in origin.chain([stage], records))
        if records.get(stage, {}).get("parameters", {}).get("finished"):
            return f"{duration(own)} from the published run, without its training"
        if everything == own:
            return f"{duration(own)}, no image needed"
        return f"{duration(own)} (with the stages before it {duration(everything)})"


def duration(seconds: float) -> str:
    """Return a wall time in words, with two digits that count."""
    units = ((86400, "days"), (3600, "hours"), (60, "min"), (1, "s"))
    unit, name = next(((unit, name) for unit, name in units if seconds >= 2 * unit), units[-1])
    return f"{float(f'{seconds / unit:.2g}'):g} {name}"


class Api(SphinxDirective):
    """Reference of all modules of a package (or of one module), sorted by name."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        folder = Path(self.config.mammogan_root).joinpath(*name.split("."))
        own = name == "mammogan"  # each room has its own page
        paths = sorted(folder.glob("*.py" if own else "**/*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
        sections = []
        for path in paths:
            if path.stem.startswith("_"):
                continue
            self.env.note_dependency(str(path))
            inner = path.relative_to(folder.parent if not folder.is_dir() else folder).with_suffix("").parts
            module = ".".join([name, *inner]) if folder.is_dir() else name
            section = nodes.section(ids=[nodes.make_id(module)], names=[module])
            section += nodes.title("", "", nodes.literal("", module))
            lines = [f".. automodule:: {module}", "   :members:", "   :member-order: bysource", ""]
            self.nested_rst(lines, section)
            sections.append(section)
        if not sections:
            logger.warning("there is no module %r", name, location=self.get_location())
        return sections

    def nested_rst(self, lines: list[str], into: nodes.Element) -> None:
        """Parse reStructuredText inside a MyST page."""
        block = "\n".join(["```{eval-rst}", *lines, "```"])
        self.state.nested_parse(StringList(block.splitlines(), source=self.arguments[0]), 0, into)


def plain(_app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Escape bars, asterisks and trailing underscores outside of code: in docstrings they are not markup."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"(?<=\w)_(?!\w)|[|*]", r"\\\g<0>", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def imported(app: Sphinx, what: str, _name: str, obj: Any, _skip: bool, _options: Any) -> bool | None:
    """Skip members that a module imports; autodoc would read the source of their module to find that out."""
    home = getattr(obj, "__module__", None)
    return True if what == "module" and home not in (None, app.env.temp_data.get("autodoc:module")) else None


class Benchmarks(SphinxDirective):
    """Table of benchmarks/results by its name; without a name, every table that no page names."""

    optional_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        folder = Path(self.config.mammogan_root) / "benchmarks" / "results"
        if self.arguments:
            path = folder / f"{self.arguments[0]}.md"
            if not path.is_file():
                logger.warning("there is no benchmark %r", path.stem, location=self.get_location())
                return []
            holder = nodes.container()
            self.read(path, holder)
            return list(holder.children)
        pages = (path.read_text(encoding="utf-8") for path in sorted(Path(self.env.srcdir, "book").rglob("*.md")))
        named = {name for page in pages for name in re.findall(r"\{benchmarks\} (\S+)", page)}
        sections = []
        for path in sorted(folder.glob("*.md")):
            if path.stem not in named:
                section = nodes.section(ids=[nodes.make_id(path.stem)], names=[path.stem])
                section += nodes.title("", path.stem.replace("_", " ").capitalize())
                self.read(path, section)
                sections.append(section)
        return sections

    def read(self, path: Path, into: nodes.Element) -> None:
        """Parse a file of results; headings become bold text, because a directive cannot open sections."""
        self.env.note_dependency(str(path))
        lines = path.read_text(encoding="utf-8").splitlines()
        lines = [f"**{line.lstrip('# ')}**" if line.startswith("#") else line for line in lines]
        self.state.nested_parse(StringList(lines, source=str(path)), 0, into)


# Extensions of jupyter-book that do not state whether several processes may read pages. The first numbers sections when
# all pages are read, the second only prepares a PDF by LaTeX.
PARALLEL = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")


def declare_parallel(app: Sphinx) -> None:
    """Let several processes read and write pages, which these extensions do not disturb."""
    for name in PARALLEL:
        if extension := app.extensions.get(name):
            extension.parallel_read_safe = True


def deal(app: Sphinx, _env: Any, pages: list[str]) -> None:
    """Deal the pages to the processes like cards, and import what the reference documents before they fork.

    Sphinx would give consecutive pages, and so the reference, which takes half of the time, to one process.
    """
    pages[:] = [page for first in range(app.parallel) for page in pages[first :: app.parallel]]
    if not any(page.startswith("book/api/") for page in pages):
        return
    root = Path(app.config.mammogan_root)
    with mock(app.config.autodoc_mock_imports):
        for path in sorted(root.glob("mammogan/**/*.py")):
            if not path.stem.startswith("_"):
                import_module(".".join(path.relative_to(root).with_suffix("").parts))
    # To see whether a class has overloads, autodoc would import the real modules of bases that it mocks.
    for name in app.config.autodoc_mock_imports:
        sys.modules.setdefault(name, None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register roles, directives and the other modules with Sphinx."""
    app.connect("builder-inited", declare_parallel)
    app.connect("env-before-read-docs", deal)
    app.add_directive("benchmarks", Benchmarks)
    app.add_role("val", ValueRole())
    app.add_role("paper", PaperRole())
    app.add_role("csv", CsvRole())
    app.add_directive("compare", Compare)
    app.add_directive("summary", Summary)
    app.add_directive("claims", Claims)
    app.add_directive("api", Api)
    app.connect("builder-inited", load)
    app.connect("autodoc-skip-member", imported)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before napoleon
    for name in ("origin", "folds", "pictures", "listing", "mathematics", "meta"):
        app.setup_extension(name)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
