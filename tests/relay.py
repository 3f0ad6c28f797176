"""A relay between a ledger and its PostgreSQL: real connections are really cut, just before a commit or just after it."""

import contextlib
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Final
from urllib.parse import quote

from tests import postgres

SOCKET: Final = ".s.PGSQL.5432"
_AT_ONCE: Final = 1 << 20
_WRITES_THE_LOG: Final = b"search_path=log"
"""In what a connection says first: others are the read models'."""
_PREPARED: Final = re.compile(rb"P....([^\0]*)\0COMMIT\0", re.DOTALL)
_COMMITTED: Final = b"C\0\0\0\x0bCOMMIT\0"


@dataclass(eq=False)
class _Pair:
    """A connection of the ledger's and the one to the server that stands behind it."""

    client: socket.socket
    server: socket.socket
    log: bool = False
    commits: frozenset[bytes] = frozenset()
    """The names of the statements that commit, as the driver prepared them."""

    def asks_to_commit(self, said: bytes) -> bool:
        """Whether a commit is among what the client says."""
        prepared = _PREPARED.findall(said)
        self.commits |= set(prepared) - {b""}
        return bool(prepared) or any(b"\0" + name + b"\0" in said for name in self.commits)

    def cut(self) -> None:
        """End both connections at once."""
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Relay:
    """Lets everything through, until it is told to cut."""

    def __init__(self, folder: Path, server: postgres.Server) -> None:
        self._folder = folder
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / SOCKET))
        self._listening.listen(64)
        self._pairs: set[_Pair] = set()
        self._lock = Lock()
        self._stored: bool | None = None
        self._away = False
        Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """Where a database is reached through the relay."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder), safe='')}"

    @contextlib.contextmanager
    def cut_in_commit(self, *, stored: bool, away: bool) -> Iterator[None]:
        """The log's first commit is cut off, before or after it is stored; with `away` nobody reaches the server from then on."""
        self._stored, self._away = stored, away
        try:
            yield
            assert self._stored is None, "nothing was cut"
        finally:
            self._stored, self._away = None, False

    def close(self) -> None:
        """Cut everything, and listen no longer."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._cut_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self._away and self._stored is None:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server.folder / SOCKET))
                pair = _Pair(client, server)
                with self._lock:
                    self._pairs.add(pair)
                Thread(target=self._forth, args=(pair,), daemon=True).start()
                Thread(target=self._back, args=(pair,), daemon=True).start()

    def _forth(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            said = pair.client.recv(_AT_ONCE)
            pair.log = _WRITES_THE_LOG in said
            while said:
                if pair.asks_to_commit(said) and self._is_to_be_cut(pair, stored=False):
                    return
                pair.server.sendall(said)
                said = pair.client.recv(_AT_ONCE)
        self._end(pair)

    def _back(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while said := pair.server.recv(_AT_ONCE):
                if _COMMITTED in said and self._is_to_be_cut(pair, stored=True):
                    return
                pair.client.sendall(said)
        self._end(pair)

    def _is_to_be_cut(self, pair: _Pair, *, stored: bool) -> bool:
        if not pair.log or self._stored is not stored:
            return False
        self._stored = None
        if self._away:
            self._cut_all()
        else:
            self._end(pair)
        return True

    def _cut_all(self) -> None:
        with self._lock:
            pairs = tuple(self._pairs)
        for each in pairs:
            self._end(each)

    def _end(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)
        pair.cut()


@contextlib.contextmanager
def relayed(server: postgres.Server) -> Iterator[Relay]:
    """A relay to a server, until the end of the block."""
    # A socket's path holds 107 bytes at most: so straight under /tmp, whatever pytest's own folder is called.
    folder = Path(tempfile.mkdtemp(prefix="lcl-relay-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108
    relay = Relay(folder, server)
    try:
        yield relay
    finally:
        relay.close()
        shutil.rmtree(folder, ignore_errors=True)
