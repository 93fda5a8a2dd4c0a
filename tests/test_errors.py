"""Errors: reasons with their meaning, and extras that are named where they are missing."""

from __future__ import annotations

import pickle

import pytest

from mammogan.errors import REASONS, DependencyError, MammoganError, ParameterError, Reason, Refused, require


def test_every_reason_has_one_sentence_of_its_own() -> None:
    assert len(set(REASONS.values())) == len(REASONS) == len(Reason)
    assert all(meaning[0].isupper() and meaning.endswith(".") for meaning in REASONS.values())
    assert Reason("timeout") is Reason.TIMEOUT
    assert f"{Reason.TIMEOUT}" == "timeout"


def test_a_refusal_crosses_processes() -> None:
    """As it comes from the child that read the file."""
    refused = pickle.loads(pickle.dumps(Refused(Reason.BLANK, "The image is blank.")))
    assert (refused.reason, str(refused)) == ("blank", "The image is blank.")


def test_arguments_out_of_range_are_value_errors_too() -> None:
    assert issubclass(ParameterError, ValueError)
    assert issubclass(ParameterError, MammoganError)


def test_a_missing_extra_is_named() -> None:
    require("study", "json")
    with pytest.raises(DependencyError, match=r'nosuchmodule is not installed; .* pip install "mammogan\[study\]"'):
        require("study", "json", "nosuchmodule")
