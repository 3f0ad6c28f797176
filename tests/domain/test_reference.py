"""References: a shape, unique without regard to case (L2), and nobody's official number (L5)."""

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.reference import OrganisationId, Reference, canonical

REFERENCE: TypeAdapter[str] = TypeAdapter(Reference)
ORGANISATION: TypeAdapter[str] = TypeAdapter(OrganisationId)


@pytest.mark.parametrize("text", ["A", "7", "2021-Q3", "INDIGO-POJ-0175", "kbop.0042_b", "a" * 64, "123456789", "12345678901"])
def test_has_letters_digits_dots_underscores_and_hyphens(text: str) -> None:
    assert REFERENCE.validate_python(text) == text


@pytest.mark.parametrize("wrong", ["", "-a", ".a", "_a", "a" * 65, "a b", "a/b", "a\n", "é", "٣", "ana@example.org", "../a", 7])
def test_has_no_other_shape(wrong: object) -> None:
    with pytest.raises(ValidationError):
        REFERENCE.validate_python(wrong)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("QQ123456C", "National Insurance"),
        ("qq123456c", "National Insurance"),
        ("QQ-12-34-56-C", "National Insurance"),
        ("QQ123456", "National Insurance"),
        ("9434765919", "NHS"),
        ("943-476-5919", "NHS"),
        ("943.476.5919", "NHS"),
        ("A123456789012", "UPN"),
        ("a12345678901b", "UPN"),
        ("ana@example.org", "match pattern"),
    ],
)
def test_is_no_official_number_and_no_address(wrong: str, what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        REFERENCE.validate_python(wrong)


@pytest.mark.parametrize(
    "near", ["QQ123456E", "QQ12345C", "Q123456C", "94347659190", "943476591", "A12345678901", "A1234567890123"]
)
def test_may_look_a_little_like_one(near: str) -> None:
    assert REFERENCE.validate_python(near) == near


def test_is_the_same_in_small_letters() -> None:
    assert canonical("2021-q3") == canonical("2021-Q3")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("GB-COH-11503344", "GB-COH-11503344"), ("GB-LAE-kir", "GB-LAE-KIR"), ("XI-GRID-grid.1234.5", "XI-GRID-GRID.1234.5")],
)
def test_an_organisation_is_kept_in_capitals(text: str, kept: str) -> None:
    assert ORGANISATION.validate_python(text) == kept


@pytest.mark.parametrize("wrong", ["Kirklees Council", "gb-LAE-KIR", "GB-LAE", "GB-LAE-", "GB-LAE-K/R", ""])
def test_an_organisation_has_a_register_and_a_number_there(wrong: str) -> None:
    with pytest.raises(ValidationError):
        ORGANISATION.validate_python(wrong)
