"""Every reason of a refusal has a row in the table, is used, and survives the way from a child process."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

import mammogan
from mammogan import errors
from mammogan.errors import REASONS, MammoganError, ParameterError, Reason, Refused


def test_every_reason_has_a_sentence() -> None:
    assert set(REASONS) == set(Reason)
    for sentence in REASONS.values():
        assert sentence[0].isupper()
        assert sentence.endswith(".")


def test_every_reason_is_used() -> None:
    sources = [path for path in Path(mammogan.__file__).parent.rglob("*.py") if path.name != "errors.py"]
    used = {name for path in sources for name in re.findall(r"\bReason\.([A-Z_]+)", path.read_text())}
    assert used == {reason.name for reason in Reason}


def test_a_refusal_is_the_same_after_pickling() -> None:
    refused = Refused(Reason.BLANK, "The image is blank.", {"id": "a"})
    again = pickle.loads(pickle.dumps(refused))
    assert (again.reason, str(again), again.facts) == ("blank", "The image is blank.", {"id": "a"})
    assert Refused("clips", "The image has clips.").facts == {}


def test_all_errors_are_of_one_family() -> None:
    classes = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert len(classes) > 10
    assert all(issubclass(kind, MammoganError) for kind in classes)
    with pytest.raises(ValueError, match="seed"):
        raise ParameterError("The seed is negative.")
