"""Every kind of command that there is, in one history of several awards, each sent by somebody who may."""

from typing import Any, Final

from domain.log import introduction
from ledger.notes import SEED_BYTES, Signer
from tests.api import story
from tests.api.receiver import receiving
from tests.api.story import AWARD, KIRKLEES, PROVIDER, SOCIAL_PRIME, TOP_UP, Service
from tests.api.test_opening_positions import POSITION
from tests.api.test_other_payments import GRANT

IT: Final = f"/v1/awards/{AWARD}"
OPENED, ENDED = "INDIGO-POJ-0176", "INDIGO-POJ-0177"
LOST: Final = "lost"
"""The idempotency key of the request for a key whose secret nobody keeps."""
WHY: Final = {"reason": "The board wanted it so."}
PAYERS: Final[list[dict[str, Any]]] = [story.TERMS["payers"][0], {**story.TERMS["payers"][1], "pays": "by-itself"}]


async def happen(service: Service) -> None:
    """Send every kind of command at least once, and have each recorded."""
    await story.gather(service)
    await _those_who_have_a_part(service)
    await story.agree_award(service, payers=PAYERS)
    await _claim(service)
    await _payments(service)
    await _clawback(service)
    await _reconsideration(service)
    await _other_payment(service)
    await service.first.does(f"{IT}/erasures", {"reason": "data-subject-request", "participants": ["KIR-0042"]})
    await _certification(service)
    await _opening_position(service)
    await _end(service)
    await _webhooks(service)
    await service.first.does("/v1/log/keys", new_key(service, Signer(bytes(range(SEED_BYTES)))))


async def go_further(service: Service) -> None:
    """What moves amounts in other ways: a payment is stopped, and returned; a claim is declined, one restated, and lapses."""
    today = service.clock.now.date().isoformat()
    await story.approve(service, 6)
    await story.agree_details(service, account_number="55779912")
    await story.approve(service, 6)
    await story.draw_up(service, "KIR-2022-04", assessment=6)
    await service.rhea.does("/v1/payment-runs/KIR-2022-04/release")
    back = {"reason": "account-closed", "on": today}
    await service.first.does(f"{IT}/payments/6/{KIRKLEES}/return", back)
    for name in ("2022-Q2A", "2022-Q2B"):
        lines = [story.line("SUPPORT", None, "24", on="2022-04-02")]
        claim = {**story.claim(name, lines), "period": {"first": "2022-04-01", "last": "2022-06-30"}}
        await service.cora.does(f"{IT}/claims", claim)
    await story.verify(service, "2022-Q2A")
    declined = {"decision": "declined", "reason": "duplicate"}
    await service.cesar.does(f"{IT}/claims/2022-Q2A/certification", declined)
    await service.vera.does(f"{IT}/claims/2022-Q2B/verification", {"others": "deferred"})
    outcomes = [*story.TERMS["outcomes"][:2], {**story.TERMS["outcomes"][2], "price": "900.00"}]
    terms = {**story.TERMS, "payers": PAYERS, "effective_from": "2022-04-01", "certification": True}
    await service.first.does(f"{IT}/terms", {"terms": {**terms, "outcomes": outcomes}, **WHY})
    await service.ada.does(f"{IT}/terms/5/agreement")
    await service.first.does(f"{IT}/closing")


def new_key(service: Service, old: Signer) -> dict[str, Any]:
    """Another key for the log, with what it and the present one sign of it; a checkpoint is signed before."""
    new = Signer(bytes(SEED_BYTES))
    service.app.state.checkpoints.sign(old)
    text = introduction(new.public.hex(), old.public.hex())
    signed = {name: key.sign("key", text).signature.hex() for name, key in (("signature", new), ("vouched", old))}
    return {"public_key": new.public.hex(), "replaces": old.public.hex(), **signed}


async def _those_who_have_a_part(service: Service) -> None:
    details = f"/v1/parties/{PROVIDER}/bank-details"
    await service.first.does(f"{details}/proposal", story.ACCOUNT)
    await service.ada.does(f"{details}/withdrawal", WHY)
    lost = await service.first.does(
        "/v1/keys", {"person": service.vera.person, "roles": ["verifier"], "awards": [AWARD]}, key=LOST
    )
    revoked = await service.first.delete(f"/v1/keys/{lost['key']}")
    assert revoked.status_code == 201, revoked.text


async def _claim(service: Service) -> None:
    """One that is withdrawn, and one that came late, is asked about, and verified."""
    await story.submit(service, "2021-Q2")
    await service.cora.does(f"{IT}/claims/2021-Q2/withdrawal", WHY)
    backlog = {"received_on": "2021-09-29", "reason": "It lay in another inbox."}
    await service.first.does(f"{IT}/claims", {**story.claim(), "claimant": SOCIAL_PRIME, "backlog": backlog})
    claim = f"{IT}/claims/2021-Q3"
    await service.ada.does(f"{claim}/receipt-confirmation")
    await service.vera.does(f"{claim}/query", {"question": "Which home?"})
    await service.cora.does(f"{claim}/answer", {"answer": "In Dewsbury."})
    await story.verify(service)


