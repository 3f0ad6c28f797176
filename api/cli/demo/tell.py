"""What the demo says: what it plays, what became of the awards, that it adds up, and what to try next."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import FastAPI

from api.cli.access import Access, Mistaken
from api.cli.accounts import show_overview, show_years
from api.cli.demo import history
from api.cli.demo.cast import OPEN
from api.cli.inspection import look_over
from api.cli.screen import bar, pounds, say
from api.settings import Settings

_RULE = "─" * 100


def begins(*, again: bool) -> None:
    """Say what is going to be played, and what of it is true."""
    if again:
        say(
            "The demo was interrupted here: it is played on from its beginning. What is recorded already is not recorded twice.",
            "",
        )
    say(
        "Life Chances Ledger: five awards of the Life Chances Fund whose award and maximum are published.",
        "",
        "  true        awards, maxima, shares, months and parties, with their sources (api/cli/demo/awards.json)",
        "  invented    what happens: claims, people, payments; prices per outcome, which were never published (illustrative);",
        "              bank details; org-ids that begin with X-, and what the file calls `invented`",
        "  simulated   the clock: August 2018 to March 2025 pass in a few seconds",
        "",
    )
    for award in history.packaged()["awards"]:
        published = award["published"]
        say(
            f"  {published['indigo_id']}  {published['project']}: the LCF pays {published['lcf_share']} of"
            f" {pounds(published['max_outcome_payment_gbp'])}, at most {pounds(published['lcf_award_gbp'])}"
        )
    say("")


def goes_on(ours: Settings) -> None:
    """Say that nothing is played again."""
    say(
        f"The demo goes on from what is on disk in {ours.data_dir}: the history was played before, and is not played again.",
        "(Its clock was simulated, its prices are illustrative. Delete the folder to begin anew.)",
        "",
    )


async def awards(app: FastAPI, overseer: Access) -> None:
    """Show every award's balances, and check them."""
    await asyncio.to_thread(app.state.views.catch_up)
    registered = await overseer.every("/awards")
    balances = [await overseer.get(f"/awards/{award['reference']}/balances") for award in registered]
    for award, balance in zip(registered, balances, strict=True):
        show_years(balance, f"{award['reference']} {award['title']}")
        spent = ", ".join(payer["payer"] for payer in balance["payers"] if payer["remaining"] == "0.00")
        say(
            f"  cut off by limits: {_limits(balance) or 'nothing'}; at their maximum, so that others pay: {spent or 'nobody'}", ""
        )
    show_overview(balances, "All awards (prices are illustrative, the clock was simulated)")
    say("accepted = assessed + curtailed + awaiting certification; outstanding = due to payees, not yet paid or netted off", "")
    await asyncio.to_thread(_check, app)


