"""Whoever has the database in hands can change anything in it; `lcledger verify` finds and names what was done.

The triggers are taken away, something is done, and the triggers are put back: so what is found is the deed, and not its traces
round it. What was rewritten from some entry on to the end, with every hash made anew, only a head or a checkpoint can tell that
somebody kept elsewhere; it is tried that nothing else does.
"""

import asyncio
import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import Connection, Engine

from api import packing
from api.cli.inspection import everything as look_over
from api.settings import Settings
from domain import party
from domain.aggregate import Actor, PersonId
from domain.events import BY_NAME
from domain.log import SealedHead
from domain.money import Money
from domain.postings import sums
from domain.redecision import STATED
from ledger import merkle, notes, store
from ledger.checkpoints import Checkpoint, Checkpoints
from ledger.entry import NO_LEAF, Draft, Row, place
from ledger.inspection import Evidence, Findings, inspect, inspect_hashes
from ledger.ledger import Ledger, Request
from ledger.log import Damaged, Log, Statements
from ledger.notes import COSIGNATURE, SEED_BYTES, Signer, Verifier
from ledger.recheck import Rechecked, recheck
from ledger.tree import WIDTH
from ledger.vault import Seals, _seal
from tests import postgres
from tests.api import everything, story

KEY = bytes(range(100, 132))
OURS, FORGERS = Signer(bytes(SEED_BYTES)), Signer(b"\x55" * SEED_BYTES)
WITNESS = Signer(b"\x77" * SEED_BYTES)
OURS_BEFORE = Signer(bytes(range(SEED_BYTES)))
SIGNED = ("checkpoints", "cosignatures", "subtrees", "pack_signatures")
TABLES = ("entries", "heads", "receipts", *SIGNED)
FORGET = tuple(f"DELETE FROM {table}" for table in SIGNED)
"""What else would tell of another history."""
COLUMNS = "position, stream, version, type, recorded_at, award, award_sequence, header, state, leaf"


@dataclass(frozen=True)
class Whole:
    """A database in which every kind of command was recorded, and that nobody serves; how to copy it; what was known of it."""

    settings: Settings
    size: int
    root: bytes
    later: SealedHead
    """A head of the log after one more command, which this database has not."""
    later_note: str


async def _play(folder: Path, database: str | None) -> tuple[int, bytes]:
    """Everything happens, a checkpoint is signed with the new key, and the read models follow to the end."""
    more: dict[str, Any] = {"database_url": database} if database else {}
    async with story.serving(folder, vault_key=base64.b64encode(KEY).decode(), **more) as service:
        await everything.happen(service)
        await everything.go_further(service)
        state = service.app.state
        await asyncio.to_thread(_register_many, state.ledger)
        signed = await asyncio.to_thread(state.checkpoints.sign, OURS)
        line = WITNESS.cosign("witness.example", signed.checkpoint.text, 1_700_000_000)
        await asyncio.to_thread(state.checkpoints.cosign, signed, Verifier("witness.example", WITNESS.public, COSIGNATURE), line)
        await asyncio.to_thread(packing.pack, state.ledger, state.checkpoints, story.AWARD, signed, OURS)
        head = state.ledger.head()
        await state.views.wait(head.size, 30)
        return head.size, head.root


_TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('log', 'views')"
_TRIGGERS = "SELECT tgrelid::regclass::text || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"


def _register_many(ledger: Ledger) -> None:
    """So that there is a subtree of 256 entries."""
    by = Actor(PersonId("01J2Z4-FUND-ADMINISTRATOR"), "XX-LCL-OPERATOR")
    for number in range(WIDTH - ledger.head().size):
        ledger.record_now(partial(party.register, party=f"GB-COH-X-{number:03d}", name=f"Provider {number}"), Request(by))


