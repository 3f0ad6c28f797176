"""Who acts in the demo: invented people, each with a key of their own, because four eyes are those of two persons (L1)."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from api.cli.access import Access, Mistaken
from api.cli.demo import history

FUND: Final = "GB-GOR-PB188"
OPEN: Final = "OPEN-FOR-YOU"


@dataclass(frozen=True, slots=True)
class Part:
    """Somebody's part: for whom they act, what they may do, and on which awards."""

    who: str
    name: str
    party: str
    roles: tuple[str, ...]
    awards: tuple[str, ...] = ()


SECOND: Final = Part("second", "Second administrator (invented)", FUND, ("administrator",))
_OF_THE_FUND: Final = (
    Part("verifier", "Verifier (invented)", FUND, ("verifier",), ("*",)),
    Part("approver", "Approver (invented)", FUND, ("approver",), ("*",)),
    Part("releaser", "Releaser (invented)", FUND, ("releaser",), ("*",)),
)


def claimant_of(award: str) -> str:
    """Who claims under an award."""
    return f"claimant-{award}"


def certifier_of(award: str) -> str:
    """Who certifies claims under an award."""
    return f"certifier-{award}"


def _party(terms: dict[str, Any], *roles: str) -> str:
    return next(str(each["party"]) for role in roles for each in terms["parties"] if role in each["roles"])


def _of_award(award: str, terms: dict[str, Any]) -> Iterable[Part]:
    yield Part(claimant_of(award), "Claimant (invented)", _party(terms, "spv", "provider"), ("claimant",), (award,))
    if terms.get("certification"):
        yield Part(certifier_of(award), "Certifier (invented)", _party(terms, "lead-commissioner"), ("certifier",), (award,))


def history_parts() -> tuple[Part, ...]:
    """Everybody who acts in the history."""
    registered = [each["registration"] for each in (*history.packaged()["awards"], history.packaged()["open"])]
    return (*_OF_THE_FUND, *(part for each in registered for part in _of_award(each["reference"], each["terms"])))


def parts_for_you() -> tuple[Part, ...]:
    """Whose keys whoever runs the demo is given: everybody of the open award, and those who oversee all."""
    terms = history.packaged()["open"]["registration"]["terms"]
    return (
        Part("claimant", "Claimant (invented)", _party(terms, "provider"), ("claimant",), (OPEN,)),
        Part("verifier", "Verifier (invented)", FUND, ("verifier",), (OPEN,)),
        Part("approver", "Approver (invented)", FUND, ("approver",), (OPEN,)),
        Part("releaser", "Releaser (invented)", FUND, ("releaser",), (OPEN,)),
        Part("administrator", "Administrator (invented)", FUND, ("administrator",)),
        Part("auditor", "Auditor (invented)", FUND, ("auditor",)),
    )


@dataclass(slots=True)
class Cast:
    """The people of the demo with their keys. `issued` has the ids of the keys that were given out in this run."""

    http: httpx.AsyncClient
    first: Access
    second: Access | None = None
    people: dict[str, str] = field(default_factory=dict)
    playing: dict[str, Access] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)

    def __getitem__(self, who: str) -> Access:
        return self.playing[who]

    @property
    def other(self) -> Access:
        """The second administrator."""
        if self.second is None:
            raise LookupError("there is no second administrator yet")
        return self.second

    async def meet(self, part: Part) -> str:
        """The person of a part, registered once for all runs."""
        if part.who not in self.people:
            body = {"party": part.party, "name": part.name}
            recorded = await self.first.send("/people", body, name=f"demo:person:{part.who}")
            self.people[part.who] = recorded["entries"][0]["stream"].removeprefix("person/")
        return self.people[part.who]

    async def give(self, part: Part) -> str:
        """Give a part a fresh key, agreed by the second administrator where that is needed; the key as it is shown."""
        person = await self.meet(part)
        body = {"person": person, "roles": list(part.roles), "awards": list(part.awards)}
        answer = await self.first.send("/keys", body, name=f"demo:key:{secrets.token_hex(8)}")
        shown = str(answer["secret"])
        key = str(answer["key"])
        self.issued.append(key)
        if answer["needs_agreement"]:
            if self.second is None:
                raise Mistaken(
                    "The demo was interrupted while it made its second administrator: delete its folder and begin anew."
                )
            await self.second.send(f"/keys/{key}/agreement")
        self.playing[part.who] = Access(self.http, shown)
        return shown

    async def take_back(self, keys: Iterable[str]) -> None:
        """Revoke keys; those that are revoked already stay so."""
        for key in keys:
            await self.first.send(f"/keys/{key}", method="DELETE", name=f"demo:revoke:{key}")
