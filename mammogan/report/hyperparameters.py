"""The table of hyper-parameters for the book: what each one means, its value in the original, its value in a run."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from itertools import groupby
from typing import Any

from mammogan.gan.config import Config


def meanings(kind: type = Config) -> dict[str, str]:
    """{attribute: meaning}, from the section "Attributes" of a class's docstring; a line may name several."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section, re.M):
        found |= {name.strip(): " ".join(text.split()).replace("`", "").rstrip(".") for name in names.split(",")}
    return found


def table(config: Config) -> list[dict[str, Any]]:
    """One row a hyper-parameter: setting, original (the defaults of `Config`), here, changed, meaning."""
    original, here, meaning = asdict(Config()), asdict(config), meanings()
    return [
        {
            "setting": name,
            "original GAN": _text(original[name]),
            "here": _text(here[name]),
            "changed": "yes" if original[name] != here[name] else "",
            "meaning": meaning.get(name, ""),
        }
        for name in original
    ]


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        runs = [(item, len(list(same))) for item, same in groupby(value)]
        return ", ".join(f"{count} x {item}" if count > 1 else str(item) for item, count in runs)
    return f"{value:,}".replace(",", " ") if isinstance(value, int) and not isinstance(value, bool) else str(value)
