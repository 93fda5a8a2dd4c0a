"""Table of hyper-parameters: the value of each in the original and in a run, and its meaning."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from itertools import groupby

import pandas as pd

from mammogan.gan.config import Config


def meanings(kind: type = Config) -> dict[str, str]:
    """Read {attribute: meaning} from the section "Attributes" of a class's docstring; a line may name several."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    meaning: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section, re.M):
        meaning |= {name.strip(): " ".join(text.split()).replace("`", "").rstrip(".") for name in names.split(",")}
    return meaning


def table(config: Config) -> pd.DataFrame:
    """Return one row per setting: its value in the original (the defaults of `Config`) and here, and its meaning."""
    original, here, meaning = asdict(Config()), asdict(config), meanings()
    rows = [
        (name, _text(value), _text(here[name]), "yes" if value != here[name] else "", meaning.get(name, ""))
        for name, value in original.items()
    ]
    return pd.DataFrame(rows, columns=["setting", "original GAN", "here", "changed", "meaning"])


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        runs = [(item, len(list(same))) for item, same in groupby(value)]
        return ", ".join(f"{count} x {item}" if count > 1 else str(item) for item, count in runs)
    return f"{value:,}".replace(",", " ") if isinstance(value, int) and not isinstance(value, bool) else str(value)
