"""What is put right in the demo's history, paid otherwise, and brought to its end: by two administrators, between the rounds."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from api.cli.demo import history
from api.cli.demo.cast import Cast
from api.cli.demo.history import Claim, Json

FOSTERING: Final = "INDIGO-POJ-0172"
_SCHOOL, _HOMES, _JOBS = "INDIGO-POJ-0168", "INDIGO-POJ-0175", "INDIGO-POJ-0169"


@dataclass(frozen=True, slots=True)
class Corrections:
    """The deeds, each on its day; all of them can be repeated, and are then found done."""

    cast: Cast

    def deeds(self) -> Iterator[tuple[date, Callable[[], Awaitable[list[Json]]]]]:
        """The days in order, with what is done on them and what the ledger recorded of it."""
        yield date(2020, 2, 24), self.claw_back_a_job
        yield date(2020, 6, 8), self.pay_through_the_spring
        yield date(2020, 11, 23), self.raise_the_fostering_fee
        yield date(2021, 2, 22), self.claw_back_from_a_cohort
        yield date(2024, 2, 26), self.claw_back_what_nobody_pays_again
        yield date(2024, 3, 4), self.get_it_back
        yield date(2024, 3, 18), self.close

    async def claw_back_a_job(self) -> list[Json]:
        """A job that was claimed under another contract as well."""
        claim, line = _accepted(_JOBS, "EMPLOYED")
        return await self._claw_back("CB-2020-1", claim, line, "1", "duplicate")

    async def claw_back_from_a_cohort(self) -> list[Json]:
        """A register that counted some people twice."""
        claim = next(each for each in history.claims() if each.award == _HOMES and each.period.name == "2020-Q3")
        return await self._claw_back("CB-2021-1", claim, _line(claim, "WELLBEING"), "25", "quantity-overstated")

    async def claw_back_what_nobody_pays_again(self) -> list[Json]:
        """A week that a child spent at home: found when the award's last payment had been made."""
        claim, line = _accepted(FOSTERING, "FOSTER-WEEK")
        return await self._claw_back("CB-2024-1", claim, line, "7", "not-evidenced")

    async def pay_through_the_spring(self) -> list[Json]:
        """A grant on the medium scenario while schools were closed, as LCF projects had in 2020 (M10)."""
        body = {
            "other_payment": "GRANT-2020-1",
            "payment_type": "grant",
            "amount": "36500.00",
            "dated": "2020-06-01",
            "reason": "Schools are closed, and outcomes cannot be evidenced; paid on the medium scenario from April to June.",
        }
        return await self._by_two(f"/awards/{_SCHOOL}/other-payments", body, "GRANT-2020-1/agreement")

    async def raise_the_fostering_fee(self) -> list[Json]:
        """A price that was agreed in autumn for the whole financial year (M9)."""
        terms = history.terms_of(FOSTERING)
        outcomes = [{**each, "price": "1134.00"} if each["code"] == "FOSTER-WEEK" else each for each in terms["outcomes"]]
        body = {
            "terms": {**terms, "effective_from": "2020-04-01", "outcomes": outcomes},
            "reason": "Fostering allowances rose on 1 April 2020; the councils agreed the new weekly price in November.",
        }
        return await self._by_two(f"/awards/{FOSTERING}/terms", body, "2/agreement")

    async def get_it_back(self) -> list[Json]:
        """The payee pays two payers back on invoice; what the fund is owed is written off by authority."""
        award = f"/awards/{FOSTERING}"
        agreed = await self.cast.other.send(f"{award}/clawbacks/CB-2024-1/agreement", name="demo:clawback-agreed:CB-2024-1")
        made: list[Json] = []
        for entry in agreed["entries"]:
            if entry["type"] != "receivable.opened":
                continue
            _, _, _, assessment, _, payer, payee = entry["stream"].split("/")
            owed = f"{award}/receivables/{assessment}/{payer}/{payee}"
            if payer == "GB-GOR-D5":
                body = {"authority": "LCF-WO-2024-3", "reason": "Less than the cost of getting it back."}
                made.append(await self.cast.first.send(f"{owed}/write-off", body, name=f"demo:write-off:{payer}"))
                made.append(await self.cast.other.send(f"{owed}/write-off-agreement", name=f"demo:written-off:{payer}"))
                continue
            amount = (await self.cast.first.get(owed))["amount"]
            body = {"amount": amount, "reference": f"INV-{payer[-3:]}-2024-1", "value_date": "2024-03-01"}
            made.append(await self.cast.first.send(f"{owed}/recovery", body, name=f"demo:recovery:{payer}"))
        return made

    async def close(self) -> list[Json]:
        """Nothing is left to do under the award."""
        return [
            await self.cast.first.send(f"/awards/{FOSTERING}/{deed}", name=f"demo:{deed}:{FOSTERING}")
            for deed in ("closing", "completion")
        ]

    async def _claw_back(self, name: str, claim: Claim, line: int, quantity: str, reason: str) -> list[Json]:
        clawed = {"claim": claim.period.name, "line": line, "quantity": quantity}
        body: dict[str, Any] = {"clawback": name, "lines": [clawed], "reason": reason}
        raised = await self.cast.first.send(f"/awards/{claim.award}/clawbacks", body, name=f"demo:clawback:{name}")
        agreement = f"/awards/{claim.award}/clawbacks/{name}/agreement"
        return [raised, await self.cast.other.send(agreement, name=f"demo:clawback-agreed:{name}")]

    async def _by_two(self, path: str, body: Json, agreement: str) -> list[Json]:
        label = path.strip("/").replace("/", ":")
        proposed = await self.cast.first.send(path, body, name=f"demo:propose:{label}")
        return [proposed, await self.cast.other.send(f"{path}/{agreement}", name=f"demo:agree:{label}")]


def _line(claim: Claim, code: str) -> int:
    return next(number for number, each in enumerate(claim.lines, 1) if each["outcome"] == code)


def _accepted(award: str, code: str) -> tuple[Claim, int]:
    """The first claim in which a line of an outcome is accepted whole; and that line."""
    found = (
        (claim, number)
        for claim in history.claims()
        if claim.award == award
        for number, line in enumerate(claim.lines, 1)
        if line["outcome"] == code and all(each["line"] != number for each in claim.decisions)
    )
    return next(found)
