"""The database fails: it is said so, nothing is half done, and what follows goes on without opening the ledger again."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import event, exc, make_url

from domain.aggregate import Command, Decision, Facts, Token
from domain.money import Money
from domain.refusal import Refused
from ledger import failures, log, store
from ledger.failures import OutcomeUnknown, Unavailable
from ledger.ledger import Ledger, Recorded, Request
from ledger.log import Turn
from ledger.writer import Pending, TooManyOfOne, Written
from tests import postgres
from tests.faults import be_impatient, cut_in_commit, end_others, full, locked, own_connection, read_only, until
from tests.ledger.conftest import VAULT_KEY, Opening
from tests.ledger.pots import (
    BRIDGE,
    KIRKLEES,
    POTS,
    Pot,
    PotFilled,
    PotIsClosed,
    PotOpened,
    nothing_to_balance,
    open_pot,
    open_pots,
    pot,
)
from tests.ledger.test_writer import ASKED, is_whole

KEYED: Final = Request(KIRKLEES, key="k", fingerprint="open 2021-Q3")


class TestACommitThatFails:
    """The connection is cut in the commit, and the database cannot be asked about it for a while."""

    @pytest.mark.parametrize("stored", [False, True], ids=["and is not stored", "but is stored"])
    def test_is_told_as_unknown_and_then_by_its_key(self, ledger: Ledger, stored: bool) -> None:  # noqa: FBT001 (a parameter)
        ledger.record_now(partial(open_pot, name="2021-Q2"), ASKED)
        with cut_in_commit(ledger, stored=stored), pytest.raises(OutcomeUnknown):
            ledger.record_now(open_pot, KEYED)
        told = ledger.record_now(open_pot, KEYED)
        assert told.repeated is stored
        again = ledger.record_now(open_pot, KEYED)
        assert (again.first, again.last, again.entries) == (told.first, told.last, told.entries) == (2, 2, told.entries)
        ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(1)), 2)
        assert is_whole(ledger)

    def test_is_told_to_everybody_in_it(self, ledger: Ledger) -> None:
        async def many() -> list[Recorded | BaseException]:
            asked = (ledger.record(partial(open_pot, name=f"Q{number}"), ASKED) for number in range(8))
            return await asyncio.gather(*asked, return_exceptions=True)

        with cut_in_commit(ledger, stored=True):
            answers = asyncio.run(many())
        assert OutcomeUnknown in {type(answer) for answer in answers}
        assert all(isinstance(answer, Unavailable) for answer in answers)
        ledger.record_now(open_pot, ASKED)
        assert is_whole(ledger)


class TestAServerThatStops:
    def test_is_told_and_goes_on_when_it_is_back(self, own_server: postgres.Server) -> None:
        with _opened(own_server.url(own_server.create())) as ledger:
            ledger.record_now(open_pot, KEYED)
            own_server.stop()
            for ask in _every_call(ledger):
                with pytest.raises(Unavailable) as told:
                    ask()
                assert type(told.value) is Unavailable
            own_server.start()
            assert ledger.record_now(open_pot, KEYED).repeated
            ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
            assert ledger.load(pot("2021-Q3")) == (Pot(Money(1)), 2)
            assert is_whole(ledger)


class TestConnectionsAtHand:
    def test_are_asked_again_on_another_where_they_were_lost_while_nobody_asked(self, postgres_url: str) -> None:
        with _opened(postgres_url) as ledger, own_connection(postgres_url) as connection:
            ledger.record_now(open_pot, ASKED)
            for _ in range(2):
                with ExitStack() as held:  # Several ask at once, so that several are at hand.
                    for _ in range(3):
                        held.enter_context(ledger.log.reading())
                end_others(connection)
                assert [ledger.load(pot("2021-Q3"))[1], ledger.head().size, len(list(ledger.entries()))] == [1, 1, 1]

    def test_are_not_asked_in_vain_of_a_wrong_statement(self, postgres_url: str) -> None:
        with _opened(postgres_url) as ledger:
            assert ledger.head().size == 0
            asked = list[str]()
            event.listen(ledger.log.engine, "checkout", lambda *_: asked.append("the pool"))
            with pytest.raises(psycopg.Error, match="no_such_table"):
                ledger.log.reads._rows("SELECT 1 FROM no_such_table")
            assert asked == []

    def test_are_asked_nothing_but_the_question(self, postgres_url: str) -> None:
        with _opened(postgres_url) as ledger:
            assert ledger.head().size == 0
            asked = list[str]()
            event.listen(ledger.log.engine, "checkout", lambda *_: asked.append("the pool"))
            assert ledger.head().size == 0
            assert asked == []


class TestADatabaseThatTakesNoWrites:
    def test_because_its_disk_is_full(self, ledger: Ledger, database_url: str) -> None:
        ledger.record_now(open_pot, ASKED)
        with full(ledger, database_url), pytest.raises(Unavailable, match="disk is full"):
            ledger.record_now(partial(open_pots, names=map(str, range(3_000))), KEYED)
        assert ledger.head().size == 1
        self._goes_on(ledger)

    def test_because_it_can_only_be_read(self, ledger: Ledger, database_url: str) -> None:
        ledger.record_now(open_pot, ASKED)
        with read_only(ledger, database_url):
            with pytest.raises(Unavailable, match="only be read"):
                ledger.change_now(pot("2021-Q3"), Pot.fill, KEYED)
            assert ledger.load(pot("2021-Q3"))[1] == 1
        self._goes_on(ledger)

    def test_because_somebody_else_holds_it(self, opening: Opening, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        be_impatient(monkeypatch)
        ledger = opening()
        ledger.record_now(open_pot, ASKED)
        with locked(ledger, database_url), pytest.raises(Unavailable, match="holds it locked"):
            ledger.change_now(pot("2021-Q3"), Pot.fill, KEYED)
        self._goes_on(ledger)

    def _goes_on(self, ledger: Ledger) -> None:
        ledger.change_now(pot("2021-Q3"), Pot.fill, KEYED)
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(1)), 2)
        assert is_whole(ledger)


class TestAConnectionThatIsNew:
    def test_is_looked_over_before_anything_is_written_on_it(self, postgres_url: str, postgres_server: postgres.Server) -> None:
        name = make_url(postgres_url).database
        with _opened(postgres_url) as ledger, own_connection(postgres_url) as connection:
            ledger.record_now(open_pot, ASKED)
            for value in ("off", "local"):
                connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {value}".encode())
                end_others(connection)
                with pytest.raises(store.NotDurable, match=f"synchronous_commit is {value}"):
                    ledger.change_now(pot("2021-Q3"), Pot.fill, KEYED)
                assert ledger.head().size == 1
            connection.execute(f"ALTER DATABASE {name} RESET synchronous_commit".encode())
            ledger.change_now(pot("2021-Q3"), Pot.fill, KEYED)
            assert is_whole(ledger)

    def test_has_everything_decided_on_it_alone_as_the_database_may_have_gone_back(
        self, postgres_url: str, postgres_server: postgres.Server
    ) -> None:
        """As when a standby takes over that lacks the last commit: the same version of a stream is then of another content."""
        name = str(make_url(postgres_url).database)
        seen: list[int] = []

        def fill_again(it: Pot) -> PotFilled:
            seen.append(it.amount)
            return it.fill(1)

        with _opened(postgres_url) as ledger:
            ledger.record_now(open_pot, ASKED)
            ledger.log.close()  # Its connections only: it opens others.
            before = postgres_server.create(name)
            ledger.change_now(pot("2021-Q3"), partial(Pot.fill, pence=50), ASKED)
            postgres_server.drop(name)
            with postgres_server.connect() as connection:
                connection.execute(f'ALTER DATABASE "{before}" RENAME TO "{name}"'.encode())
            for _ in range(4):
                with suppress(Unavailable):
                    ledger.change_now(pot("2021-Q3"), partial(Pot.fill, pence=7), KEYED)
            ledger.change_now(pot("2021-Q3"), fill_again, ASKED)
            assert seen[-1] == 7
            with _opened(postgres_url) as other:
                assert ledger.load(pot("2021-Q3")) == other.load(pot("2021-Q3")) == (Pot(Money(8)), 3)


class TestAnInterruption:
    def test_between_a_turn_and_its_commit_leaves_nothing_behind(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger.record_now(open_pot, ASKED)
        with monkeypatch.context() as patch:
            patch.setattr(ledger.log, "_commit", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(1)), 2)
        assert is_whole(ledger)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class TestAProcessThatHangsInItsTurn:
    def test_loses_it_when_another_has_waited_and_has_written_nothing(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log, "_MOST_IDLE_S", 0.2)
        begin, wait, lock = log._POSTGRESQL_BEGIN
        monkeypatch.setattr(log, "_POSTGRESQL_BEGIN", (begin, wait.replace("30s", "300ms"), lock))
        with _opened(postgres_url) as hanging, _opened(postgres_url) as other:
            hanging.record_now(open_pot, ASKED)
            fill = partial(other.change_now, pot("2021-Q3"), Pot.fill, KEYED)
            with pytest.raises(Unavailable), hanging.log.turn() as turn:  # noqa: PT012 (what hangs is the block)
                with pytest.raises(Unavailable, match="locked"):
                    fill()
                fill()
                turn.head()
            assert hanging.change_now(pot("2021-Q3"), Pot.fill, KEYED).repeated
            assert (other.head().size, is_whole(other)) == (2, True)


class TestADefect:
    def test_is_not_taken_for_the_database_s_failure(self, ledger: Ledger) -> None:
        with pytest.raises(exc.DBAPIError), ledger.log.turn() as turn:
            turn.connection.exec_driver_sql("SELECT nothing FROM nowhere")
        with pytest.raises(ZeroDivisionError):
            ledger.record_now(lambda _: {pot("2021-Q3"): (1 // 0,)}, ASKED)  # type: ignore[dict-item]

    def test_of_a_statement_lets_nobody_stand_on_what_was_decided_in_its_turn(self, postgres_url: str) -> None:
        """B takes A's new participant in the turn that C spoils; A is refused when it is tried again, and B meets him itself."""
        answers: dict[str, Recorded | BaseException | None] = {}
        spoiling = False

        def meet(facts: Facts, name: str) -> Decision:
            if name == "a" and facts[pot("gate")].amount:
                raise PotIsClosed
            token = facts.pseudonym("INDIGO-POJ-0175", "YP-0042")
            return {pot(name): (PotOpened(amount=Money(1), holder=token),)}

        def spoil(facts: Facts) -> Decision:
            facts.get(pot("moves"))
            if spoiling:
                reads: Any = facts._reads  # type: ignore[attr-defined]
                reads._rows("SELECT 1 / 0")
            return open_pot(facts, "c")

        with _opened(postgres_url) as ledger, _opened(postgres_url) as other:
            writer, write = ledger._writer, ledger._writer._write
            ledger.record_now(partial(open_pots, names=["gate", "moves"]), ASKED)

            def take(name: str, command: Command) -> None:
                def answer(recorded: Recorded | None, failure: BaseException | None) -> None:
                    answers[name] = recorded or failure

                writer.decide(writer.admit(Pending(command, ASKED, dry_run=False, answer=answer)))

            def write_and_move(batch: list[Pending]) -> list[Pending]:
                if len(batch) == 2:
                    other.change_now(pot("gate"), Pot.fill, ASKED)
                return write(batch)

            take("a", partial(meet, name="a"))
            writer._ahead.clear()
            take("b", partial(meet, name="b"))
            take("c", spoil)
            other.change_now(pot("moves"), Pot.fill, ASKED)
            spoiling = True
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(writer, "_write", write_and_move)
                writer.write_what_waits()
            assert {name: type(answer) for name, answer in answers.items()} == {
                "a": PotIsClosed, "b": Recorded, "c": psycopg.errors.DivisionByZero,
            }  # fmt: skip
            token = other.load(pot("b"))[0].holder
            assert token is not None
            assert other.references("INDIGO-POJ-0175", [Token(token)]) == {token: "YP-0042"}

    def test_of_one_command_s_statement_harms_nobody_else(self, ledger: Ledger) -> None:
        def ask_wrongly(facts: Facts) -> Decision:
            facts.get(pot("2021-Q2"))  # It is opened in the same batch: whoever is refused on it is decided again there.
            reads: Any = facts._reads  # type: ignore[attr-defined]
            if not isinstance(reads, Turn):
                raise Refused
            reads._rows("SELECT nothing FROM nowhere")
            return open_pot(facts, "2021-Q1")

        commands = [partial(open_pot, name="2021-Q2"), ask_wrongly, partial(open_pot, name="2021-Q4")]
        answers = asyncio.run(_in_one_batch(ledger, commands))
        assert [type(answer) for answer in answers[:1] + answers[2:]] == [Recorded, Recorded]
        assert isinstance(answers[1], (sqlite3.Error, psycopg.Error))
        assert ledger.head().size == 2
        assert is_whole(ledger)


