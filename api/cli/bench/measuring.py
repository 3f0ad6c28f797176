"""Turns and ratios: whatever is compared is measured in turns in one run, as machines are not the same from minute to minute."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Final

from api.cli.screen import bar
from ledger.garbage import nothing_old

OURS: Final = "ours"
LIBRARY: Final = "library"
FLOOR: Final = "floor"

Contender = Callable[[], float]
"""Does the work once, and gives how much of it was done in a second."""
Samples = Mapping[str, list[float]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a figure must be: at least, or at most, so much."""

    figure: str
    """`ours`, or the ratio's name, such as `ours / floor`."""
    bound: float
    at_most: bool = False

    def met_by(self, figure: float) -> bool:
        """Whether a figure is what is wanted."""
        return figure <= self.bound if self.at_most else figure >= self.bound


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of work on one database: the medians of its contenders, and what they are to each other."""

    database: str
    work: str
    unit: str
    medians: Mapping[str, float]
    ratios: Mapping[str, float] = field(default_factory=dict)
    wanted: tuple[Wanted, ...] = ()
    remark: str = ""

    @property
    def missed(self) -> tuple[Wanted, ...]:
        """What is wanted and not reached; what could not be measured is not missed."""
        figures = {**self.medians, **self.ratios}
        return tuple(each for each in self.wanted if each.figure in figures and not each.met_by(figures[each.figure]))


def take_turns(rounds: int, contenders: Mapping[str, Contender], *, warm_up: bool = True) -> Samples:
    """Let each contender work once unmeasured, unless nothing is warm after that, and then in turns; the figures of each.

    A terminal is shown whose turn it is.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    # Looking for garbage in what was there before takes longer than many turns do, and holds up those that follow.
    with nothing_old(), bar(still=True) as progress:
        turns = progress.add_task("Turns", total=(rounds + warm_up) * len(contenders))
        for number in range(rounds + warm_up):
            for name, work in contenders.items():
                progress.update(turns, description=f"{name}, {_told(number if warm_up else number + 1, rounds)}", refresh=True)
                gc.collect()  # Nobody clears away what somebody else left.
                figure = work()
                if number >= warm_up:
                    samples[name].append(figure)
                progress.advance(turns)
    return samples


def _told(number: int, rounds: int) -> str:
    return f"round {number} of {rounds}" if number else "warming up"


def compare(database: str, work: str, unit: str, samples: Samples, *wanted: Wanted, remark: str = "") -> Line:
    """A line of a report. A ratio is the median of the rounds' ratios: a round is short, and its contenders had the same luck."""
    ours = samples[OURS]
    ratios = {
        f"{OURS} / {name}": median(mine / theirs for mine, theirs in zip(ours, others, strict=True))
        for name, others in samples.items()
        if name != OURS
    }
    medians = {name: median(each) for name, each in samples.items()}
    return Line(database, work, unit, medians, ratios, wanted, remark)


def of(other: str) -> str:
    """The name of the ratio of ours to another's."""
    return f"{OURS} / {other}"


def percentile(samples: Sequence[float], percent: int) -> float:
    """The least of the samples than which so many of a hundred are not more.

    >>> percentile([3.0, 1.0, 2.0, 9.0], 50)
    2.0
    """
    return sorted(samples)[max(ceil(len(samples) * percent / 100) - 1, 0)]
