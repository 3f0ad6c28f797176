"""Folding: a model on its way through one batch of entries, in memory."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from domain.postings import Account
from ledger.failures import Unavailable
from projections.models import Standing
from projections.projection import Happened, Journal, Key, Model, Projection, Stored, Tally

M = TypeVar("M", bound=Model)
Before = Callable[[Standing, Collection[str]], dict[str, Stored]]
"""Looks up the rows that streams have before the batch."""

_MODULUS: Final = 2**256


def folding(standing: Standing, before: Before) -> "Folding[Any]":
    """Begin a batch, from where a model stands."""
    model = standing.model
    if isinstance(model, Projection):
        return _Becoming(standing, model, before)
    if isinstance(model, Tally):
        return _Counting(standing, model)
    if isinstance(model, Journal):
        return _Adding(standing, model)
    raise TypeError(f"{model.name} is no kind of model that can be folded")


class Folding(ABC, Generic[M]):
    """A model on its way through one batch of entries: nothing of it is written before the batch ends."""

    def __init__(self, standing: Standing, model: M) -> None:
        self.was = standing
        self.now = standing
        self._model = model

    def expect(self, streams_of: Mapping[str, Collection[str]]) -> None:
        """Look up at once what entries will touch; their streams by type."""

    def take(self, happened: Happened) -> None:
        """Fold one entry; if that fails, the model stops before it, and the others go on."""
        if self.now.failed is not None or happened.position <= self.was.position:
            return
        try:
            self._fold(happened)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this model's failure and nobody else's)
            self.fail(happened.position, f"{happened.type} at {happened.position}: {type(error).__name__}: {error}")

    def fail(self, position: int, why: str) -> None:
        """Stop before an entry, unless it stopped earlier."""
        if self.now.failed is None:
            self.now = replace(self.now, position=max(position - 1, self.was.position), failed=why)

    def finish(self, position: int, root: str | None) -> list[Stored]:
        """Say how far the batch went; the rows to write."""
        rows, now = self._touched(), self.now
        reached, root = (max(position, self.was.position), root) if now.failed is None else (now.position, None)
        digest = (now.digest + self._grown(rows)) % _MODULUS if rows else now.digest
        self.now = replace(now, position=reached, root=root, digest=digest)
        return rows

    @abstractmethod
    def _fold(self, happened: Happened) -> None:
        """Fold an entry."""

    @abstractmethod
    def _touched(self) -> list[Stored]:
        """What of the table is touched, as it is to be."""

    def _grown(self, rows: Iterable[Stored]) -> int:
        """How much the digest grows by what is written."""
        return self._model.digest_of(*rows)


class _Becoming(Folding[Projection[Any]]):
    def __init__(self, standing: Standing, model: Projection[Any], before: Before) -> None:
        super().__init__(standing, model)
        self._before = before
        self._known: dict[str, Stored] = {}
        self._rows: dict[str, Any] = {}

    def expect(self, streams_of: Mapping[str, Collection[str]]) -> None:
        folds = self._model.folds
        streams = set[str]().union(*(streams for kind, streams in streams_of.items() if kind in folds))
        try:
            self._known = self._before(self.was, streams) if streams else {}
        except Unavailable:
            raise  # It is the database's failure, and not this model's.
        except DBAPIError as error:
            self.fail(self.was.position + 1, f"after {self.was.position}: {type(error).__name__}: {error}")

    def _fold(self, happened: Happened) -> None:
        stream = happened.stream
        row = self._rows.get(stream)
        if row is None and (stored := self._known.get(stream)) is not None:
            row = self._model.load(stored)
        self._rows[stream] = self._model.become(row, happened)

    def _touched(self) -> list[Stored]:
        return list(map(self._model.store, self._rows.values()))

    def _grown(self, rows: Iterable[Stored]) -> int:
        return super()._grown(rows) - super()._grown(stored for stream, stored in self._known.items() if stream in self._rows)


class _Adding(Folding[Journal]):
    def __init__(self, standing: Standing, model: Journal) -> None:
        super().__init__(standing, model)
        self._added: list[Stored] = []
        self._grows = 0

    def _fold(self, happened: Happened) -> None:
        made = self._model.made(happened)
        self._added += made
        self._grows += self._model.digest_of(*made)

    def _touched(self) -> list[Stored]:
        return self._added

    def _grown(self, _rows: Iterable[Stored]) -> int:
        return self._grows


class _Counting(Folding[Tally]):
    def __init__(self, standing: Standing, model: Tally) -> None:
        super().__init__(standing, model)
        self._moved: defaultdict[str | None, dict[Account, int]] = defaultdict(dict)
        """Postings, added up by award and account: most move again what others moved, and have the same keys."""

    def _fold(self, happened: Happened) -> None:
        moved = self._moved[happened.award]
        for account, amount in happened.sums.items():
            moved[account] = moved.get(account, 0) + amount

    def _touched(self) -> list[Stored]:
        sums: dict[Key, int] = {}
        for award, moved in self._moved.items():
            for account, amount in moved.items():
                key = self._model.key_of(award, account)
                sums[key] = sums.get(key, 0) + amount
        return [(*key, amount) for key, amount in sums.items()]
