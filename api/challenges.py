"""Challenges: an address is told nothing before it has shown that somebody there wants to be told.

A challenge is a signed POST, as notices are and of the same media type, so that what takes the one takes the others: a CloudEvent
`webhook.challenged` with a random word as `data.challenge`. Whoever wants to be told answers with a 2xx status and the word, as
JSON, within a time:

    {"challenge": "8fRZ…"}
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from ssl import SSLContext
from typing import Any, ClassVar, Final

import orjson

from api import outgoing, webhook_signatures
from api.outgoing import AGENT, Answer, Limits, Outgoing, Rules
from api.problems import TurnedAway
from api.webhook_signatures import Key
from ledger.entry import written

_WORD_BYTES: Final = 32
_ID_BYTES: Final = 16
_LIMITS: Final = Limits(connections=1)
TYPE: Final = "webhook.challenged"
MEDIUM: Final = "application/cloudevents+json"


class ChallengeNotAnswered(TurnedAway):
    """The address did not answer the challenge with a 2xx status and its word; it is told nothing yet. Challenge it again."""

    status: ClassVar[int] = 409


def of_webhook(webhook: str, name: str, kind: str, time: str, data: Mapping[str, Any]) -> bytes:
    """What a webhook is sent of itself rather than of an award, as a CloudEvent."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": name,
            "source": f"/v1/webhooks/{webhook}",
            "type": kind,
            "subject": f"webhook/{webhook}",
            "time": time,
            "datacontenttype": "application/json",
            "data": data,
        }
    )


async def challenge(rules: Rules, webhook: str, url: str, keys: Iterable[Key], now: datetime) -> None:
    """Challenge an address; `ChallengeNotAnswered` if it does not give the word back, or `rules` do not let it be called."""
    word, name = secrets.token_urlsafe(_WORD_BYTES), f"challenge_{secrets.token_hex(_ID_BYTES)}"
    body = of_webhook(webhook, name, TYPE, written(now), {"challenge": word})
    async with Outgoing(rules, _LIMITS, _tls()) as calling:
        signed = webhook_signatures.headers(name, now, body, keys)
        answer = await calling.post(url, body, {"Content-Type": MEDIUM, "User-Agent": AGENT, **signed})
    if answer.failure is not None:
        raise ChallengeNotAnswered(failure=answer.failure)
    if not answer.good:
        raise ChallengeNotAnswered(status=answer.status)
    if not _gives_back(word, answer):
        raise ChallengeNotAnswered(status=answer.status, failure='the answer is not {"challenge": the word}')


def _gives_back(word: str, answer: Answer) -> bool:
    try:
        given: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        return False
    told = given.get("challenge") if isinstance(given, dict) else None
    return isinstance(told, str) and hmac.compare_digest(told.encode(), word.encode())


@cache
def _tls() -> SSLContext:
    return outgoing.tls()
