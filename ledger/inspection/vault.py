"""The vault: each value is what an entry committed to, each entry's value is there, and what is gone went by an entry.

A value can be read with the vault's key only; without it, it is looked at whether it is there, and not what it is.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from domain.erasure import ErasureRecorded, texts_of
from domain.reference import canonical
from domain.webhook import WebhookRemoved, WebhookSecretRotated
from ledger.entry import Registry, reader
from ledger.inspection.entries import Row
from ledger.inspection.findings import Findings
from ledger.log import Participant, Text
from ledger.snapshot import Snapshot
from ledger.vault import Seals, Unsealed, commitment_of

_AT_ONCE: Final = 2_000
_NAMES: Final = re.compile(rb'"([0-9a-f]{32}(?:[0-9a-f]{32})?)"')
"""What may be a participant's token, or a text's commitment."""
_DIGITS: Final = 64
_COMMITMENTS: Final = re.compile(rb'(?<!sha256":)"([0-9a-f]{64})"')
"""What may be a text's commitment; documents are named so as well, in fields that say by which hash."""
_TEXTS: Final = "SELECT commitment, award, salt, sealed FROM texts WHERE commitment > ? ORDER BY commitment LIMIT ?"
_PARTICIPANTS: Final = (
    "SELECT award, token, mark, sealed FROM participants WHERE (award, token) > (?, ?) ORDER BY award, token LIMIT ?"
)
_STATE: Final = "SELECT state FROM entries WHERE position = ?"
_IN_VAULT: Final = 1
_RECOGNISED: Final = "/participant/"
_ERASING: Final = frozenset({"erasure.recorded", "webhook.secret-rotated", "webhook.removed"})
"""The types of the entries that say what the vault let go."""
_NOTED: Final = _ERASING | {"award.completed"}


