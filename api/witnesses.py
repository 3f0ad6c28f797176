"""Witnesses: asked to cosign our checkpoints (C2SP tlog-witness), and one of our own, for the logs of others."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import httpx
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from api import logs
from api.settings import KnownWitness
from ledger import notes
from ledger.checkpoints import Checkpoints, Signed
from ledger.log import Damaged
from ledger.notes import Line, NoteIsWrong
from ledger.witness import MOST_BYTES, SIZE, Asked, Witness

_TIMEOUT_S: Final = 10.0
log = logs.logger(__name__)


class WitnessRefuses(RuntimeError):
    """A witness does not cosign the last checkpoint."""


def ask_all(witnesses: Sequence[KnownWitness], checkpoints: Checkpoints) -> dict[str, str]:
    """Have every witness cosign the last checkpoint that has not; gives, by name, why one did not."""
    signed = checkpoints.last()
    failed: dict[str, str] = {}
    if signed is None:
        return failed
    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as http:
        for witness in witnesses:
            try:
                ask(witness, checkpoints, signed, http)
            except (WitnessRefuses, NoteIsWrong, Damaged) as failure:
                failed[witness.verifier.name] = str(failure)
            except httpx.HTTPError as failure:
                failed[witness.verifier.name] = f"it cannot be reached: {type(failure).__name__}"
    return failed


def ask(witness: KnownWitness, checkpoints: Checkpoints, signed: Signed, http: httpx.Client) -> None:
    """Have a witness cosign a checkpoint, unless it has; `WitnessRefuses` says that it does not."""
    old = checkpoints.reads.cosigned(witness.verifier.vkey)
    if old == signed.size:
        return
    answer = _post(witness, checkpoints, signed, old, http)
    if answer.status_code == httpx.codes.CONFLICT and answer.headers.get("content-type", "").startswith(SIZE):
        with suppress(ValueError):  # It knows another size than we do, as after a restore.
            told = int(answer.text)
            if told != old and told <= signed.size:
                answer = _post(witness, checkpoints, signed, told, http)
    if answer.status_code != httpx.codes.OK:
        raise WitnessRefuses(f"it answered {answer.status_code}: {answer.text[:200].strip()}")
    checkpoints.cosign(signed, witness.verifier, _line(witness, signed, answer.text))


def _post(witness: KnownWitness, checkpoints: Checkpoints, signed: Signed, old: int, http: httpx.Client) -> httpx.Response:
    tree, proof = checkpoints.tree, list[bytes]()
    if old:
        proof = tree.consistency(old, signed.size, tree.root(old), checkpoints.root_of(signed))
    text, _ = notes.parsed(signed.note)
    body = Asked(old, proof, text, signed.note, signed.checkpoint).written()
    return http.post(f"{witness.address.rstrip('/')}/add-checkpoint", content=body.encode())


def _line(witness: KnownWitness, signed: Signed, answer: str) -> Line:
    """The witness's own line among those that it gave."""
    text, _ = notes.parsed(signed.note)
    for told in answer.splitlines():
        line = Line.read(told)
        if witness.verifier.signed(text, line):
            return line
    raise WitnessRefuses("it signed by another key than the one that is set")


def create_app(witness: Witness) -> FastAPI:
    """A witness, as others ask it."""
    app = FastAPI(title="Life Chances Ledger witness", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request.stream())
        if body is None:
            return Response("the request is too long\n", 413)
        answer = await run_in_threadpool(witness.add, body.decode("utf-8", "replace"))
        log.info("asked", status=answer.status, told=answer.body.strip()[:200])
        return Response(answer.body, answer.status, headers={"Content-Type": answer.kind})

    return app


async def _body(chunks: AsyncIterator[bytes]) -> bytes | None:
    """A body, unless it is too long."""
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return body


class Refusal(NamedTuple):
    """Why a witness did not cosign the last checkpoint, and when it was asked."""

    at: datetime
    why: str


class Asking:
    """Asks witnesses whenever a checkpoint is signed, and complains once of each that does not cosign."""

    def __init__(self, witnesses: Sequence[KnownWitness], now: Callable[[], datetime]) -> None:
        self.refusals: Mapping[str, Refusal] = {}
        """What each said last, by its name, until it cosigns again. Known to the process that asks, as of its start."""
        self._witnesses = witnesses
        self._now = now

    def __call__(self, checkpoints: Checkpoints) -> None:
        """Have all of them cosign the last checkpoint, and remember who did not."""
        before, failed = self.refusals, ask_all(self._witnesses, checkpoints)
        self.refusals = {name: Refusal(self._now(), why) for name, why in failed.items()}
        for name, why in failed.items():
            if name not in before or before[name].why != why:
                log.error("a witness does not cosign", witness=name, why=why)
