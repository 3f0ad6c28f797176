"""A failover drill on one machine: three PostgreSQL under Patroni as patroni.yaml says, and the primary killed under load.

    apt-get install etcd-server
    /usr/bin/python3 -m venv /tmp/patroni && /tmp/patroni/bin/pip install 'patroni[etcd3,psycopg3]'
    python docker/patroni/drill.py --patroni /tmp/patroni/bin/patroni --times 3

It needs the environment of the tests (the README's test command makes it), whose PostgreSQL it runs. Each time, clients claim and
verify over HTTP and note what was acknowledged; then the primary's machine dies (`kill -9` of its Patroni and of every process of
its PostgreSQL) or hangs (`--how freeze`: its Patroni is stopped until after it lost its lease, while its PostgreSQL goes on), and
the clients send again what was not answered. In the end:

- everything that was acknowledged is in the log where it was said to be, and what was asked once is there once;
- the log is dense, its root is that of its entries, and all three servers have the same root;
- the read models are what a replay of the log makes of them;
- a command that was acknowledged before is answered the same after;
- the gap, the longest time without an acknowledgement, is told.

Seen on two busy cores, with `ttl: 20`: when it was killed, another was primary after 16 to 21 seconds, and so long was the gap;
when it hung, it went on acknowledging, with its standby's word, until that was promoted; nothing was acknowledged from then
until it went on and stepped down: 9 to 11 seconds of 30. Only the loopback is used, and everything ends with the script.
"""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

TOP: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
sys.path.insert(0, str(TOP))

from tests import postgres  # noqa: E402 (the repository's own, wherever this is run)
from tests.api.server import Place, Serving  # noqa: E402
from tests.api.test_service import Load, Patient, Story  # noqa: E402

SECRETS: Final = ("superuser", "replication", "owner_password", "service_password")
NODES: Final = ("ada", "brunel", "cavendish")
LONG_S: Final = 180
MORE: Final = 150
"""Commands that are acknowledged before, and again after."""
WORKERS: Final = 2
FROZEN_S: Final = 30
"""How long a Patroni hangs: longer than its lease."""


