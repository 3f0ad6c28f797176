"""References that people give: unique without regard to case (L2), and never a person's official number (L5)."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

_SHAPE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_NI_NUMBER = re.compile(r"[A-Z]{2}[0-9]{6}[A-D]?")
_NHS_NUMBER = re.compile(r"[0-9]{10}")
_PUPIL_NUMBER = re.compile(r"[A-Z][0-9]{11}[0-9A-Z]")
_ORGANISATION = r"^[A-Z]{2,3}-[A-Z0-9]{2,8}-[A-Za-z0-9][A-Za-z0-9._-]{0,40}$"


@lru_cache(4_096)
def _names_nobody(text: str) -> str:
    bare = re.sub(r"[._-]", "", text).upper()
    for shape, what in ((_NI_NUMBER, "a National Insurance number"), (_NHS_NUMBER, "an NHS number"), (_PUPIL_NUMBER, "a UPN")):
        if shape.fullmatch(bare):
            raise ValueError(f"is shaped like {what}; use a pseudonymous reference (L5)")
    return text


Reference = Annotated[str, Field(pattern=_SHAPE, examples=["2021-Q3"]), AfterValidator(_names_nobody)]
"""A name that somebody gives: 1 to 64 letters, digits, dots, underscores, hyphens (L2)."""

OrganisationId = Annotated[str, Field(pattern=_ORGANISATION, examples=["GB-COH-11503344"]), AfterValidator(str.upper)]
"""An org-id, such as `GB-LAE-KIR` or `GB-COH-11503344` (http://org-id.guide).

It is kept in capitals, however it is written, so that one organisation is one: for maxima, accumulators and four eyes.
"""


Code = Annotated[Reference, AfterValidator(str.upper)]
"""The code of an outcome, kept in capitals, so that it is one outcome in whatever version it stands and however it is spelt."""


def canonical(reference: str) -> str:
    """The one form of a reference under which it is looked up and compared (L2: without regard to case)."""
    return reference.upper()