class TestOnePerson:
    async def test_has_at_most_so_many_commands_under_way(self, opening: Opening) -> None:
        ledger = opening(most_of_one_person=2)
        with ledger.log.turn():
            names = ("2021-Q1", "2021-Q2")
            waiting = [asyncio.create_task(ledger.record(partial(open_pot, name=name), ASKED)) for name in names]
            await until(lambda: ledger.under_way == len(names))
            with pytest.raises(TooManyOfOne):
                await ledger.record(partial(open_pot, name="2021-Q3"), ASKED)
            waiting.append(asyncio.create_task(ledger.record(partial(open_pot, name="2021-Q4"), Request(BRIDGE))))
            await until(lambda: ledger.under_way == len(waiting))
        await asyncio.gather(*waiting)
        await ledger.record(partial(open_pot, name="2021-Q3"), ASKED)
        assert ledger.head().size == 4
        await until(lambda: ledger.under_way == 0)

    async def test_may_send_the_next_command_as_soon_as_one_is_answered(self, opening: Opening) -> None:
        ledger = opening(most_of_one_person=1)
        for number in range(50):
            await ledger.record(partial(open_pot, name=f"2021-{number}"), ASKED)
        assert ledger.head().size == 50

    async def test_is_not_held_to_what_was_never_begun(self, opening: Opening) -> None:
        ledger = opening(most_of_one_person=1)
        ledger._deciders.shutdown()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="shutdown"):
                await ledger.record(open_pot, ASKED)
        assert ledger.under_way == 0


