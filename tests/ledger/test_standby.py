"""A PostgreSQL with one synchronous standby: what was answered is on both, and the standby goes on when the first is gone."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, Self
from urllib.parse import quote

import pytest

from ledger import failures
from ledger.failures import Unavailable
from ledger.ledger import Ledger, Recorded, Request
from tests import postgres
from tests.ledger.conftest import VAULT_KEY
from tests.ledger.pots import KIRKLEES, POTS, Pot, nothing_to_balance, open_pot, pot
from tests.ledger.test_writer import ASKED, is_whole

WRITERS: Final = 4
ENOUGH: Final = 40
"""Commands that are answered before, and again after, the first server is killed."""
AGAIN_S: Final = 0.05


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance) as ledger:
        yield ledger


def of_both(name: str, *servers: postgres.Server) -> str:
    """The address of a database on whichever of these servers takes writes."""
    hosts = "&".join(f"host={quote(str(server.folder), safe='')}" for server in servers)
    return f"postgresql://postgres@/{name}?{hosts}&target_session_attrs=read-write"


@pytest.fixture
def standby(own_server: postgres.Server) -> Iterator[postgres.Server]:
    made = own_server.standby()
    yield made
    made.stop()


@pytest.fixture
def name(own_server: postgres.Server) -> str:
    """A database, made before there is a standby to wait for."""
    return own_server.create()


class Writers:
    """Threads that fill pots, and send again what was not answered, as clients should."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._stop = threading.Event()
        self.answered: dict[str, Recorded] = {}
        self.again = 0
        self._threads = [threading.Thread(target=self._write, args=(writer,)) for writer in range(WRITERS)]

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"W{writer}-{number}"
            self.answered[name] = self._sent(partial(self._ledger.record_now, partial(open_pot, name=name), asked(name)))

    def _sent(self, send: Callable[[], Recorded]) -> Recorded:
        while True:
            try:
                return send()
            except Unavailable:
                self.again += 1
                time.sleep(AGAIN_S)

    def wait(self, more: int) -> None:
        """Until so many more were answered."""
        enough, until = len(self.answered) + more, time.monotonic() + 60
        while len(self.answered) < enough:
            assert time.monotonic() < until
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def asked(name: str) -> Request:
    return Request(KIRKLEES, key=name, fingerprint=name)


class TestTheStandby:
    def test_takes_no_writes(self, own_server: postgres.Server, name: str, standby: postgres.Server) -> None:
        with opened(own_server.url(name)) as ledger:
            ledger.record_now(open_pot, ASKED)
        with opened(standby.url(name)) as ledger:
            for write in (lambda: ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED), lambda: ledger.log.turn().__enter__()):
                with pytest.raises(Unavailable, match=failures.READ_ONLY):
                    write()

    def test_is_passed_over_by_an_address_of_both(self, own_server: postgres.Server, name: str, standby: postgres.Server) -> None:
        for servers in ((standby, own_server), (own_server, standby)):
            with opened(of_both(name, *servers)) as ledger:
                ledger.record_now(partial(open_pot, name=f"Q{servers.index(standby)}"), ASKED)
        with opened(standby.url(name)) as ledger:
            assert ledger.head().size == 2

    def test_goes_on_with_all_that_was_answered_when_the_first_is_killed(
        self, own_server: postgres.Server, name: str, standby: postgres.Server
    ) -> None:
        with opened(of_both(name, own_server, standby)) as ledger, Writers(ledger) as writers:
            writers.wait(ENOUGH)
            own_server.kill()
            before = dict(writers.answered)
            standby.promote()
            writers.wait(ENOUGH)
        assert writers.again
        with opened(standby.url(name)) as ledger:
            assert is_whole(ledger)
            assert ledger.head().size == len(writers.answered)
            for pot_name, told in before.items():
                again = ledger.record_now(partial(open_pot, name=pot_name), asked(pot_name))
                assert (again.repeated, again.first, again.entries) == (True, told.first, told.entries)


class TestACommit:
    def test_waits_for_the_standby_however_long(self, own_server: postgres.Server, name: str, standby: postgres.Server) -> None:
        with own_server.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '200ms'".encode())
        with opened(own_server.url(name)) as ledger:
            ledger.record_now(open_pot, ASKED)
            standby.stop()
            filled: list[Recorded] = []
            waiting = threading.Thread(target=lambda: filled.append(ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)))
            waiting.start()
            waiting.join(1)
            assert (waiting.is_alive(), filled) == (True, [])
            standby.start()
            waiting.join(30)
            assert [each.last for each in filled] == [2]

    def test_that_was_cut_while_it_waited_is_not_taken_for_done(
        self, own_server: postgres.Server, name: str, standby: postgres.Server
    ) -> None:
        with opened(own_server.url(name)) as ledger:
            ledger.record_now(open_pot, ASKED)
            standby.stop()
            waiting = threading.Thread(target=lambda: suppressed(fill, ledger))
            waiting.start()
            waiting.join(0.5)
            own_server.stop()
            own_server.start()
            waiting.join(1)
            with own_server.connect(name) as connection:
                assert connection.execute("SELECT max(position) FROM log.entries").fetchone() == (2,)
            again: list[Recorded] = []
            repeating = threading.Thread(target=lambda: again.append(fill(ledger)))
            repeating.start()
            repeating.join(1)
            assert (repeating.is_alive(), again) == (True, [])
            standby.start()
            for thread in (waiting, repeating):
                thread.join(30)
            assert [(each.last, each.repeated) for each in again] == [(2, True)]


def fill(ledger: Ledger) -> Recorded:
    return ledger.change_now(pot("2021-Q3"), Pot.fill, asked("fill"))


def suppressed(do: Callable[[Ledger], Recorded], ledger: Ledger) -> None:
    with suppress(Unavailable):
        do(ledger)
