"""Protocols from YAML files, questionnaires and texts in other languages: what is read, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from mammogan.errors import InputError, MammoganError, ParameterError
from mammogan.reader_study.protocol import Consent, StudyProtocol
from mammogan.reader_study.questionnaire import Questionnaire
from mammogan.reader_study.requests import RequestRefused
from mammogan.reader_study.texts import CATALOGS, Texts, catalog
from mammogan.report.provenance import ROOT

OWN = """\
- name: profession
  text: {en: Profession, de: Beruf}
  choices: {radiologist: Radiologist, nurse: {en: Nurse, de: Pflege}}
- name: country
  when: {profession: nurse}
  text: Country
  length: 20
- name: cases
  text: Mammograms per week
  number: [0, 500]
"""


def test_a_protocol_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "texts.yaml").write_text("confirm: Absenden\n")
    (tmp_path / "study.yaml").write_text(
        "show: images\nconfidence: yes\npractice: 2\nrepeats: 1\nreplace: no\nstrata: [view, density]\nlanguage: de\n"
        "consent: {version: 1.0, text: I agree.}\nquestionnaire: own.yaml\ntexts: texts.yaml\nfeedback: true\n"
    )
    protocol = StudyProtocol.read(tmp_path / "study.yaml")
    assert (protocol.show, protocol.confidence, protocol.practice, protocol.replace) == ("images", True, 2, False)
    assert protocol.strata == ("view", "density")
    assert protocol.consent == Consent("1.0", "I agree.")
    assert protocol.questionnaire.items[0]["choices"] == {"radiologist": "Radiologist", "nurse": "Pflege"}
    assert protocol.texts.entries["confirm"] == "Absenden"
    assert protocol.texts.entries["start"] == "Test beginnen"
    record = json.loads(json.dumps(protocol.record()))
    assert "comments" not in record
    assert StudyProtocol.of(record, tmp_path) == protocol
    assert StudyProtocol().record() == {}
    assert StudyProtocol.of({}, tmp_path) == StudyProtocol()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("show: films", "The protocol shows 'films'; give pairs or images"),
        ("confidence: perhaps", "The entry confidence is 'perhaps'; give yes or no"),
        ("practice: -1", "The entry practice is '-1'; give a whole number"),
        ("practice: 5000", "The number 5000 of practice is out of range"),
        ("shows: red", "The entry 'shows' is unknown; give some of show, views, confidence"),
        ("consent: yes", "A consent has a version and a text"),
        ("consent: {version: '', text: x}", "A consent has a version and a text"),
        ("language: tlh", "There are no texts in the language 'tlh'; give them as texts, or de, en"),
        ("language: ../en", "is no code"),
        ("texts: {confirmed: x}", "The text 'confirmed' is unknown"),
        ("texts: {question_pairs: Pair}", "has other holes than the English one, which has {count}, {n}"),
        ("questionnaire: nowhere.yaml", "nowhere.yaml cannot be read"),
        ("questionnaire: []", "is a list of items"),
        ("questionnaire: empty.yaml", "is a list of items"),  # not the paper's
        ("questionnaire:", "cannot be read"),
        ("show: pairs\nshow: images", "show is there twice"),
        ("consent: {version: 1, text: {en: A, en: B}}", "en is there twice"),
        ("consent: {version: 1, text: [A, B]}", "['A', 'B'] is not a text"),
        ("consent: {version: '1', text: ' '}", "' ' is not a text"),
        (f"consent: {{version: {'9' * 101}, text: A}}", "of the consent is not one line of 1 to 100 characters"),
        ('consent: {version: "1\\t2", text: A}', "of the consent is not one line"),
        ("strata:", "The strata '' are not columns"),
        ("strata: {view: yes}", "are not columns"),
        ("strata: [view, [density]]", "are not columns"),
        ("practice: 99999999999999", "give a whole number"),
        ("practice: [1, 2]", "give a whole number"),
        ("show: [pairs]", "give pairs or images"),
        ("feedback:", "The entry feedback is ''; give yes or no"),
        ("texts: [a]", "Texts are entries of a key and a text"),
        ("show:\timages", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a: &a [*a]", "is not YAML"),
        ("show: \x00", "is not YAML"),
        ("- show", "A protocol has entries such as show"),
        ("show: [", "is not YAML"),
    ],
)
def test_what_is_no_protocol(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "study.yaml").write_text(content)
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    with pytest.raises(InputError, match=re.escape(sentence)):
        StudyProtocol.read(tmp_path / "study.yaml")


def test_an_own_questionnaire_checks_its_answers() -> None:
    own = Questionnaire.of(yaml.load(OWN, yaml.BaseLoader), "en")
    assert own.columns == ("profession", "country", "cases")
    for content in ({"profession": "radiologist"}, {"profession": "nurse", "country": "Malta", "cases": 12}):
        assert own.check(content) == content
    for content in (
        {},
        {"profession": "surgeon"},
        {"profession": "radiologist", "country": "Malta"},
        {"profession": "nurse", "country": "x" * 21},
        {"profession": "nurse", "country": 5},
        {"profession": "nurse", "cases": 501},
        {"profession": "nurse", "years": 3},
    ):
        with pytest.raises(RequestRefused):
            own.check(content)
    # What no reader can mend is mended: narrow spaces and joiners that tablets type, and what cannot be stored.
    for typed, kept in (("S\u00e3o\u00a0Tom\u00e9", "S\u00e3o Tom\u00e9"), ("a\u200db\nc", "ab c"), ("\ud800", "")):
        assert own.check({"profession": "nurse", "country": typed})["country"] == kept


def test_a_consent_in_several_languages(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("language: de\nconsent: {version: 1, text: {en: I agree., de: Ja.}}\n")
    protocol = StudyProtocol.read(tmp_path / "study.yaml")
    assert protocol.consent == Consent("1", "Ja.")
    assert StudyProtocol.of(json.loads(json.dumps(protocol.record())), tmp_path) == protocol


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("{name: a}", "An item of a questionnaire has name, text"),
        ("{name: a, text: A, size: 3}", "An item of a questionnaire has name, text"),
        ("{name: A b, text: A, length: 3}", "is no column"),
        ("{name: a, text: A}", "has 0 of choices, number and length"),
        ("{name: a, text: A, number: [1]}", "is not as the example"),
        ("{name: a, text: A, choices: [x, y]}", "is not as the example"),
        ("{name: correct, text: A, length: 3}", "has another meaning"),
        ("{name: checks_right, text: A, length: 3}", "has another meaning"),
        ("{name: trainee, text: A, choices: {never: N, often: O}}", "has another meaning"),
        ("{name: years, text: A, length: 3}", "asks for a number"),
        ("{name: a, text: A, choices: {x: X}, columns: [y]}", "is not one of its choices"),
        ("{name: a, text: A, length: 3, when: {b: c}}", "depends on 'b'"),
        ("{name: profession, text: A, length: 3}", "asks twice for profession"),
        ("{name: a, text: [A], length: 3}", "is not a text"),
        ("{name: a, text: {}, length: 3}", "is not a text"),
        ("{name: a, text: A, choices: {}}", "a choice without a name, or none"),
        ("{name: a, text: A, choices: {'': A}}", "a choice without a name"),
        ("{name: a, text: A, choices: {x: [X]}}", "is not a text"),
        ("{name: a, text: A, length: 0}", "out of range; choose 1 to 200"),
        ("{name: a, text: A, length: 5000}", "out of range; choose 1 to 200"),
        ("{name: a, text: A, number: [9, 1]}", "has no number from 9 to 1"),
        ("{name: a, text: A, number: [0, .inf]}", "is not as the example"),
        ("{name: a, text: A, number: [0, 1e999]}", "has no number from 0 to inf"),
        ("{name: a, text: A, number: [nan, 5]}", "has no number from nan to 5"),
        ("{name: years, text: A, number: [-5, 80]}", "asks for a number of 0 or more"),
        ("{name: a, text: A, length: 3, when: {profession: Nurse}}", "'Nurse' as profession, .*: radiologist, nurse"),
        ("{name: a, text: A, length: 3, when: {cases: 0}}", "'0' as cases, .*: it has none"),
        (
            "{name: radiologist, text: A, choices: {yes: Y, no: N}}\n"
            "- {name: screening, text: A, choices: {yes: Y, no: N}}",
            "Ask screening of radiologists alone",
        ),
        (
            "{name: trainee, text: A, choices: {yes: Y, no: N}}\n"
            "- {name: board_certified, text: A, choices: {yes: Y, no: N}}",
            "No trainee is board certified",
        ),
        ("\n- ".join(f"{{name: a{n}, text: A, length: 200}}" for n in range(12)), "a request has room for 3000"),
    ],
)
def test_what_is_no_questionnaire(item: str, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        Questionnaire.of(yaml.load(f"{OWN}- {item}\n", yaml.BaseLoader), "en")


@pytest.mark.parametrize("path", sorted(CATALOGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_catalogs_are_complete(path: Path) -> None:
    """Every language has the same keys, holes and tags, and says something else than English."""
    english, other = catalog("en"), catalog(path.stem)
    assert list(other) == list(english)
    for key, text in other.items():
        for part in (r"\{[a-z]+\}", r"<[^>]+>"):
            assert sorted(re.findall(part, text)) == sorted(re.findall(part, english[key])), key
        assert text.strip()
    assert path.stem == "en" or sum(text == english[key] for key, text in other.items()) < 5


def test_a_language_without_a_catalog_is_completed_in_english() -> None:
    assert Texts.of("fr", {"confirm": "Confirmer"}).entries == {**catalog("en"), "confirm": "Confirmer"}
    with pytest.raises(MammoganError, match="Texts are entries"):
        Texts.of("fr", ["Confirmer"])


def test_the_example_of_the_book() -> None:
    protocol = StudyProtocol.read(ROOT / "book" / "examples" / "study.yaml")
    assert (protocol.show, protocol.repeats, protocol.replace, protocol.strata) == ("images", 3, False, ("view",))
    assert protocol.questionnaire.columns == ("radiologist", "board_certified", "trainee", "years", "country")
    assert protocol.texts.entries["confirm"] == "Submit"
    assert protocol.consent