@dataclass
class Node:
    """A machine with Patroni and its PostgreSQL."""

    name: str
    folder: Path
    database_port: int
    rest_port: int
    start: Callable[["Node"], "subprocess.Popen[bytes]"]
    patroni: "subprocess.Popen[bytes] | None" = None

    def begin(self) -> None:
        """Start Patroni, which starts PostgreSQL."""
        self.patroni = self.start(self)

    @property
    def state(self) -> dict[str, Any]:
        """What its Patroni says of it; nothing if it says nothing."""
        with suppress(httpx.TransportError, ValueError):
            told: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.rest_port}/patroni", timeout=2).json()
            return told
        return {}

    @property
    def takes_writes(self) -> bool:
        """Whether it is the primary, by its own word."""
        return self.state.get("role") in {"primary", "master"} and self.state.get("state") == "running"

    @property
    def confirms(self) -> bool:
        """Whether it is the standby without whose word nothing is committed."""
        return bool(self.state.get("sync_standby"))

    @property
    def streams(self) -> bool:
        """Whether it follows the primary, or is it."""
        return self.takes_writes or self.state.get("replication_state") == "streaming"

    def kill(self) -> None:
        """The machine dies: no process of it says anything more."""
        server = self._server()
        for process in (*self._patronis(), server, *_children(server)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if self.patroni is not None:
            self.patroni.wait()

    def freeze(self) -> None:
        """Its Patroni hangs, and PostgreSQL does not know."""
        for process in self._patronis():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Its Patroni goes on, and finds that it has lost its lease."""
        for process in self._patronis():
            os.kill(process, signal.SIGCONT)

    def _patronis(self) -> list[int]:
        assert self.patroni is not None  # noqa: S101 (only of one that was started)
        return [self.patroni.pid, *_children(self.patroni.pid)]

    def _server(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text("ascii").split()[0])


def _children(process: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()]
    return []


@dataclass
class Cluster:
    """etcd, and the nodes that ask it who is primary."""

    folder: Path
    patroni: str
    etcd: str
    nodes: list[Node] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        """From the first start until everything has ended."""
        somebody = postgres.somebody_else()
        self.binaries = postgres.reachable(postgres.programs(), self.folder, somebody)
        self.secrets = {
            name: secrets.token_hex(16) for name in ("superuser", "replication", "owner_password", "service_password")
        }
        for name in ("owner_password", "service_password"):
            (self.folder / name).write_text(self.secrets[name])
        shutil.copytree(HERE, self.folder / "patroni")
        client, peer, *ports = _free_ports(2 + 2 * len(NODES))
        self.nodes = [
            Node(name, self.folder / name, ports[2 * n], ports[2 * n + 1], lambda node: self._start(node, client, somebody))
            for n, name in enumerate(NODES)
        ]
        for node in self.nodes:
            node.folder.mkdir()
        (self.folder / "etcd").mkdir(mode=0o700)
        if somebody:
            for path in (self.folder, *self.folder.glob("*")):
                os.chown(path, somebody["user"], somebody["group"])
        with ExitStack() as ending:
            keeper = self._logged("etcd", self._etcd(client, peer), somebody, {})
            ending.callback(_end, keeper)
            for node in self.nodes:
                node.begin()
                ending.callback(self._end, node)
            self.wait("one is primary and one confirms", lambda: self.whole)
            yield

    @property
    def primary(self) -> Node | None:
        """The node that takes writes."""
        return next((node for node in self.nodes if node.takes_writes), None)

    @property
    def whole(self) -> bool:
        """Whether all are there, and one of them confirms."""
        return (
            sum(node.takes_writes for node in self.nodes) == 1
            and any(node.confirms for node in self.nodes)
            and all(node.streams for node in self.nodes)
        )

    def wait(self, what: str, there: Callable[[], bool]) -> float:
        """How long something took, in seconds."""
        begun = time.monotonic()
        while not there():
            if time.monotonic() - begun > LONG_S:
                raise TimeoutError(f"{what}: not in {LONG_S} s; see the logs in {self.folder}")
            time.sleep(0.2)
        return time.monotonic() - begun

    def url(self, role: str) -> str:
        """The address of whichever node takes writes."""
        hosts = "&".join(f"host=127.0.0.1:{node.database_port}" for node in self.nodes)
        return f"postgresql://ledger_{role}:{self.secrets[f'{role}_password']}@/ledger?{hosts}&target_session_attrs=read-write"

    def roots(self) -> dict[str, tuple[int, str]]:
        """Size and root of the log on each node."""
        found = {}
        for node in self.nodes:
            with psycopg.connect(
                host="127.0.0.1",
                port=node.database_port,
                dbname="ledger",
                user="ledger_owner",
                password=self.secrets["owner_password"],
            ) as connection:
                last = connection.execute("SELECT size, root FROM log.heads ORDER BY size DESC LIMIT 1").fetchone()
            found[node.name] = (0, "") if last is None else (int(last[0]), bytes(last[1]).hex())
        return found

    def _etcd(self, client: int, peer: int) -> list[str]:
        ours, theirs = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return [
            *(self.etcd, "--name", "keeper", "--data-dir", str(self.folder / "etcd")),
            *("--listen-client-urls", ours, "--advertise-client-urls", ours, "--listen-peer-urls", theirs),
            *("--initial-advertise-peer-urls", theirs, "--initial-cluster", f"keeper={theirs}"),
        ]

    def _start(self, node: Node, etcd_port: int, somebody: dict[str, Any]) -> "subprocess.Popen[bytes]":
        database, rest = f"127.0.0.1:{node.database_port}", f"127.0.0.1:{node.rest_port}"
        given = {
            "PATRONI_NAME": node.name,
            "PATRONI_ETCD3_HOSTS": f"127.0.0.1:{etcd_port}",
            "PATRONI_RESTAPI_LISTEN": rest,
            "PATRONI_RESTAPI_CONNECT_ADDRESS": rest,
            "PATRONI_POSTGRESQL_LISTEN": database,
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": database,
            "PATRONI_POSTGRESQL_DATA_DIR": str(node.folder / "data"),
            "PATRONI_POSTGRESQL_PGPASS": str(node.folder / "pgpass"),
            "PATRONI_SUPERUSER_PASSWORD": self.secrets["superuser"],
            "PATRONI_REPLICATION_PASSWORD": self.secrets["replication"],
            "LEDGER_SECRETS": str(self.folder),
            "PATH": f"{self.folder / 'patroni'}:{self.binaries}:{os.environ['PATH']}",
        }
        return self._logged(node.name, [self.patroni, str(self.folder / "patroni" / "patroni.yaml")], somebody, given)

    def _logged(
        self, name: str, command: list[str], somebody: dict[str, Any], given: dict[str, str]
    ) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("ab") as log:
            said = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.folder)} | given
            return subprocess.Popen(command, **somebody, env=said, cwd=self.folder, stdout=log, stderr=log)

    def _end(self, node: Node) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            node.kill()
        if node.patroni is not None:
            _end(node.patroni)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _free_ports(many: int) -> list[int]:
    with ExitStack() as kept:
        sockets = [kept.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(many)]
        return [int(each.getsockname()[1]) for each in sockets]


def _lcledger(*arguments: str, place: Place) -> str:
    command = [sys.executable, "-c", "from api.cli import app; app()", *arguments]
    done = subprocess.run(command, cwd=TOP, env=place.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"lcledger {arguments[0]}: {done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Seen:
    """What was seen of one failover."""

    how: str
    was: str
    became: str = ""
    elected_s: float = 0
    gap_s: float = 0
    before: int = 0
    after: int = 0


class Drill:
    """A ledger on a cluster, failed over again and again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._one = Place(cluster.folder / "ledger", cluster.url("service"))
        self._story = Story(self._one)

    async def begin(self) -> None:
        """Make the tables as their owner, and an award to claim under."""
        _lcledger("migrate", "--grant-to", "ledger_service", place=replace(self._one, database_url=self._cluster.url("owner")))
        await self._story.begin()

    async def fail_over(self, how: str) -> Seen:
        """Have the primary die or hang under load, and look at what is left."""
        primary = self._cluster.primary
        if primary is None:
            raise RuntimeError("there is no primary")
        seen, load = Seen(how, primary.name), Patient()

        def end(serving: Serving, _load: Load) -> None:
            try:
                self._fail(primary, seen, load)
            finally:
                load.ending = True
                serving.ask_to_stop()
                serving.process.wait(LONG_S)

        self._story.place = replace(self._one, workers=WORKERS)
        await self._story.work_until(end, load)
        self._story.place = self._one
        seen.gap_s = max(later - earlier for earlier, later in pairwise(sorted(load.acknowledged_at)))
        await asyncio.to_thread(self._look_over)
        await self._story.repeat(load)
        return seen

    def _fail(self, primary: Node, seen: Seen, load: Patient) -> None:
        self._cluster.wait("more are acknowledged", lambda: len(load.acknowledged) >= MORE)
        seen.before = len(load.acknowledged)
        if seen.how == "freeze":
            primary.freeze()
        else:
            primary.kill()
        others = [node for node in self._cluster.nodes if node is not primary]
        seen.elected_s = self._cluster.wait("another is primary", lambda: any(node.takes_writes for node in others))
        seen.became = next(node.name for node in others if node.takes_writes)
        if seen.how == "freeze":
            time.sleep(max(FROZEN_S - seen.elected_s, 0))
            primary.thaw()
        enough = len(load.acknowledged) + MORE
        self._cluster.wait("more are acknowledged", lambda: len(load.acknowledged) >= enough)
        seen.after = len(load.acknowledged) - seen.before
        if seen.how == "kill":
            primary.begin()
        self._cluster.wait("the old primary follows", lambda: self._cluster.whole)

    def _look_over(self) -> None:
        """Raise what is wrong: with what was acknowledged, the log, the read models, or the servers' roots."""
        self._story.expect_whole()
        faults = json.loads(_lcledger("verify", "--json", place=self._one))["faults"]
        if faults:
            raise AssertionError(f"the log is damaged: {faults}")
        self._cluster.wait("all have one root", lambda: len(set(self._cluster.roots().values())) == 1)


async def _drill(cluster: Cluster, hows: list[str]) -> None:
    drill = Drill(cluster)
    await drill.begin()
    for number, how in enumerate(hows, 1):
        seen = await drill.fail_over(how)
        ((size, root),) = set(cluster.roots().values())
        print(
            f"{number}. {seen.how} {seen.was}: {seen.became} primary after {seen.elected_s:.1f} s, nothing acknowledged for"
            f" {seen.gap_s:.1f} s; acknowledged {seen.before} before and {seen.after} after, none lost, all answered the same"
            f" again; three equal roots of {size} entries, {root[:16]}…",
            flush=True,
        )


def main() -> None:
    """Drill as often as is asked."""
    asked = argparse.ArgumentParser(description="A failover drill on one machine.")
    asked.add_argument("--patroni", default="patroni", help="the program, in an environment of its own")
    asked.add_argument("--etcd", default="etcd")
    asked.add_argument("--times", type=int, default=1, help="how often each")
    asked.add_argument("--how", default="kill", help="kill, freeze, or both with a comma")
    given = asked.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lcl-drill-"))
    folder.chmod(0o755)
    hows = [how for _ in range(given.times) for how in given.how.split(",")]
    cluster = Cluster(folder, str(Path(shutil.which(given.patroni) or given.patroni).absolute()), given.etcd)
    with cluster.running():
        asyncio.run(_drill(cluster, hows))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
