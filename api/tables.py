"""Tables as text: claims come in as CSV, with the faults of every row at once; what goes out is never taken for a formula."""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any, Final

from pydantic import ValidationError

from api.problems import RequestIsWrong, faults
from domain.claim import MOST_LINES, ClaimedLine, Submission
from domain.refusal import Fault

COLUMNS: Final = ("outcome", "participant", "quantity", "achieved_on", "evidence_sha256", "evidence_title", "note")
_NEEDED: Final = frozenset({"outcome", "quantity", "achieved_on"})
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def submission(body: bytes, asked: Mapping[str, str | None]) -> Submission:
    """A claim whose lines come as CSV; line 1 is the first row under the heading. Raises `RequestIsWrong` with all faults."""
    wrong: list[Fault] = []
    lines = tuple(_lines(body, wrong))
    if not wrong and not lines:
        wrong.append(Fault("lines", "there must be at least one row under the heading"))
    # A line that stands for all of them: the rows have been looked at already, each by itself.
    first = [line.model_dump(mode="json", exclude_none=True) for line in lines[:1]] or [_SOME_LINE]
    try:
        claim = Submission.model_validate(
            {
                "claim": asked.get("claim"),
                "period": {"first": asked.get("period_first"), "last": asked.get("period_last")},
                "claimant": asked.get("claimant"),
                "lines": first,
            }
        )
    except ValidationError as refused:
        named = faults(refused.errors(include_url=False, include_input=False, include_context=False))
        wrong = [Fault(each.where.replace("period.", "period_"), each.what) for each in named] + wrong
    else:
        if not wrong:
            return claim.model_copy(update={"lines": lines})
    raise RequestIsWrong(wrong)


_SOME_LINE: Final = {"outcome": "none", "quantity": "1", "achieved_on": "2000-01-01"}


def _lines(body: bytes, wrong: list[Fault]) -> Iterator[ClaimedLine]:
    try:
        for number, row in enumerate(rows(body.decode("utf-8-sig"), COLUMNS, _NEEDED), 1):
            if number > MOST_LINES:
                wrong.append(Fault("lines", f"a claim has at most {MOST_LINES} lines"))
                return
            try:
                yield _line(row)
            except ValidationError as refused:
                told = refused.errors(include_url=False, include_input=False, include_context=False)
                wrong.extend(Fault(f"lines.{number}.{_column(each.where)}", each.what) for each in faults(told))
    except UnicodeDecodeError:
        wrong.append(Fault("body", "is not UTF-8"))
    except NotThisTable as fault:
        wrong.append(Fault(fault.where, fault.what))


class NotThisTable(ValueError):
    """A text is no CSV, or has other columns."""

    def __init__(self, where: str, what: str) -> None:
        self.where, self.what = where, what
        super().__init__(f"{where} {what}")


def rows(text: str, columns: Sequence[str], needed: Collection[str]) -> Iterator[dict[str, Any]]:
    """The rows under the heading, without their empty cells; what stands beyond the heading is called `cells`.

    Raises `NotThisTable` for what is no CSV or lacks a column, also between rows.
    """
    try:
        table = csv.DictReader(StringIO(text, newline=""), strict=True, restkey="cells")
        heading = table.fieldnames or ()
        if set(heading) - set(columns) or set(needed) - set(heading) or len(set(heading)) != len(heading):
            raise NotThisTable("heading", f"the columns are {','.join(columns)}; needed are {', '.join(sorted(needed))}")
        for row in table:
            yield {name: cell for name, cell in row.items() if cell}
    except csv.Error as fault:
        raise NotThisTable("body", f"is not CSV: {fault}") from None


def _line(row: Mapping[str, Any]) -> ClaimedLine:
    cells = dict(row)
    evidence = {name: cells.pop(f"evidence_{name}") for name in ("sha256", "title") if f"evidence_{name}" in cells}
    return ClaimedLine.model_validate({**cells, **({"evidence": [evidence]} if evidence else {})})


def _column(where: str) -> str:
    return "cells" if where == "body" else where.replace("evidence.0.", "evidence_")


def table(heading: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A table as CSV, UTF-8 with CRLF, no cell of which a spreadsheet takes for a formula."""
    written = StringIO(newline="")
    csv.writer(written).writerows([tuple(heading), *([cell(each) for each in row] for row in rows)])
    return written.getvalue().encode()


def cell(value: object) -> str:
    """A cell that stays text."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