class Vault:
    """Hears of every entry of the log, and then looks the vault over."""

    def __init__(self, reads: Snapshot, findings: Findings, registry: Registry) -> None:
        self._reads = reads
        self._findings = findings
        self._read = reader(registry)
        self._texts = {
            commitment.encode(): canonical(award) if award is not None else None
            for commitment, award in reads.ask("SELECT commitment, award FROM texts")
        }
        """The awards of the vault's texts, by their commitments."""
        self._tokens = {row[0].encode() for row in reads.ask("SELECT token FROM participants")}
        self._unheard = self._texts.keys() | self._tokens
        """Names in the vault that no entry has said so far."""
        self._unknown: dict[int, set[str]] = {}
        """What may be commitments, and are not in the vault, by the entry that says them."""
        self._recognised: dict[str, int] = {}
        """Tokens of participants, with the entry in which something was first recorded of them."""
        self._erased: set[str] = set()
        self._completed: set[str] = set()

    def look(self, rows: Sequence[Row]) -> None:
        """Hear what some entries say."""
        heard, unheard, texts = _NAMES.findall, self._unheard, self._texts
        for row in rows:
            try:
                state = row[2]
                names = heard(state, 0, state.rfind(b',"person":'))  # No name stands in what follows the event.
            except (TypeError, AttributeError):
                continue
            unheard.difference_update(names)
            if any(len(name) == _DIGITS and name not in texts for name in names):
                self._unknown[row[0]] = {name.decode() for name in _COMMITMENTS.findall(state) if name not in texts}
            if row[8] is not None and any(texts.get(name, row[8]) != row[8] for name in names):
                self._misplaced(row[0], row[8], names)
            if row[6] in _NOTED or row[5] == 1:
                self._note(row)

    def _misplaced(self, position: int, award: str, names: Sequence[bytes]) -> None:
        """Name texts that the vault has under another award than the entry's: they would not be erased with those of theirs."""
        for name in names:
            if (found := self._texts.get(name, award)) != award:
                told = f"text {name.decode()} of entry {position} is kept as one of {found or 'no award'}, not of {award}"
                self._findings.note("vault", position, told)

    def _note(self, row: Row) -> None:
        position, _, state, _, stream, version, kind, _, award, _ = row
        if version == 1 and isinstance(stream, str) and _RECOGNISED in stream:
            self._recognised.setdefault(stream.rpartition("/")[2], position)
        if kind == "award.completed" and award is not None:
            self._completed.add(award)
        if kind in _ERASING:
            self._let_go(self._event(state))

    def _let_go(self, event: Any) -> None:
        """Hear of what went, by an entry that says so."""
        match event:
            case ErasureRecorded(texts=texts, participants=participants):
                self._erased.update(texts, participants)
            case WebhookSecretRotated(erased=texts) | WebhookRemoved(erased=texts):
                self._erased.update(texts)
            case _:  # An entry that cannot be read, which others tell.
                pass

    def inspect(self, seals: Seals | None) -> None:
        """Look the vault over, when everything that the log says was heard."""
        seals = self._fitting(seals)
        if b"" in self._unheard:
            self._say("there is a text or a participant without a name, which no entry can have named")
        for text in self._all_texts():
            self._text(text, seals)
        for participant in self._all_participants():
            self._participant(participant, seals)
        for position, names in self._unknown.items():
            if names:
                self._missing(names, position)
        for token, position in self._recognised.items():
            if token.encode() not in self._tokens and token not in self._erased:
                told = f"entry {position} is of participant {token}, whom the vault does not know"
                self._findings.note("vault", position, told)

    def _fitting(self, seals: Seals | None) -> Seals | None:
        """The vault's key, if it was given, and is the one with which the vault was made."""
        if seals is None:
            self._findings.left_out.append("what the vault's values are, as its key was not given: only that they are there")
            return None
        checked = self._reads.checked()
        if checked is None and self._texts:
            self._say("it says no more with which key it was made")
        elif checked not in {None, seals.checked}:
            self._say("the vault was made with another key than the one that is given")
            return None
        return seals

    def _all_texts(self) -> Iterator[Text]:
        after = ""
        while rows := self._reads.ask(_TEXTS, after, _AT_ONCE):
            yield from map(Text._make, rows)
            after = rows[-1][0]
            self._findings.count("texts", len(rows))

    def _all_participants(self) -> Iterator[Participant]:
        after: tuple[Any, ...] = ("", "")
        while rows := self._reads.ask(_PARTICIPANTS, *after, _AT_ONCE):
            yield from map(Participant._make, rows)
            after = rows[-1][:2]
            self._findings.count("participants", len(rows))

    def _text(self, kept: Text, seals: Seals | None) -> None:
        name, is_erased = f"text {kept.commitment}", kept.commitment in self._erased
        if kept.commitment.encode() in self._unheard:
            self._say(f"{name} is committed to by no entry")
        if kept.sealed is None:
            if not is_erased:
                self._say(f"{name} is gone, and no entry says that it was erased")
        elif is_erased:
            self._say(f"{name} is there, though an entry says that it was erased")
        elif seals is not None:
            try:
                value = seals.reveal(kept)
            except (Unsealed, ValueError, TypeError):
                self._say(f"{name} cannot be opened: it is not what was put there")
                return
            if commitment_of(kept.salt, value or "") != kept.commitment:
                self._say(f"{name} with its salt is not what its entry committed to")

    def _participant(self, met: Participant, seals: Seals | None) -> None:
        name, is_erased = f"participant {met.token} of {met.award}", met.token in self._erased
        if met.token.encode() in self._unheard:
            self._say(f"{name} is named by no entry")
        if met.sealed is None:
            if not is_erased:
                self._say(f"{name} is gone, and no entry says that the reference was erased")
        elif is_erased:
            self._say(f"{name} is there, though an entry says that the reference was erased")
        elif seals is not None:
            try:
                reference = seals.reference(met)
            except (Unsealed, ValueError, TypeError):
                self._say(f"{name} cannot be opened: it is not what was put there")
                return
            if seals.mark(met.award, reference or "") != met.mark:
                self._say(f"{name} has the mark of another reference")

    def _missing(self, names: set[str], position: int) -> None:
        """Name those that are texts which an entry commits to: keys' hashes and the like look as they do."""
        event = self._event(self._reads.ask(_STATE, position)[0][0])
        for commitment in sorted(names.intersection(text for _, text in texts_of(event))) if event is not None else ():
            self._findings.note("vault", position, f"entry {position} commits to text {commitment}, which is not in the vault")

    def _event(self, state: bytes) -> Any:
        """What an entry says; nothing if it cannot be read, which others tell."""
        try:
            return self._read(state)[0]
        except (ValueError, KeyError, TypeError):
            return None

    def _say(self, what: str) -> None:
        self._findings.note("vault", None, what)
