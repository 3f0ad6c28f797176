"""An identity provider that the tests sign in with: its keys, its tokens, and what it publishes."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from api.tokens import _SIGNED

AUDIENCE: Final = "life-chances-ledger"
ISSUER: Final = "https://sign-in.kirklees.test/realms/staff"
JWKS_URL: Final = f"{ISSUER}/keys"
NEVER: Final = 4_102_444_800
"""The year 2100: past every clock of the tests, simulated or not."""

SigningKey = RSAKey | ECKey | OKPKey
# Made once: an RSA key takes its time.
RSA: Final = RSAKey.generate_key(2048, {"kid": "rsa-2021"})
EC: Final = ECKey.generate_key("P-256", {"kid": "ec-2021"})
ED: Final = OKPKey.generate_key("Ed25519", {"kid": "ed-2021"})
NEXT: Final = ECKey.generate_key("P-256", {"kid": "ec-2022"})


def algorithm_of(key: SigningKey) -> str:
    """How tokens are signed with a key."""
    return {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[key.key_type]


@dataclass
class Provider:
    """Signs tokens, and publishes keys as long as it is up."""

    issuer: str = ISSUER
    keys: list[SigningKey] = field(default_factory=lambda: [RSA, EC, ED])
    up: bool = True
    asked: int = 0
    answer: bytes | None = None
    """What it says instead of its keys."""

    def token(self, subject: Any, key: SigningKey = EC, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token; a claim that is None is left out."""
        said = {"iss": self.issuer, "aud": AUDIENCE, "sub": subject, "exp": NEVER, **claims}
        body = json.dumps({name: value for name, value in said.items() if value is not None})
        head = {"alg": algorithm_of(key), "kid": key.kid, "typ": "JWT", **(header or {})}
        return jws.serialize_compact(
            {name: value for name, value in head.items() if value is not None}, body, key, registry=_SIGNED
        )

    def published(self) -> bytes:
        """Its keys, among others that are for nothing here."""
        secret = OctKey.import_key("a secret that a careless provider publishes").as_dict(private=True)
        other = {"kty": "AKP", "kid": "of-tomorrow", "alg": "ML-DSA-44", "pub": "AA"}
        return json.dumps(
            {"keys": [other, {**secret, "kid": "oct"}, *(key.as_dict(private=False) for key in self.keys)]}
        ).encode()

    def respond(self, path: str) -> tuple[int, bytes]:
        """What it answers."""
        self.asked += 1
        if not self.up:
            return 503, b""
        if path.endswith("/.well-known/openid-configuration"):
            return 200, json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode()
        return 200, self.published() if self.answer is None else self.answer

    @property
    def transport(self) -> httpx.MockTransport:
        """Where the way is not the point: no network at all."""

        def answer(request: httpx.Request) -> httpx.Response:
            status, body = self.respond(request.url.path)
            return httpx.Response(status, content=_sent(body))

        return httpx.MockTransport(answer)


async def _sent(body: bytes) -> AsyncIterator[bytes]:
    yield body  # in a stream, as it would come over a network


@contextmanager
def listening() -> Iterator[Provider]:
    """A provider that is really asked over HTTP, on the loopback."""
    provider = Provider()

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = provider.respond(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}/realms/staff"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
