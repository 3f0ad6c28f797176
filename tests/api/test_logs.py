"""What the log of the service tells, and what it never tells."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog

from api import logs


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    yield stream
    root.handlers, root.level = before
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


class TestLogs:
    def test_are_one_object_a_line(self, out: io.StringIO) -> None:
        logs.logger("api.claims").info("claim submitted", award="INDIGO-POJ-0175", claim="2021-Q3", lines=12)
        (line,) = lines(out)
        assert line["at"].endswith("Z")
        del line["at"]
        assert line == {
            "event": "claim submitted",
            "level": "info",
            "logger": "api.claims",
            "award": "INDIGO-POJ-0175",
            "claim": "2021-Q3",
            "lines": 12,
        }

    def test_are_sentences_for_people(self, out: io.StringIO) -> None:
        logs.configure("info", "console", out)
        logs.logger("api.claims").info("claim submitted", claim="2021-Q3")
        assert "claim submitted" in out.getvalue()
        assert "claim=2021-Q3" in out.getvalue()

    def test_leave_out_what_is_less_severe(self, out: io.StringIO) -> None:
        logs.logger("api").debug("looked")
        logging.getLogger("alembic").debug("looked")
        assert lines(out) == []

    def test_tell_of_which_request_they_are(self, out: io.StringIO) -> None:
        with logs.bound(request="r-17", person="p-4"):
            logs.logger("api").info("began")
        logs.logger("api").info("idle")
        within, after = lines(out)
        assert (within["request"], within["correlation"], within["person"]) == ("r-17", "r-17", "p-4")
        assert "request" not in after

    def test_take_in_the_standard_library_s(self, out: io.StringIO) -> None:
        logging.getLogger("uvicorn.error").warning("listening on %s", "127.0.0.1")
        assert [(line["event"], line["level"]) for line in lines(out)] == [("listening on 127.0.0.1", "warning")]

    @pytest.mark.parametrize("name", ["reference", "note", "body", "authorization", "key", "vault_key", "account_number"])
    def test_keep_out_what_may_not_be_told(self, name: str, out: io.StringIO) -> None:
        logs.logger("api").warning("refused", **{name: "KIR-0042"})
        assert "KIR-0042" not in out.getvalue()
        assert lines(out)[0][name] == logs.KEPT_OUT

    @pytest.mark.parametrize(
        "quoting",
        [KeyError, ValueError, type("IntegrityError", (Exception,), {}), psycopg.errors.InvalidTextRepresentation],
    )
    def test_keep_out_the_message_of_an_error_that_may_quote(self, quoting: type[Exception], out: io.StringIO) -> None:
        try:
            raise quoting("KIR-0042")
        except quoting:
            logs.logger("api").exception("failed")
            logging.getLogger("uvicorn.error").exception("failed")
        assert "KIR-0042" not in out.getvalue()
        for line in lines(out):
            assert line["error"] == quoting.__name__
            assert "test_logs.py" in line["where"][-1]

    def test_tell_the_first_line_of_another_error_s_message(self, out: io.StringIO) -> None:
        try:
            raise ConnectionError("connection refused\nDETAIL: KIR-0042")
        except ConnectionError:
            logs.logger("api").exception("failed")
        assert lines(out)[0]["because"] == "connection refused"
        assert "KIR-0042" not in out.getvalue()

    def test_do_not_tell_addresses_that_were_asked_for(self, out: io.StringIO) -> None:
        logging.getLogger("uvicorn.access").info("GET /v1/awards?reference=KIR-0042")
        logging.getLogger("httpx").info("HTTP Request: GET /v1/awards?reference=KIR-0042")
        assert lines(out) == []