def _limits(balance: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {pounds(amount)}" for name, amount in balance["curtailed_by"].items())


def _check(app: FastAPI) -> None:
    """Show on the spot that it adds up; a failure ends the demo."""
    ledger, views = app.state.ledger, app.state.views
    total = views.balances.trial_balance()
    say(f"{'✓' if total == 0 else '✗'} all postings together make {pounds(str(total))}")
    with bar() as progress:
        task = progress.add_task("Rebuilding the read models in memory", total=None)
        checked = views.check(lambda done, size: progress.update(task, completed=done, total=size))
        wrong = [difference for each in checked for difference in each.differences]
        rows = ", ".join(each.name for each in checked)
        task = progress.add_task("Sealing the log anew", total=None)
        log = look_over(app.state.settings, ledger.log, lambda done, size: progress.update(task, completed=done, total=size))
    say(f"{'✗' if wrong else '✓'} the read models rebuilt from the log equal the followed ones ({rows})")
    entries, heads = log.counts["entries"], log.counts["heads"]
    say(f"{'✗' if log.faults else '✓'} {entries:,} entries under {heads:,} heads; root {log.root.hex()}", "")
    if total or wrong or log.faults:
        raise Mistaken("Something does not add up: " + "; ".join([*wrong, *map(str, log.faults)][:5]))


# What to try ----------------------------------------------------------------------------------------------------------


def ways(address: str, keys: Mapping[str, str], ours: Settings) -> None:
    """Tell keys, addresses and commands that can be pasted as they are."""
    say(_RULE, f"Serving on {address} until you press Ctrl-C. The ledger is in {ours.data_dir}.", "")
    say("Keys, fresh for this run; those of former runs open nothing any more:")
    for who, key in keys.items():
        say(f"  export {who.upper()}={key}")
    say("", f"The award {OPEN} is invented and open. Paste the keys above, then, one after the other:", "")
    say(f"  export LEDGER={address}/v1 AWARD={OPEN}")
    for told, command in _commands():
        say("", f"  # {told}", *(f"  {line}" for line in command.splitlines()))
    say(
        "",
        "Also try what must be refused: the claimant verifies, the verifier approves, the same claim again under another key.",
        f"In another terminal: export LCLEDGER_DATA_DIR={ours.data_dir}; lcledger balances --all; lcledger trail {OPEN}",
        f"The service describes itself at {address}/v1/openapi.json.",
        _RULE,
    )


def _commands() -> list[tuple[str, str]]:
    day = date.today() - timedelta(days=1)  # noqa: DTZ011 (a day for the user to paste)
    period = f"{day:%Y-%m}"
    now = datetime.now(UTC)
    claim, run = f"{period}-{now:%d%H%M%S}", f"RIVERTON-{now:%Y%m%d%H%M%S}"
    return [
        (
            "What the award has come to: claimed, assessed, paid, remaining",
            'curl -s -H "Authorization: Bearer $AUDITOR" $LEDGER/awards/$AWARD/balances',
        ),
        (
            "The claimant submits a claim of two lines",
            _post("CLAIMANT", "claims", _claim(claim, day), name=f"try-{claim}"),
        ),
        (
            "The verifier accepts 18 of 20 workshop places and everything else, with a reason",
            _post(
                "VERIFIER",
                f"claims/{claim}/verification",
                '{"lines":[{"line":1,"accepted":"18","rejected":"2","reason":"not-evidenced"}],"others":"accepted"}',
                name=f"try-{claim}-verify",
            ),
        ),
        (
            "What each line earned and why (assessment 2, unless you verified another claim first)",
            'curl -s -H "Authorization: Bearer $AUDITOR" $LEDGER/awards/$AWARD/assessments/2',
        ),
        (
            "The approver approves what Riverton Council owes by assessment 1",
            _post("APPROVER", "payments/1/GB-LAE-X-RIVERTON/approval", None, name="try-approve-1"),
        ),
        (
            "The administrator draws up a payment run, and the releaser releases it",
            _post(
                "ADMINISTRATOR",
                "",
                f'{{"run":"{run}","payer":"GB-LAE-X-RIVERTON","account":"MAIN","payments":[{{"award":"{OPEN}","assessment":1}}]}}',
                name=f"try-{run}",
                root="payment-runs",
            )
            + "\n"
            + _post("RELEASER", f"{run}/release", None, name=f"try-{run}-release", root="payment-runs"),
        ),
        (
            "The file for the bank, and the whole story of the award",
            (
                f'curl -s -H "Authorization: Bearer $RELEASER" $LEDGER/payment-runs/{run}/export\n'
                'curl -s -H "Authorization: Bearer $AUDITOR" "$LEDGER/awards/$AWARD/trail?limit=20"'
            ),
        ),
    ]


def _claim(claim: str, day: date) -> str:
    lines = [
        {"outcome": "WORKSHOP", "quantity": "20", "achieved_on": day.isoformat()},
        {"outcome": "HOME-WEEK", "participant": "NEXT-002", "quantity": "24", "achieved_on": day.isoformat()},
    ]
    period = {"first": day.replace(day=1).isoformat(), "last": day.isoformat()}
    return json.dumps({"claim": claim, "period": period, "lines": lines}, separators=(",", ":"))


def _post(who: str, path: str, body: str | None, *, name: str, root: str = "awards/$AWARD") -> str:
    sent = f" \\\n  -H 'Content-Type: application/json' -d '{body}'" if body else ""
    address = f"$LEDGER/{root}/{path}".rstrip("/")
    return f'curl -s -X POST {address} -H "Authorization: Bearer ${who}" -H "Idempotency-Key: {name}"{sent}'