async def _payments(service: Service) -> None:
    """Of one that pays by itself, and of one that pays through a run; what it paid comes back and is made again."""
    payment, today = f"{IT}/payments/1/{TOP_UP}", service.clock.now.date().isoformat()
    report = {"reference": "LCF-2021-10-0042", "value_date": today}
    await service.first.does(f"{payment}/reported-payment", report)
    await service.first.does(f"{payment}/reported-payment-withdrawal")
    await service.first.does(f"{payment}/reported-payment", report)
    await service.ada.does(f"{payment}/reported-payment-confirmation")
    payment = f"{IT}/payments/1/{KIRKLEES}"
    await service.first.does(f"{payment}/hold", WHY)
    await service.first.does(f"{payment}/hold-release")
    await story.approve(service)
    await story.draw_up(service, "KIR-2021-09")
    await service.first.does("/v1/payment-runs/KIR-2021-09/cancellation", WHY)
    await story.draw_up(service)
    await service.rhea.does("/v1/payment-runs/KIR-2021-10/release")
    service.clock.forward(days=2)
    await story.settle(service, "1985.78")
    today = service.clock.now.date().isoformat()
    await service.first.does(f"{payment}/return", {"reason": "account-closed", "on": today})
    await service.first.does(f"{payment}/reissue", {"due_on": today})


async def _clawback(service: Service) -> None:
    """One that is withdrawn, and one of which a part is paid back and the rest written off."""
    lines = [{"claim": "2021-Q3", "line": 1, "quantity": "1"}]
    for clawback in ("CB-1", "CB-2"):
        body = {"clawback": clawback, "lines": lines, "reason": "other", "note": "No home."}
        await service.vera.does(f"{IT}/clawbacks", body)
    await service.vera.does(f"{IT}/clawbacks/CB-1/withdrawal", WHY)
    await service.first.does(f"{IT}/clawbacks/CB-2/agreement")
    owed = f"{IT}/receivables/2/{TOP_UP}/{SOCIAL_PRIME}"
    today = service.clock.now.date().isoformat()
    await service.first.does(f"{owed}/recovery", {"amount": "100.00", "reference": "INV-7", "value_date": today})
    for authority in ("DCMS-7", "DCMS-8"):
        await service.first.does(f"{owed}/write-off", {"authority": authority, **WHY})
        await service.ada.does(f"{owed}/{'write-off-withdrawal' if authority == 'DCMS-7' else 'write-off-agreement'}")


async def _reconsideration(service: Service) -> None:
    """Of what a lower limit had curtailed, when it is higher again."""
    await _vary(service, 2, award_amount="3500.00")
    await story.submit(service, "2021-Q4", [story.line(participant=f"KIR-010{number}") for number in range(2)])
    await story.verify(service, "2021-Q4")
    await _vary(service, 3)
    lines = [{"claim": "2021-Q4", "line": 2}]
    for reconsideration in ("RC-1", "RC-2"):
        await service.first.does(f"{IT}/reconsiderations", {"reconsideration": reconsideration, "lines": lines, **WHY})
    await service.ada.does(f"{IT}/reconsiderations/RC-1/withdrawal", WHY)
    await service.ada.does(f"{IT}/reconsiderations/RC-2/agreement")


async def _other_payment(service: Service) -> None:
    for other in ("GRANT-1", "GRANT-2"):
        await service.first.does(f"{IT}/other-payments", {**GRANT, "other_payment": other})
    await service.cesar.does(f"{IT}/other-payments/GRANT-1/withdrawal", WHY)
    await service.cesar.does(f"{IT}/other-payments/GRANT-2/agreement")


async def _certification(service: Service) -> None:
    """Of a claim under terms that want it."""
    await _vary(service, 4, effective_from="2022-04-01", certification=True)
    service.clock.forward(days=200)
    claim = {**story.claim("2022-Q2", [story.line(on="2022-04-02", participant="KIR-0200")])}
    await service.cora.does(f"{IT}/claims", {**claim, "period": {"first": "2022-04-01", "last": "2022-06-30"}})
    await story.verify(service, "2022-Q2")
    await service.cesar.does(f"{IT}/claims/2022-Q2/certification", {"decision": "certified"})


async def _webhooks(service: Service) -> None:
    """One of an investor that answers its challenge, is disabled and enabled, and in the end removed."""
    async with receiving() as receiver:
        made = await service.ivo.does("/v1/webhooks", {"url": receiver.url, "description": "The reporting desk"})
        webhook = f"/v1/webhooks/{made['webhook']}"
        await service.ivo.does(f"{webhook}/challenge")
        await service.ivo.does(f"{webhook}/disabling")
        await service.ivo.does(f"{webhook}/enabling")
        await service.ivo.does(f"{webhook}/change", {"types": ["payment.*"]})
        await service.ivo.does(f"{webhook}/secrets", {})
        await service.ivo.does(f"{webhook}/secrets", {"overlap_hours": 0})
        removed = await service.ivo.delete(webhook)
        assert removed.status_code == 201, removed.text


async def _opening_position(service: Service) -> None:
    await story.agree_award(service, OPENED)
    opening = f"/v1/awards/{OPENED}/opening-position"
    await service.first.does(opening, POSITION)
    await service.ada.does(f"{opening}/withdrawal", WHY)
    await service.first.does(opening, POSITION)
    await service.ada.does(f"{opening}/agreement")


async def _end(service: Service) -> None:
    """An award under which nothing happens is paused, goes on, is closed and completed."""
    await story.agree_award(service, ENDED)
    ended = f"/v1/awards/{ENDED}"
    for step, then in (("pause", "withdrawal"), ("pause", "agreement"), ("resume", "agreement")):
        await service.first.does(f"{ended}/step", {"step": step, **WHY})
        await service.ada.does(f"{ended}/step/{then}")
    await service.first.does(f"{ended}/closing")
    await service.first.does(f"{ended}/completion")


async def _vary(service: Service, version: int, **changes: Any) -> None:
    """Further terms, from today on unless they say otherwise."""
    terms = {**story.TERMS, "payers": PAYERS, "effective_from": service.clock.now.date().isoformat(), **changes}
    await service.first.does(f"{IT}/terms", {"terms": terms, **WHY})
    await service.ada.does(f"{IT}/terms/{version}/agreement")