class Tampering:
    """A copy of the whole database, to do something to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = Log(store.engine(settings.log_url))
        self.engine: Engine = self.log.engine
        self.views = store.engine(settings.log_url, "views")
        self.sql = Statements(self.engine.dialect.name)

    def close(self) -> None:
        self.log.close()
        self.views.dispose()

    @contextmanager
    def free(self) -> Iterator[Connection]:
        """A connection on which everything can be changed."""
        with self.engine.connect() as connection:
            if self.sql.sqlite:
                kept = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
                for name, _ in kept:
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
                yield connection
                for _, made in kept:
                    connection.exec_driver_sql(made)
                return
            for table in TABLES:
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield connection
            for table in TABLES:
                connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """In PostgreSQL: whatever is done to a table or a trigger meanwhile is undone in the end."""
        with self.engine.connect() as connection:
            tables = connection.exec_driver_sql(_TABLES).scalars().all()
            triggers = connection.exec_driver_sql(_TRIGGERS).fetchall()
            for kept, table in enumerate(tables):
                connection.exec_driver_sql(f"CREATE TEMPORARY TABLE kept_{kept} AS TABLE {table}")
            yield
            connection.exec_driver_sql("SET session_replication_role = replica")
            connection.exec_driver_sql("BEGIN")
            for kept, table in enumerate(tables):
                connection.exec_driver_sql(f"DELETE FROM {table}")
                connection.exec_driver_sql(f"INSERT INTO {table} TABLE kept_{kept}")
            left = connection.exec_driver_sql(_TRIGGERS).scalars().all()
            for name, made in triggers:
                if name not in left:
                    connection.exec_driver_sql(made)
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("DISCARD ALL")

    def do(self, *statements: str) -> None:
        with self.free() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def say(self, connection: Connection, sql: str, *parameters: Any) -> Any:
        return connection.exec_driver_sql(self.sql(sql), parameters)

    def rows(self) -> list[Row]:
        return self.log.reads.rows(limit=100_000)

    def found(self, **evidence: Any) -> Findings:
        """What verifying finds, read models and all."""
        known = Evidence(seals=Seals(KEY), **evidence)
        return look_over(self.settings, self.log, known, lambda _: lambda _done, _size: None).findings


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """Those that were made so far."""
    return {}


@pytest.fixture(params=["sqlite", "postgres"])
def whole(request: pytest.FixtureRequest, wholes: dict[str, Whole], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    kind = str(request.param)
    if kind not in wholes:
        folder = tmp_path_factory.mktemp(kind)
        url = None
        if kind == "postgres":
            server: postgres.Server = request.getfixturevalue("postgres_server")
            url = server.url(server.create())
        size, root = asyncio.run(_play(folder, url))
        wholes[kind] = Whole(_settings(folder, url), size, root, *_later(size))
    return wholes[kind]


def _settings(folder: Path, url: str | None) -> Settings:
    more: dict[str, Any] = {} if url is None else {"database_url": url}
    return Settings(data_dir=folder, vault_key=SecretStr(base64.b64encode(KEY).decode()), **more)


def _later(size: int) -> tuple[SealedHead, str]:
    root = b"\x42" * 32
    text = Checkpoint("kirklees/0123456789abcdef", size + 5, root).text
    return SealedHead(size=size + 5, root=root.hex()), notes.written(text, [OURS.sign("kirklees/0123456789abcdef", text)])


@contextmanager
def copied(whole: Whole, folder: Path) -> Iterator[Tampering]:
    """A copy of SQLite's files; PostgreSQL would take most of a second for one, and undoes in less than a tenth."""
    if whole.settings.embedded:
        shutil.copytree(whole.settings.data_dir, folder / "copy")
        with closing(Tampering(_settings(folder / "copy", None))) as copy:
            yield copy
        return
    with closing(Tampering(whole.settings)) as there, there.undone():
        yield there


@pytest.fixture
def tampering(whole: Whole, tmp_path: Path) -> Iterator[Tampering]:
    with copied(whole, tmp_path) as copy:
        yield copy


# The deeds ------------------------------------------------------------------------------------------------------------

_MIDDLE = 60
_MOVE = "UPDATE entries SET position = position + 1000000 WHERE position >= {at}"
_BACK = "UPDATE entries SET position = position - 1000000 + {by} WHERE position >= 1000000"


