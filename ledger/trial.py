"""Whether a database takes what is written, found out without touching the log.

That a turn can be had says nothing of a disk that is full, or of a file that can only be read: both show when something is
written. So as much as a command writes is put beside the log, among the notes of followers, is on disk, and is taken away again.
"""

from secrets import token_hex
from typing import Final

from ledger import failures
from ledger.log import Log, Turn

_NAME: Final = "trial of the disk "
_ROWS: Final = 32
_BYTES: Final = 1_000
"""Of each row, in hexadecimal digits: less than PostgreSQL's longest key, and so various that nothing packs it into less."""


def try_writing(log: Log) -> None:
    """Have 64 KiB written to the log's database, and taken away again; raises `Unavailable` with the reason if it fails."""
    rows = [(f"{_NAME}{number} {token_hex(_BYTES)}", 0) for number in range(_ROWS)]
    with log.turn() as turn, failures.told():
        _clear(turn)  # What a trial that was killed left behind.
        sql = turn.statements("INSERT INTO tracking (application_name, notification_id) VALUES (?, ?)")
        turn.connection.exec_driver_sql(sql, rows)
    with log.turn() as turn, failures.told():
        _clear(turn)


def _clear(turn: Turn) -> None:
    sql = turn.statements("DELETE FROM tracking WHERE application_name LIKE ?")
    turn.connection.exec_driver_sql(sql, (f"{_NAME}%",))