class TestBatches:
    def test_are_told_to_whoever_counts(self, ledger: Ledger) -> None:
        told: list[Written] = []
        ledger.watch(told.append)
        ledger.record_now(partial(open_pots, names=["2021-Q1", "2021-Q2"]), ASKED)
        with cut_in_commit(ledger, stored=False), pytest.raises(Unavailable):
            ledger.record_now(open_pot, ASKED)
        assert [(each.commands, each.entries, each.failed) for each in told] == [(1, 2, False), (1, 0, True)]


class TestReasons:
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (psycopg.errors.TooManyConnections, "takes no more connections"),
            (psycopg.errors.CannotConnectNow, "starting up or shutting down"),
            (psycopg.errors.AdminShutdown, "starting up or shutting down"),
            (psycopg.errors.ConnectionException, "lost or refused"),
            (psycopg.errors.ConnectionTimeout, "lost or refused"),
            (psycopg.errors.ReadOnlySqlTransaction, "only be read"),
            (psycopg.errors.DiskFull, "disk is full"),
            (psycopg.errors.LockNotAvailable, "locked"),
            (psycopg.errors.QueryCanceled, "in time"),
            (psycopg.errors.IoError, "disk or memory"),
            (psycopg.errors.SyntaxError, None),
            (psycopg.errors.UniqueViolation, None),
            (psycopg.errors.PipelineAborted, None),
        ],
    )
    def test_are_known_by_their_codes(self, code: type[psycopg.Error], reason: str | None) -> None:
        for error in (code(), exc.DBAPIError("SELECT", None, code())):
            found = failures.reason_of(error)
            assert found is None if reason is None else reason in str(found)

    def test_of_our_own_files_are_none(self) -> None:
        assert failures.reason_of(FileNotFoundError()) is None

    def test_a_server_has_a_few_seconds_to_answer_unless_the_address_says_otherwise(self) -> None:
        for query, expected in (("", 5), ("?connect_timeout=2", "2")):
            said: dict[str, Any] = {}
            made = store.engine(f"postgresql://postgres@127.0.0.1:1/ledger{query}")

            def connect(*_: Any, into: dict[str, Any] = said) -> None:
                into.update(_[3])
                raise psycopg.OperationalError

            event.listen(made, "do_connect", connect)
            with pytest.raises(Unavailable), failures.told():
                made.connect()
            assert said["connect_timeout"] == expected
            assert "-ctcp_keepalives_idle=10" in said["options"]