def _text(tampering: Tampering, connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT max(commitment) FROM texts WHERE sealed IS NOT NULL").scalar())


def delete_an_entry(tampering: Tampering) -> None:
    tampering.do(f"DELETE FROM entries WHERE position = {_MIDDLE}")


def delete_an_entry_and_close_the_gap(tampering: Tampering) -> None:
    tampering.do(f"DELETE FROM entries WHERE position = {_MIDDLE}", _MOVE.format(at=_MIDDLE), _BACK.format(by=-1))


def delete_the_last_entry(tampering: Tampering) -> None:
    tampering.do("DELETE FROM entries WHERE position = (SELECT max(position) FROM entries)")


def swap_two_entries(tampering: Tampering) -> None:
    one, two = _MIDDLE, _MIDDLE + 1
    tampering.do(
        f"UPDATE entries SET position = 0 WHERE position = {one}",
        f"UPDATE entries SET position = {one} WHERE position = {two}",
        f"UPDATE entries SET position = {two} WHERE position = 0",
    )


def insert_an_entry(tampering: Tampering) -> None:
    tampering.do(
        _MOVE.format(at=_MIDDLE),
        f"INSERT INTO entries SELECT {_MIDDLE}, stream, version + 1000, type, recorded_at, award, award_sequence + 1000, header,"
        f" state, leaf FROM entries WHERE position = {_MIDDLE - 1}",
        _BACK.format(by=1),
    )


def append_an_entry(tampering: Tampering) -> None:
    tampering.do(
        "INSERT INTO entries SELECT position + 1, stream, version + 1, type, recorded_at, award, award_sequence + 1, header,"
        " state, leaf FROM entries WHERE position = (SELECT max(position) FROM entries)"
    )


def take_the_tail_of_an_award_away(tampering: Tampering) -> None:
    tampering.do(
        f"DELETE FROM entries WHERE award = '{story.AWARD}' AND award_sequence > (SELECT max(award_sequence) - 7 FROM entries"
        f" WHERE award = '{story.AWARD}')"
    )


def say_that_the_tail_of_an_award_is_another_s(tampering: Tampering) -> None:
    """In the columns by which entries are found; the headers, which are sealed, stay."""
    tampering.do(
        f"UPDATE entries SET award = 'INDIGO-POJ-9999' WHERE award = '{story.AWARD}' AND award_sequence > "
        f"(SELECT max(award_sequence) - 7 FROM entries WHERE award = '{story.AWARD}')"
    )


def take_a_stream_away(tampering: Tampering) -> None:
    tampering.do("DELETE FROM entries WHERE stream LIKE '%/clawback/CB-2'")


def close_the_gaps_of_a_stream(tampering: Tampering) -> None:
    """Takes it away, and numbers the award's other entries anew, columns and headers, each naming the one before it."""
    kept = [row for row in tampering.rows() if row.award == story.AWARD and not row.stream.endswith("/clawback/CB-2")]
    take_a_stream_away(tampering)
    number, tip = 0, NO_LEAF
    with tampering.free() as connection:
        for row in kept:
            number += 1
            drafted = Draft(row.stream, row.version, row.type, row.state, row.award)
            made = place(drafted, row.position, row.recorded_at, number, tip)
            sql = "UPDATE entries SET award_sequence = ?, header = ?, leaf = ? WHERE position = ?"
            tampering.say(connection, sql, number, made.header, made.leaf, row.position)
            tip = made.leaf


def renumber_an_entry(tampering: Tampering) -> None:
    tampering.do("UPDATE entries SET position = position + 7 WHERE position = (SELECT max(position) FROM entries)")


def rewrite_a_head(tampering: Tampering) -> None:
    with tampering.free() as connection:
        size = connection.exec_driver_sql(f"SELECT min(size) FROM heads WHERE size > {_MIDDLE}").scalar_one()
        root = merkle.root_of([b"\x01" * 32] * size.bit_count())
        frontier = b"\x01" * 32 * size.bit_count()
        tampering.say(connection, "UPDATE heads SET root = ?, frontier = ? WHERE size = ?", root, frontier, size)


def change_a_frontier(tampering: Tampering) -> None:
    with tampering.free() as connection:
        size = connection.exec_driver_sql(f"SELECT min(size) FROM heads WHERE size > {_MIDDLE}").scalar_one()
        tampering.say(connection, "UPDATE heads SET frontier = ? WHERE size = ?", b"\x01" * 32, size)


def delete_a_head(tampering: Tampering) -> None:
    tampering.do(f"DELETE FROM heads WHERE size = (SELECT min(size) FROM heads WHERE size > {_MIDDLE})")


def invent_a_receipt(tampering: Tampering) -> None:
    tampering.do("INSERT INTO receipts VALUES ('nobody', 'invented', 'f', 999999, 999999)")


def give_a_receipt_to_somebody_else(tampering: Tampering) -> None:
    tampering.do("UPDATE receipts SET person = 'somebody' WHERE first = (SELECT max(first) FROM receipts WHERE last >= first)")


def change_the_salt_of_a_text(tampering: Tampering) -> None:
    with tampering.free() as connection:
        salt, name = b"\x00" * 16, _text(tampering, connection)
        tampering.say(connection, "UPDATE texts SET salt = ? WHERE commitment = ?", salt, name)


def put_another_text_in_its_place(tampering: Tampering) -> None:
    """Sealed with the vault's own key, and for that place, by somebody who has it."""
    seals = Seals(KEY)
    with tampering.free() as connection:
        name = _text(tampering, connection)
        sealed = _seal(seals._texts, "Two months' rent was paid in cash.", name)
        tampering.say(connection, "UPDATE texts SET sealed = ? WHERE commitment = ?", sealed, name)


def change_a_sealed_text(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "UPDATE texts SET sealed = ? WHERE commitment = ?", b"\x07" * 60, _text(tampering, connection))


def say_that_a_text_is_another_award_s(tampering: Tampering) -> None:
    """It would not be erased with the other texts of its award."""
    of = "(SELECT min(commitment) FROM texts WHERE award IS NOT NULL)"
    tampering.do(f"UPDATE texts SET award = 'INDIGO-POJ-9999' WHERE commitment = {of}")


def say_that_a_text_is_no_award_s(tampering: Tampering) -> None:
    of = "(SELECT max(commitment) FROM texts WHERE award IS NOT NULL)"
    tampering.do(f"UPDATE texts SET award = NULL WHERE commitment = {of}")


def take_a_text_away(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "DELETE FROM texts WHERE commitment = ?", _text(tampering, connection))


def erase_a_text_without_a_word(tampering: Tampering) -> None:
    with tampering.free() as connection:
        name = _text(tampering, connection)
        tampering.say(connection, "UPDATE texts SET sealed = NULL, salt = ? WHERE commitment = ?", b"", name)


def keep_what_a_webhook_let_go_of(tampering: Tampering) -> None:
    with tampering.free() as connection:
        state = tampering.say(connection, "SELECT state FROM entries WHERE type = 'webhook.removed'").scalar()
        sealed = Seals(KEY).conceal("whsec_", None).sealed
        for name in json.loads(state)["event"]["erased"][:1]:
            tampering.say(connection, "UPDATE texts SET sealed = ? WHERE commitment = ?", sealed, name)


def add_a_text_without_an_entry(tampering: Tampering) -> None:
    with tampering.free() as connection:
        made = Seals(KEY).conceal("Nobody ever said this.", None)
        tampering.say(connection, "INSERT INTO texts VALUES (?, ?, ?, ?)", *made)


def add_a_participant_without_an_entry(tampering: Tampering) -> None:
    seals = Seals(KEY)
    met = seals.meet(story.AWARD, "KIR-9999", seals.mark(story.AWARD, "KIR-9999"))
    with tampering.free() as connection:
        tampering.say(connection, "INSERT INTO participants VALUES (?, ?, ?, ?)", *met)


def change_the_mark_of_a_participant(tampering: Tampering) -> None:
    mark = Seals(KEY).mark(story.AWARD, "KIR-9999")
    with tampering.free() as connection:
        token = connection.exec_driver_sql("SELECT max(token) FROM participants WHERE sealed IS NOT NULL").scalar()
        tampering.say(connection, "UPDATE participants SET mark = ? WHERE token = ?", mark, token)


def take_a_participant_away(tampering: Tampering) -> None:
    """One of whom something is recorded."""
    recognised = [row.stream.rpartition("/")[2] for row in tampering.rows() if "/participant/" in row.stream]
    with tampering.free() as connection:
        there = connection.exec_driver_sql("SELECT token FROM participants WHERE sealed IS NOT NULL").scalars().all()
        token = next(each for each in recognised if each in there)
        tampering.say(connection, "DELETE FROM participants WHERE token = ?", token)


def forge_a_checkpoint(tampering: Tampering) -> None:
    """Another root, signed with a key of the forger's."""
    with tampering.free() as connection:
        size, origin = connection.exec_driver_sql("SELECT size, origin FROM checkpoints ORDER BY size DESC LIMIT 1").one()
        text = Checkpoint(origin, size, b"\x66" * 32).text
        note = notes.written(text, [FORGERS.sign(origin, text)])
        sql = "UPDATE checkpoints SET root = ?, key = ?, note = ? WHERE size = ?"
        tampering.say(connection, sql, b"\x66" * 32, FORGERS.public, note, size)


def sign_another_root(tampering: Tampering) -> None:
    """With the log's own key: somebody has it."""
    with tampering.free() as connection:
        size, origin = connection.exec_driver_sql("SELECT size, origin FROM checkpoints ORDER BY size DESC LIMIT 1").one()
        text = Checkpoint(origin, size, b"\x66" * 32).text
        note = notes.written(text, [OURS.sign(origin, text)])
        tampering.say(connection, "UPDATE checkpoints SET root = ?, note = ? WHERE size = ?", b"\x66" * 32, note, size)


def sign_less_than_nothing(tampering: Tampering) -> None:
    tampering.do("INSERT INTO checkpoints SELECT -3, origin, root, key, note, made_at FROM checkpoints WHERE size > 0 LIMIT 1")


def change_a_note(tampering: Tampering) -> None:
    tampering.do("UPDATE checkpoints SET note = replace(note, '\n\n', '\nmore\n\n')")


def change_the_root_beside_a_note(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "UPDATE checkpoints SET root = ?", b"\x66" * 32)


def sign_with_the_key_of_before(tampering: Tampering) -> None:
    with tampering.free() as connection:
        size, origin, root = connection.exec_driver_sql(
            "SELECT size, origin, root FROM checkpoints ORDER BY size DESC LIMIT 1"
        ).one()
        text = Checkpoint(origin, size, bytes(root)).text
        note = notes.written(text, [OURS_BEFORE.sign(origin, text)])
        tampering.say(connection, "UPDATE checkpoints SET key = ?, note = ? WHERE size = ?", OURS_BEFORE.public, note, size)


def change_a_cosignature(tampering: Tampering) -> None:
    """The witness's line of another checkpoint."""
    with tampering.free() as connection:
        line = WITNESS.cosign("witness.example", Checkpoint("kirklees/0123456789abcdef", 5, b"\x66" * 32).text, 1_700_000_000)
        tampering.say(connection, "UPDATE cosignatures SET line = ?", str(line))


def invent_a_witness(tampering: Tampering) -> None:
    """With a word that is no key."""
    tampering.do("UPDATE cosignatures SET witness = 'a-commissioner+00000000+nothing'")


def cosign_with_the_key_of_the_log(tampering: Tampering) -> None:
    """As a note is signed, which is no witness's word."""
    with tampering.free() as connection:
        size, note, origin = connection.exec_driver_sql(
            "SELECT size, note, origin FROM checkpoints ORDER BY size DESC LIMIT 1"
        ).one()
        text, _ = notes.parsed(note)
        witness, line = Verifier(origin, OURS.public).vkey, str(OURS.sign(origin, text))
        tampering.say(connection, "UPDATE cosignatures SET witness = ?, line = ? WHERE size = ?", witness, line, size)


def change_what_was_signed_for_a_pack(tampering: Tampering) -> None:
    tampering.do("UPDATE pack_signatures SET note = replace(note, 'award-head/v1\n', 'award-head/v1\nmore\n')")


def forge_what_was_signed_for_a_pack(tampering: Tampering) -> None:
    with tampering.free() as connection:
        for subject, note in connection.exec_driver_sql("SELECT subject, note FROM pack_signatures").fetchall():
            text, _ = notes.parsed(note)
            forged = notes.written(text, [FORGERS.sign(text.split("\n")[1], text)])
            sql = "UPDATE pack_signatures SET key = ?, note = ? WHERE subject = ?"
            tampering.say(connection, sql, FORGERS.public, forged, subject)


def exchange_what_was_signed_for_packs(tampering: Tampering) -> None:
    tampering.do("UPDATE pack_signatures SET subject = '0' || subject")


def change_the_root_of_a_subtree(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "UPDATE subtrees SET root = ? WHERE height = 8 AND number = 0", b"\x66" * 32)


def put_a_subtree_before_all_others(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "INSERT INTO subtrees VALUES (?, ?, ?)", 0, -5, b"\x66" * 32)


def move_the_end_of_a_header_into_the_state(tampering: Tampering) -> None:
    """So that what is hashed is what it was."""
    row = tampering.rows()[_MIDDLE - 1]
    with tampering.free() as connection:
        sql = "UPDATE entries SET header = ?, state = ? WHERE position = ?"
        tampering.say(connection, sql, row.header[:-1], row.header[-1:] + row.state, row.position)


def add_a_text_without_a_name(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "INSERT INTO texts VALUES (?, ?, ?, ?)", "", None, b"", b"\x07" * 60)


def sign_no_text_of_a_pack(tampering: Tampering) -> None:
    tampering.do("INSERT INTO pack_signatures SELECT '', key, note FROM pack_signatures LIMIT 1")


def forget_the_key_of_the_vault(tampering: Tampering) -> None:
    tampering.do("DELETE FROM vault_key")


def invent_a_subtree(tampering: Tampering) -> None:
    with tampering.free() as connection:
        tampering.say(connection, "INSERT INTO subtrees VALUES (?, ?, ?)", 16, 0, b"\x66" * 32)


def spoil_a_fingerprint(tampering: Tampering) -> None:
    tampering.do("UPDATE receipts SET fingerprint = 'any request' WHERE first = (SELECT max(first) FROM receipts)")


def change_a_sum_of_the_accounts(tampering: Tampering) -> None:
    """In the read model that keeps the postings' sums; the postings themselves stay."""
    _in_views(tampering, "accounts", "UPDATE {table} SET amount = amount + 1 WHERE stage = (SELECT min(stage) FROM {table})")


def take_a_sum_of_the_accounts_away(tampering: Tampering) -> None:
    _in_views(tampering, "accounts", "DELETE FROM {table} WHERE stage = (SELECT max(stage) FROM {table})")


def change_a_row_of_the_payments(tampering: Tampering) -> None:
    _in_views(tampering, "payments", "UPDATE {table} SET amount = amount + 1 WHERE stream = (SELECT min(stream) FROM {table})")


def take_a_row_of_the_claims_away(tampering: Tampering) -> None:
    _in_views(tampering, "claims", "DELETE FROM {table} WHERE stream = (SELECT min(stream) FROM {table})")


def change_a_posting(tampering: Tampering) -> None:
    _in_views(
        tampering, "postings", "UPDATE {table} SET amount = amount + 1 WHERE position = (SELECT min(position) FROM {table})"
    )


def add_a_key_without_an_entry(tampering: Tampering) -> None:
    """In the read model of keys, so that it is listed."""
    _in_views(
        tampering, "keys", "UPDATE {table} SET stream = 'key/0123456789abcdef' WHERE stream = (SELECT min(stream) FROM {table})"
    )


def _in_views(tampering: Tampering, model: str, statement: str) -> None:
    with tampering.views.connect() as connection:
        asked = tampering.sql("SELECT version, generation FROM models WHERE name = ?")
        version, generation = connection.exec_driver_sql(asked, (model,)).one()
        connection.exec_driver_sql(statement.format(table=f"{model}_v{version}_g{generation}"))


def drop_a_trigger(tampering: Tampering) -> None:
    with tampering.engine.connect() as connection:
        on = "" if tampering.sql.sqlite else " ON entries"
        connection.exec_driver_sql(f"DROP TRIGGER entries_never_change{on}")


DEEDS: list[tuple[Callable[[Tampering], None], str]] = [
    (delete_an_entry, rf"entry {_MIDDLE}: it is missing"),
    (delete_an_entry_and_close_the_gap, rf"entry {_MIDDLE}: its position is {_MIDDLE}, but {_MIDDLE + 1} in what was sealed"),
    (delete_the_last_entry, r"head \d+: it seals \d+ entries, but the log ends at entry"),
    (swap_two_entries, rf"entry {_MIDDLE}: its position is {_MIDDLE}, but {_MIDDLE + 1} in what was sealed"),
    (insert_an_entry, rf"entry {_MIDDLE}: its position is {_MIDDLE}, but {_MIDDLE - 1} in what was sealed"),
    (append_an_entry, r"entry \d+: no head seals it"),
    (take_the_tail_of_an_award_away, r"entry \d+: it is missing"),
    (say_that_the_tail_of_an_award_is_another_s, r"entry \d+: its award is INDIGO-POJ-9999"),
    (take_a_stream_away, r"entry \d+: it is missing"),
    (close_the_gaps_of_a_stream, r"entry \d+: it is missing"),
    (renumber_an_entry, r"entry \d+: it is missing, and so is everything up to"),
    (rewrite_a_head, r"head \d+: the \d+ entries up to it lead to another root than it was sealed with"),
    (change_a_frontier, r"head \d+: its frontier is not that of its entries"),
    (delete_a_head, r"head \d+: it is missing: entry \d+ is of a later commit"),
    (invent_a_receipt, r"receipt 999999: of invented by nobody: it is of entries 999999 to 999999, which there are not"),
    (give_a_receipt_to_somebody_else, r"receipt \d+: of \S+ by somebody: somebody else made entry"),
    (change_the_salt_of_a_text, r"vault: text \w+ with its salt is not what its entry committed to"),
    (put_another_text_in_its_place, r"vault: text \w+ with its salt is not what its entry committed to"),
    (change_a_sealed_text, r"vault: text \w+ cannot be opened"),
    (say_that_a_text_is_another_award_s, r"vault \d+: text \w+ of entry \d+ is kept as one of INDIGO-POJ-9999, not of \S+"),
    (say_that_a_text_is_no_award_s, r"vault \d+: text \w+ of entry \d+ is kept as one of no award, not of \S+"),
    (take_a_text_away, r"vault \d+: entry \d+ commits to text \w+, which is not in the vault"),
    (erase_a_text_without_a_word, r"vault: text \w+ is gone, and no entry says that it was erased"),
    (keep_what_a_webhook_let_go_of, r"vault: text \w+ is there, though an entry says that it was erased"),
    (add_a_text_without_an_entry, r"vault: text \w+ is committed to by no entry"),
    (add_a_participant_without_an_entry, r"vault: participant \w+ of \S+ is named by no entry"),
    (change_the_mark_of_a_participant, r"vault: participant \w+ of \S+ has the mark of another reference"),
    (take_a_participant_away, r"vault \d+: entry \d+ is of participant \w+, whom the vault does not know"),
    (forge_a_checkpoint, r"checkpoint \d+: it is signed by a key that is not the log's"),
    (sign_another_root, r"log \d+: a checkpoint was signed of \d+ entries under another root"),
    (sign_less_than_nothing, r"checkpoint -3: its note does not say what stands beside it"),
    (change_a_note, r"checkpoint \d+: it is not as it was signed"),
    (change_the_root_beside_a_note, r"checkpoint \d+: its note does not say what stands beside it"),
    (sign_with_the_key_of_before, r"checkpoint \d+: it is signed by a key that is not the log's"),
    (change_a_cosignature, r"cosignature \d+: the line of witness.example\S+ is none of its over this checkpoint"),
    (invent_a_witness, r"cosignature \d+: the line of a-commissioner\+00000000\+nothing is none of its"),
    (cosign_with_the_key_of_the_log, r"cosignature \d+: the line of \S+ is none of its over this checkpoint"),
    (change_what_was_signed_for_a_pack, r"pack signature: \w{16}: it is not as it was signed"),
    (forge_what_was_signed_for_a_pack, r"pack signature: \w{16}: it is signed by a key that was never the log's"),
    (exchange_what_was_signed_for_packs, r"pack signature: \w{16}: it stands in the place of another text"),
    (change_the_root_of_a_subtree, r"subtree 0: of height 8: its root is not that of what is below it"),
    (put_a_subtree_before_all_others, r"subtree -5: of height 0: the log has not all of what is below it"),
    (move_the_end_of_a_header_into_the_state, rf"entry {_MIDDLE}: its header is no header"),
    (add_a_text_without_a_name, r"vault: there is a text or a participant without a name"),
    (sign_no_text_of_a_pack, r"pack signature: it stands in the place of no text"),
    (forget_the_key_of_the_vault, r"vault: it says no more with which key it was made"),
    (invent_a_subtree, r"subtree 0: of height 16: the log has not all of what is below it"),
    (spoil_a_fingerprint, r"receipt \d+: of \S+ by \S+: its fingerprint is none"),
    (change_a_sum_of_the_accounts, r"read model accounts: .* is .*, must be"),
    (take_a_sum_of_the_accounts_away, r"read model accounts: .*: the row is missing"),
    (change_a_row_of_the_payments, r"read model payments: \S+: amount is \d+, must be \d+"),
    (take_a_row_of_the_claims_away, r"read model claims: \S+: the row is missing"),
    (change_a_posting, r"read model postings: .* is .*, must be"),
    (add_a_key_without_an_entry, r"read model keys: key/0123456789abcdef: the log knows no such row"),
    (drop_a_trigger, r"database: the trigger entries_never_change is missing"),
]
"""What is done, and what must be named."""


class TestVerify:
    def test_finds_nothing_where_nothing_was_done(self, tampering: Tampering, whole: Whole) -> None:
        found = tampering.found(current=OURS.public)
        assert (found.faults, found.left_out) == ([], [])
        assert (found.size, found.root) == (whole.size, whole.root)
        assert found.counts["entries"] == whole.size
        assert {
            "heads",
            "receipts",
            "texts",
            "participants",
            "checkpoints",
            "cosignatures",
            "subtrees",
            "pack signatures",
        } < found.counts.keys()

    @pytest.mark.parametrize(("deed", "named"), DEEDS, ids=[deed.__name__ for deed, _ in DEEDS])
    def test_names(self, tampering: Tampering, deed: Callable[[Tampering], None], named: str) -> None:
        deed(tampering)
        told = [str(fault) for fault in tampering.found().faults]
        assert [fault for fault in told if re.search(named, fault)], told

    @pytest.mark.parametrize(
        ("table", "column", "kind"),
        [
            ("entries", "leaf", "text"),
            ("entries", "state", "text"),
            ("entries", "version", "text"),
            ("entries", "award", "blob"),
            ("heads", "frontier", "text"),
            ("heads", "root", "text"),
            ("receipts", "first", "text"),
            ("receipts", "fingerprint", "blob"),
            ("texts", "sealed", "integer"),
            ("checkpoints", "key", "text"),
            ("checkpoints", "note", "blob"),
            ("checkpoints", "origin", "blob"),
            ("subtrees", "root", "text"),
            ("pack_signatures", "note", "blob"),
        ],
    )
    def test_names_what_sqlite_keeps_in_a_column_of_another_kind(
        self, tampering: Tampering, table: str, column: str, kind: str
    ) -> None:
        if not tampering.sql.sqlite:
            pytest.skip("PostgreSQL keeps nothing of another kind")
        made = {"text": "'x' || hex({0})", "blob": "CAST({0} AS BLOB)", "integer": "7"}[kind].format(column)
        tampering.do(
            f"UPDATE {table} SET {column} = {made} WHERE rowid = (SELECT max(rowid) FROM {table} WHERE {column} IS NOT NULL)"
        )
        found = tampering.found()
        assert [fault for fault in map(str, found.faults) if re.search(rf"table {table}: .*, {column} is {kind}, must be", fault)]
        assert found.left_out == ["whatever else there is, as not all of what is stored is of its column's kind"]

    def test_looks_past_what_sqlite_keeps_for_itself(self, tampering: Tampering) -> None:
        if not tampering.sql.sqlite:
            pytest.skip("PostgreSQL keeps what is its own elsewhere")
        tampering.do("ANALYZE", "CREATE TABLE notes_of_the_operator (anything)")
        found = tampering.found()
        assert (found.faults, found.left_out) == ([], [])

    def test_names_a_key_that_is_not_the_one_at_hand(self, tampering: Tampering) -> None:
        assert "signed by another key" in str(tampering.found(current=FORGERS.public).faults[0])

    def test_finds_an_old_backup_by_a_later_published_head(self, tampering: Tampering, whole: Whole) -> None:
        (fault,) = tampering.found(published=whole.later).faults
        assert re.search(r"a head was published of \d+ entries, but the log ends at \d+: 5 are lost", str(fault))

    def test_finds_an_old_backup_by_a_later_checkpoint(self, tampering: Tampering, whole: Whole) -> None:
        (fault,) = tampering.found(notes=[whole.later_note]).faults
        assert "5 are lost" in str(fault)

    def test_refuses_a_checkpoint_of_somebody_else(self, tampering: Tampering, whole: Whole) -> None:
        text, _ = notes.parsed(whole.later_note)
        forged = notes.written(text, [FORGERS.sign("kirklees/0123456789abcdef", text)])
        (fault,) = tampering.found(notes=[forged]).faults
        assert fault.where == "given checkpoint"


class TestPacks:
    """Where entries were taken away, swapped or put in, no pack is made that could be checked: it is said why."""

    @pytest.mark.parametrize(
        "deed",
        [
            delete_an_entry,
            delete_an_entry_and_close_the_gap,
            swap_two_entries,
            insert_an_entry,
            append_an_entry,
            take_the_tail_of_an_award_away,
            take_a_stream_away,
            close_the_gaps_of_a_stream,
        ],
    )
    def test_are_made_of_no_other_log_than_the_one_that_was_sealed(
        self, tampering: Tampering, deed: Callable[[Tampering], None]
    ) -> None:
        deed(tampering)
        with pytest.raises(Damaged):
            _packed(tampering)

    @pytest.mark.parametrize(
        "deed", [take_a_stream_away, take_the_tail_of_an_award_away, say_that_the_tail_of_an_award_is_another_s]
    )
    def test_are_made_of_no_other_log_by_a_service_that_remembers_its_tree(
        self, tampering: Tampering, deed: Callable[[Tampering], None]
    ) -> None:
        with Ledger.open(tampering.settings.log_url, vault_key=KEY) as ledger:
            checkpoints = Checkpoints(ledger)
            _pack(ledger, checkpoints)
            deed(tampering)
            with pytest.raises(Damaged):
                _pack(ledger, checkpoints)


def _packed(tampering: Tampering) -> None:
    with Ledger.open(tampering.settings.log_url, vault_key=KEY) as ledger:
        _pack(ledger, Checkpoints(ledger))


def _pack(ledger: Ledger, checkpoints: Checkpoints) -> None:
    signed = checkpoints.last()
    assert signed is not None
    assert packing.pack(ledger, checkpoints, story.AWARD, signed, OURS)


class TestATailThatIsSealedAnew:
    """From the middle on to the end history is another one, and every hash is made anew."""

    @pytest.fixture
    def resealed(self, tampering: Tampering) -> Tampering:
        rows = tampering.rows()
        changed = rows[_MIDDLE - 1]
        salt = json.loads(changed.state)["salt"].encode()
        rows[_MIDDLE - 1] = changed._replace(state=changed.state.replace(salt, salt[::-1]))
        seal_anew(tampering, rows)
        return tampering

    def test_is_found_by_a_checkpoint(self, resealed: Tampering) -> None:
        faults = inspect(resealed.log, BY_NAME, Evidence(), lambda _done, _size: None).faults
        assert faults
        assert {fault.what.partition(" under ")[2] for fault in faults if fault.where == "log"} == {
            "another root: up to there history was rewritten"
        }
        assert {fault.where for fault in faults} <= {
            "log",
            "checkpoint",
            "subtree",
        }  # An origin may name the leaf of the first entry.

    def test_is_found_by_a_published_head_alone(self, resealed: Tampering, whole: Whole) -> None:
        resealed.do(*FORGET)
        assert inspect(resealed.log, BY_NAME, Evidence(), lambda _done, _size: None).faults == []
        published = SealedHead(size=whole.size, root=whole.root.hex())
        (fault,) = inspect(resealed.log, BY_NAME, Evidence(published=published), lambda _done, _size: None).faults
        assert "history was rewritten" in str(fault)

    def test_is_found_by_a_checkpoint_that_somebody_kept(self, resealed: Tampering, whole: Whole) -> None:
        resealed.do(*FORGET)
        text = Checkpoint("kirklees/0123456789abcdef", whole.size, whole.root).text
        note = notes.written(text, [OURS.sign("kirklees/0123456789abcdef", text)])
        (fault,) = inspect(resealed.log, BY_NAME, Evidence(notes=[note]), lambda _done, _size: None).faults
        assert "the checkpoint that you gave" in str(fault)


def seal_anew(tampering: Tampering, rows: list[Row]) -> None:
    """Let the log say these rows, and be whole in itself."""
    with tampering.free() as connection:
        heads = {size for (size,) in connection.exec_driver_sql("SELECT size FROM heads")}
        for row, frontier in _sealed(rows):
            sql = "UPDATE entries SET header = ?, state = ?, leaf = ? WHERE position = ?"
            tampering.say(connection, sql, row.header, row.state, row.leaf, row.position)
            if row.position in heads:
                sql = "UPDATE heads SET frontier = ?, root = ? WHERE size = ?"
                tampering.say(connection, sql, merkle.packed(frontier), merkle.root_of(frontier), row.position)


def _sealed(rows: list[Row]) -> Iterator[tuple[Row, list[bytes]]]:
    tips: dict[str, tuple[int, bytes]] = {}
    frontier: list[bytes] = []
    for row in rows:
        number, tip = tips.get(row.award, (0, NO_LEAF)) if row.award else (-1, NO_LEAF)
        drafted = Draft(row.stream, row.version, row.type, row.state, row.award)
        made = place(drafted, row.position, row.recorded_at, number + 1, tip)
        if row.award:
            tips[row.award] = number + 1, made.leaf
        merkle.grow(frontier, row.position - 1, made.leaf)
        yield made, frontier


class TestAPenny:
    """Whoever can write the log anew, hashes and all, changes an amount: it is not what is worked out of the rest."""

    @pytest.fixture
    def resealed(self, tampering: Tampering) -> Tampering:
        """A payment of £95.00 that fell due is a penny more, and nothing else knows of it."""
        rows = tampering.rows()
        number = next(number for number, row in enumerate(rows) if row.type == "payment.fell-due")
        _, path, changed = next(_with_a_penny_more(rows[number]))
        assert path == ("amount",)
        rows[number] = rows[number]._replace(state=changed)
        seal_anew(tampering, rows)
        tampering.do(*FORGET)
        return tampering

    def test_is_named_though_the_log_is_whole_in_itself(self, resealed: Tampering) -> None:
        assert inspect(resealed.log, BY_NAME, Evidence(), lambda _done, _size: None).faults == []
        first, *_ = worked_out_again(resealed).differences
        assert (first.type, first.field) == ("payment.fell-due", "amount")
        assert str(first).startswith(f"{story.AWARD}, entry {first.position}, payment.fell-due, amount: recorded ")

    def test_of_any_amount_is_named(self, tampering: Tampering) -> None:
        """Each field of each type of event once; what nothing is worked out of, and nobody worked out, cannot be."""
        assert worked_out_again(tampering).differences == []
        rows = tampering.rows()
        named: dict[tuple[str, str], bool] = {}
        with tampering.free() as connection:
            for row in rows:
                for field, _, changed in _with_a_penny_more(row):
                    if field in named or (not tampering.sql.sqlite and len(named) % 6):
                        named.setdefault(field, True)
                        continue
                    tampering.say(connection, "UPDATE entries SET state = ? WHERE position = ?", changed, row.position)
                    connection.commit()
                    differences = worked_out_again(tampering).differences
                    stated = BY_NAME[row.type] in STATED
                    named[field] = any(
                        each.award == row.award and (stated or each.position == row.position) for each in differences
                    )
                    tampering.say(connection, "UPDATE entries SET state = ? WHERE position = ?", row.state, row.position)
                    connection.commit()
        # The first other payment was withdrawn: nobody ever worked anything out of its sum.
        assert {field for field, is_named in named.items() if not is_named} <= {("other-payment.proposed", "amount")}
        assert {kind for kind, _ in named} == WITH_AMOUNTS


WITH_AMOUNTS = {name for name, kind in BY_NAME.items() if json.dumps(Money.pattern) in json.dumps(kind.model_json_schema())}


def worked_out_again(tampering: Tampering) -> Rechecked:
    return recheck(tampering.log.reads, BY_NAME, balance=sums, size=tampering.log.head().size, seals=Seals(KEY))


_AN_AMOUNT = re.compile(r"-?[0-9]+\.[0-9]{2}")


def _with_a_penny_more(row: Row) -> Iterator[tuple[tuple[str, str], tuple[str | int, ...], bytes]]:
    """The entry with each of its amounts, one by one, a penny more: the type and field, the path, and the state."""
    said = json.loads(row.state)
    if row.type not in BY_NAME:
        return
    for path, amount in _amounts(said["event"]):
        changed = json.loads(row.state)
        inner = changed["event"]
        for step in path[:-1]:
            inner = inner[step]
        pence = int(amount.replace(".", "")) + 1
        inner[path[-1]] = f"{'-' if pence < 0 else ''}{abs(pence) // 100}.{abs(pence) % 100:02}"
        field = ".".join(step for step in path if isinstance(step, str) and not step[0].isdigit() and "-" not in step)
        yield (row.type, field), path, orjson.dumps(changed, option=orjson.OPT_SORT_KEYS)


def _amounts(said: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for name, each in inner:
        yield from _amounts(each, (*path, name))
    if isinstance(said, str) and _AN_AMOUNT.fullmatch(said):
        yield path, said


class TestAnyByte:
    """Of any entry, in any column."""

    @pytest.mark.parametrize("column", COLUMNS.split(", "))
    def test_is_found(self, tampering: Tampering, whole: Whole, column: str) -> None:
        @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
        @given(position=st.integers(1, whole.size), place=st.integers(0, 100_000), flip=st.integers(1, 127))
        def try_it(position: int, place: int, flip: int) -> None:
            with tampering.free() as connection:
                was = tampering.say(connection, f"SELECT {column} FROM entries WHERE position = ?", position).scalar()
                now = _changed(column, was, place, flip)
                sql = f"UPDATE entries SET {column} = ? WHERE position = ?"
                tampering.say(connection, sql, now, position)
                try:
                    faults = inspect(tampering.log, BY_NAME, Evidence(), lambda _done, _size: None).faults
                    quick = inspect_hashes(tampering.log, lambda _done, _size: None).faults
                finally:
                    tampering.say(connection, sql, was, now if column == "position" else position)
            assert [each for each in faults if each.where == "entry" and each.position == position], (was, now, faults)
            assert quick or column not in {"position", "header", "state", "leaf"}

        try_it()


class TestAfterwards:
    """Every deed was undone: what was found before was of one deed alone."""

    def test_nothing_is_found(self, tampering: Tampering) -> None:
        assert tampering.found(current=OURS.public).faults == []


def _changed(column: str, was: Any, place: int, flip: int) -> Any:
    """Another value of the same kind, with one byte or digit changed."""
    match was:
        case None:
            return "INDIGO-POJ-9999" if column == "award" else 7
        case int():
            return was + 1_000_000 + flip
        case str():
            at = place % len(was)
            return was[:at] + chr((ord(was[at]) - 33 + 1 + flip % 93) % 94 + 33) + was[at + 1 :]
        case _:
            at = place % len(was)
            return was[:at] + bytes([was[at] ^ flip]) + was[at + 1 :]
