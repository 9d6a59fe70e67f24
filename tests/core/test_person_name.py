"""Names of people: what is taken as it is, and what is refused."""

import pytest

from ppface.core.errors import DataError
from ppface.core.person_name import checked_name, kept_name

RESERVED = [
    "Unknown",
    " unknown ",
    "UNKNOWN",
    "Ｕｎｋｎｏｗｎ",
    "ｕnknown　",
    "Unknown\ufe0f",
    "Un\u034fknown",
    "Un\u200bknown",
    "\u3164Unknown",
    "Unkno\u115fwn",
]


@pytest.mark.parametrize("name", RESERVED, ids=ascii)
def test_what_looks_like_the_answer_for_strangers_is_no_name(name):
    with pytest.raises(DataError, match="expected another name: searches answer Unknown below the threshold"):
        checked_name(name)


def test_who_has_a_reserved_name_is_found_by_it():
    assert kept_name(" Unknown\ufe0f ") == "Unknown\ufe0f"


@pytest.mark.parametrize(
    "name", ["Unknown 2", "Unknownson", "Ünknown", "Ann", "Ａｎｎ", "अनीता", "محمّد", "김민준", "\U0001f600"], ids=ascii
)
def test_other_names_are_taken_as_they_are(name):
    assert checked_name(f" {name} ") == name


def test_letters_of_two_characters_become_one():
    assert checked_name("U\u0308nal") == "Ünal"


@pytest.mark.parametrize("name", ["", "  ", "a" * 201])
def test_empty_and_long_names_are_refused(name):
    with pytest.raises(DataError, match="expected a person's name of 1 to 200 characters, received"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "Ann\u200b", "\ud800"], ids=ascii)
def test_characters_that_terminals_act_on_are_refused(name):
    with pytest.raises(DataError, match="expected a person's name in UTF-8 without line breaks and other control characters"):
        checked_name(name)