# How it is made to fail -----------------------------------------------------------------------------------------------


@contextmanager
def _opened(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance) as ledger:
        yield ledger


def _every_call(ledger: Ledger) -> list[Callable[[], Any]]:
    it = pot("2021-Q3")
    return [
        partial(ledger.record_now, open_pot, KEYED),
        partial(ledger.change_now, it, Pot.fill, ASKED),
        lambda: asyncio.run(ledger.record(open_pot, KEYED)),
        lambda: asyncio.run(ledger.change(it, Pot.fill, ASKED)),
        partial(ledger.load, it),
        partial(ledger.load, it, 1),
        ledger.entries,
        ledger.head,
        lambda: ledger.size_at(ledger.now()),
        lambda: ledger.reveal(["00"]),  # type: ignore[list-item]
        lambda: ledger.references("INDIGO-POJ-0175", ["00"]),  # type: ignore[list-item]
    ]


async def _in_one_batch(ledger: Ledger, commands: list[Any]) -> list[Recorded | BaseException]:
    """The answers to commands that wait for the turn together, in this order."""
    tasks: list[asyncio.Task[Recorded]] = []
    writer = ledger._writer
    with writer._writing:
        for number, command in enumerate(commands, 1):
            tasks.append(asyncio.create_task(ledger.record(command, ASKED)))
            await until(lambda number=number: len(writer._waiting) == number)  # type: ignore[misc]
    ledger.record_now(lambda _: {}, ASKED)  # It finds the turn free, and what waits is written before it.
    return await asyncio.gather(*tasks, return_exceptions=True)
