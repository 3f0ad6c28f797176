"""What a measurement tells: a table for people, JSON for machines; and on what it was measured."""

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from api.cli.bench.measuring import FLOOR, LIBRARY, OURS, Line, Wanted, of
from api.cli.screen import say, table, tell_json, under_way

_PACKAGES: Final = ("life-chances-ledger", "eventsourcing", "sqlalchemy", "psycopg", "pydantic", "orjson")
_A_HUNDRED: Final = 100


@dataclass(frozen=True, slots=True)
class Report:
    """A measurement: its lines, and everything that another one must have alike to be compared with it."""

    title: str
    rounds: int
    lines: list[Line] = field(default_factory=list)
    durability: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """By database and contender: each setting as the contender's own connection told it."""
    databases: list[str] = field(default_factory=list)
    """Their versions."""
    notes: list[str] = field(default_factory=list)
    figures: str = ""
    """How its figures were come by, if they are no medians of rounds."""

    def add(self, lines: Iterable[Line]) -> None:
        """Take in lines as they are measured, and say beside the answer what each came to: a measurement may take an hour."""
        for line in lines:
            self.lines.append(line)
            figures = ", ".join(f"{name} {_figure(figure)}" for name, figure in line.medians.items())
            under_way(f"{line.database}, {line.work}: {figures} {line.unit}")


def machine() -> dict[str, str]:
    """What the measurement ran on."""
    return {
        "processor": _processor(),
        "cores": str(_cores()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "load": _load(),
    }


def tell(report: Report, *, as_json: bool) -> None:
    """Print a report."""
    if as_json:
        tell_json(_for_machines(report))
        return
    for unit in dict.fromkeys(line.unit for line in report.lines):
        figures = report.figures or f"medians of {report.rounds} rounds"
        _show(f"{report.title} ({unit}, {figures})", [each for each in report.lines if each.unit == unit])
    for name, contenders in report.durability.items():
        for contender, settings in contenders.items():
            say(f"{name}, {contender}: {', '.join(f'{setting}={value}' for setting, value in settings.items())}")
    say(", ".join((*report.databases, *(f"{name} {found}" for name, found in _versions().items()))))
    here = machine()
    say(f"{here['processor']}, {here['cores']} cores, {here['python']}, {here['system']}, load {here['load']} at the end")
    say(*report.notes)


def _show(title: str, lines: Sequence[Line]) -> None:
    contenders = [name for name in (OURS, LIBRARY, FLOOR) if any(name in line.medians for line in lines)]
    contenders += sorted({name for line in lines for name in line.medians} - set(contenders))
    ratios = [of(name) for name in contenders if any(of(name) in line.ratios for line in lines)]
    columns = [("database", "left"), ("work", "left"), *((name, "right") for name in (*contenders, *ratios)), ("wanted", "left")]
    if any(line.remark for line in lines):
        columns.append(("", "left"))
    rows = [
        [
            line.database,
            line.work,
            *(_figure(line.medians.get(name)) for name in contenders),
            *(_ratio(line.ratios.get(name)) for name in ratios),
            _verdict(line),
            *((line.remark,) if len(columns) > len(contenders) + len(ratios) + len(("database", "work", "wanted")) else ()),
        ]
        for line in lines
    ]
    table(title, columns, rows)


def _verdict(line: Line) -> str:
    return ", ".join(_asked(each, "✗" if each in line.missed else "✓") for each in line.wanted if _was_measured(line, each))


def _was_measured(line: Line, wanted: Wanted) -> bool:
    return wanted.figure in line.medians or wanted.figure in line.ratios


def _asked(wanted: Wanted, mark: str) -> str:
    bound = _ratio(wanted.bound) if "/" in wanted.figure else _figure(wanted.bound)
    return f"{mark} {wanted.figure} {'≤' if wanted.at_most else '≥'} {bound}"


def _figure(figure: float | None) -> str:
    if figure is None:
        return "–"
    return f"{figure:,.0f}" if figure >= _A_HUNDRED else f"{figure:,.2f}"


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _for_machines(report: Report) -> dict[str, Any]:
    return {
        **asdict(report),
        "lines": [{**asdict(line), "missed": [each.figure for each in line.missed]} for line in report.lines],
        "versions": _versions(),
        "machine": machine(),
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines: Iterable[str] = described.read_text("utf-8").splitlines() if described.exists() else ()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _load() -> str:
    return " ".join(f"{each:.2f}" for each in os.getloadavg()) if sys.platform != "win32" else ""
