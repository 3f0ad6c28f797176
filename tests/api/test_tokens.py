"""Tokens say who somebody is, if the provider signed them for this service; every other one is refused, and told why."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from api.tokens import (
    Issuer,
    IssuerIsAway,
    TokenAlgorithmNotTaken,
    TokenForAnotherAudience,
    TokenHasExpired,
    TokenIsNoToken,
    TokenIsNotYetValid,
    TokenIsTooLong,
    TokenIsWrong,
    TokenKeyUnknown,
    TokenLacksClaims,
    TokenOfAnotherIssuer,
    TokenSignatureIsWrong,
    published,
)
from tests.api.provider import AUDIENCE, EC, ED, ISSUER, JWKS_URL, NEXT, RSA, Provider, SigningKey

NOW = 1_633_078_800
ROSA = "248289761001"


@dataclass
class Desk:
    """A service's side of a provider, with a clock that is told the time."""

    provider: Provider = field(default_factory=Provider)
    ticks: float = 1_000.0
    jwks_url: str | None = JWKS_URL

    def __post_init__(self) -> None:
        http = httpx.AsyncClient(transport=self.provider.transport, trust_env=False)
        self.issuer = Issuer(ISSUER, AUDIENCE, self.jwks_url, http=http, now=lambda: NOW, ticks=lambda: self.ticks)

    async def takes(self, token: str) -> bool:
        return await self.issuer.subject(token) == ROSA

    async def refuses(self, token: str, refusal: type[TokenIsWrong]) -> None:
        with pytest.raises(TokenIsWrong) as refused:
            await self.issuer.subject(token)
        assert type(refused.value) is refusal
        assert token not in refused.value.message


def part(said: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()


class TestATokenIsTaken:
    @pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
    async def test_signed_in_each_way_that_is_taken(self, key: SigningKey) -> None:
        assert await Desk().takes(Desk().provider.token(ROSA, key))

    async def test_signed_with_ed25519_under_its_newer_name(self) -> None:
        desk = Desk()
        assert await desk.takes(desk.provider.token(ROSA, ED, header={"alg": "Ed25519"}))

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": ["another", AUDIENCE]},
            {"exp": NOW + 1},
            {"exp": NOW + 0.5},
            {"nbf": NOW + 60, "iat": NOW + 60},
            {"nbf": NOW, "iat": NOW - 3_600, "roles": ["administrator"]},
        ],
    )
    async def test_with_claims_that_are_still_right(self, claims: dict[str, Any]) -> None:
        desk = Desk()
        assert await desk.takes(desk.provider.token(ROSA, **claims))

    @pytest.mark.parametrize("kind", ["JWT", "at+jwt", None])
    async def test_of_each_type_that_says_who_asks(self, kind: str | None) -> None:
        desk = Desk()
        assert await desk.takes(desk.provider.token(ROSA, header={"typ": kind, "x5t": "aGVhZGVycyB0aGF0IG5vYm9keSByZWFkcw"}))

    async def test_without_a_key_id_where_one_key_fits(self) -> None:
        desk = Desk()
        assert await desk.takes(desk.provider.token(ROSA, header={"kid": None}))


class TestATokenIsRefused:
    @pytest.mark.parametrize(
        ("claims", "refusal"),
        [
            ({"iss": "https://sign-in.kirklees.test/realms/public"}, TokenOfAnotherIssuer),
            ({"iss": f"{ISSUER}/"}, TokenOfAnotherIssuer),
            ({"iss": [ISSUER]}, TokenOfAnotherIssuer),
            ({"iss": None}, TokenLacksClaims),
            ({"aud": "another"}, TokenForAnotherAudience),
            ({"aud": ["another", "third"]}, TokenForAnotherAudience),
            ({"aud": []}, TokenForAnotherAudience),
            ({"aud": {AUDIENCE: 1}}, TokenForAnotherAudience),
            ({"aud": None}, TokenLacksClaims),
            ({"exp": NOW}, TokenHasExpired),
            ({"exp": NOW - 59}, TokenHasExpired),
            ({"exp": NOW - 86_400}, TokenHasExpired),
            ({"exp": None}, TokenLacksClaims),
            ({"exp": "tomorrow"}, TokenLacksClaims),
            ({"exp": True}, TokenLacksClaims),
            ({"nbf": NOW + 62}, TokenIsNotYetValid),
            ({"iat": NOW + 62}, TokenIsNotYetValid),
            ({"sub": None}, TokenLacksClaims),
            ({"sub": ""}, TokenLacksClaims),
            ({"sub": "x" * 256}, TokenLacksClaims),
            ({"sub": "rosa\n"}, TokenLacksClaims),
            ({"sub": "rosä"}, TokenLacksClaims),
            ({"sub": 248289761001}, TokenLacksClaims),
        ],
    )
    async def test_for_what_it_claims(self, claims: dict[str, Any], refusal: type[TokenIsWrong]) -> None:
        desk = Desk()
        await desk.refuses(desk.provider.token(**{"subject": ROSA, **claims}), refusal)

    async def test_unsigned(self) -> None:
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": ROSA, "exp": NOW + 60}
        for name in ("none", "None", "NONE"):
            for signature in ("", "AA"):
                token = f"{part({'alg': name, 'kid': 'ec-2021'})}.{part(said)}.{signature}"
                await Desk().refuses(token, TokenAlgorithmNotTaken)

    @pytest.mark.parametrize("form", ["pem", "modulus"])
    async def test_signed_with_the_public_key_as_if_it_were_a_secret(self, form: str) -> None:
        known = RSA.as_pem(private=False) if form == "pem" else RSA.as_dict(private=False)["n"]
        import hmac

        head, body = (
            part({"alg": "HS256", "kid": "rsa-2021"}),
            part({"iss": ISSUER, "aud": AUDIENCE, "sub": ROSA, "exp": NOW + 60}),
        )
        secret = known if isinstance(known, bytes) else str(known).encode()
        signature = base64.urlsafe_b64encode(hmac.digest(secret, f"{head}.{body}".encode(), "sha256")).rstrip(b"=").decode()
        await Desk().refuses(f"{head}.{body}.{signature}", TokenAlgorithmNotTaken)

    @pytest.mark.parametrize("name", ["HS256", "RS384", "RS512", "PS256", "ES384", "ES256K", "RSA-OAEP", "", None, 1, ["ES256"]])
    async def test_signed_in_another_way(self, name: Any) -> None:
        desk = Desk()
        _, body, signature = desk.provider.token(ROSA).split(".")
        await desk.refuses(f"{part({'alg': name, 'kid': 'ec-2021'})}.{body}.{signature}", TokenAlgorithmNotTaken)

    async def test_signed_with_a_key_of_another_kind_than_it_says(self) -> None:
        desk = Desk()
        _, body, signature = desk.provider.token(ROSA).split(".")
        await desk.refuses(f"{part({'alg': 'RS256', 'kid': 'ec-2021'})}.{body}.{signature}", TokenKeyUnknown)

    async def test_signed_by_somebody_else_under_a_key_id_that_is_known(self) -> None:
        desk = Desk()
        forged = ECKey.generate_key("P-256", {"kid": "ec-2021"})
        await desk.refuses(desk.provider.token(ROSA, forged), TokenSignatureIsWrong)

    async def test_signed_by_a_key_that_it_brings(self) -> None:
        desk = Desk()
        forged = ECKey.generate_key("P-256", {"kid": "ec-2021"})
        header = {"jwk": forged.as_dict(private=False), "jku": "http://127.0.0.1:9/keys"}
        await desk.refuses(desk.provider.token(ROSA, forged, header=header), TokenSignatureIsWrong)
        await desk.refuses(desk.provider.token(ROSA, forged, header={**header, "kid": None}), TokenSignatureIsWrong)

    async def test_changed_after_it_was_signed(self) -> None:
        desk = Desk()
        head, _, signature = desk.provider.token(ROSA).split(".")
        body = part({"iss": ISSUER, "aud": AUDIENCE, "sub": "administrator", "exp": NOW + 60})
        await desk.refuses(f"{head}.{body}.{signature}", TokenSignatureIsWrong)
        await desk.refuses(f"{head}.{body}.", TokenSignatureIsWrong)

    async def test_with_a_key_that_is_not_published(self) -> None:
        desk = Desk()
        await desk.refuses(desk.provider.token(ROSA, NEXT), TokenKeyUnknown)
        await desk.refuses(desk.provider.token(ROSA, NEXT, header={"kid": "oct"}), TokenKeyUnknown)

    async def test_without_a_key_id_where_several_keys_fit(self) -> None:
        desk = Desk(Provider(keys=[EC, NEXT]))
        await desk.refuses(desk.provider.token(ROSA, header={"kid": None}), TokenKeyUnknown)

    @pytest.mark.parametrize(
        "header", [{"crit": ["exp"], "exp": 1}, {"typ": "logout+jwt"}, {"typ": 1}, {"crit": []}, {"b64": True}], ids=str
    )
    async def test_of_a_type_that_is_for_something_else(self, header: dict[str, Any]) -> None:
        desk = Desk()
        head, body, signature = desk.provider.token(ROSA).split(".")
        told = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        await desk.refuses(f"{part({**told, **header})}.{body}.{signature}", TokenIsNoToken)

    @pytest.mark.parametrize(
        "token",
        ["", "rosa", "a.b", "a.b.c", "a.b.c.d.e", "ä.b.c", "e30.e30.", "W10.e30.AA", "eyJ.e30.AA", "..", "a b.c.d", "MTI.e30.AA"],
    )
    async def test_that_is_none(self, token: str) -> None:
        desk = Desk()
        with pytest.raises(TokenIsWrong) as refused:
            await desk.issuer.subject(token)
        assert type(refused.value) in {TokenIsNoToken, TokenAlgorithmNotTaken}

    async def test_that_nests_too_deep(self) -> None:
        deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 1_400).rstrip(b"=").decode()
        await Desk().refuses(f"{deep}.e30.AA", TokenIsNoToken)

    async def test_that_is_too_long(self) -> None:
        desk = Desk()
        await desk.refuses(desk.provider.token(ROSA, note="x" * 9_000), TokenIsTooLong)

    async def test_whose_claims_are_no_object(self) -> None:
        from joserfc import jws

        token = jws.serialize_compact({"alg": "ES256", "kid": "ec-2021"}, b"[1]", EC, ["ES256"])
        await Desk().refuses(token, TokenIsNoToken)


class TestPublishedKeys:
    async def test_are_fetched_once_and_kept_for_ten_minutes(self) -> None:
        desk = Desk()
        for ticks, asked in ((0, 1), (599, 1), (600, 2), (601, 2)):
            desk.ticks = 1_000.0 + ticks
            assert await desk.takes(desk.provider.token(ROSA))
            assert desk.provider.asked == asked

    async def test_are_found_through_the_provider_s_configuration(self) -> None:
        desk = Desk(jwks_url=None)
        assert await desk.takes(desk.provider.token(ROSA))
        assert desk.provider.asked == 2

    async def test_are_not_taken_from_another_provider_s_configuration(self) -> None:
        desk = Desk(Provider(issuer="https://elsewhere.test"), jwks_url=None)
        with pytest.raises(IssuerIsAway):
            await desk.issuer.subject(desk.provider.token(ROSA))

    async def test_are_fetched_again_for_a_new_one_and_the_old_one_goes(self) -> None:
        desk = Desk()
        assert await desk.takes(desk.provider.token(ROSA))
        desk.provider.keys = [NEXT]
        desk.ticks += 31
        assert await desk.takes(desk.provider.token(ROSA, NEXT))
        await desk.refuses(desk.provider.token(ROSA, EC), TokenKeyUnknown)

    async def test_are_not_fetched_for_each_token_that_somebody_makes_up(self) -> None:
        desk = Desk()
        for _ in range(20):
            await desk.refuses(desk.provider.token(ROSA, NEXT), TokenKeyUnknown)
        assert desk.provider.asked == 1
        desk.ticks += 31
        await desk.refuses(desk.provider.token(ROSA, NEXT), TokenKeyUnknown)
        assert desk.provider.asked == 2

    async def test_are_kept_for_a_day_while_the_provider_is_down(self) -> None:
        desk = Desk()
        assert await desk.takes(desk.provider.token(ROSA))
        desk.provider.up = False
        for hours in (1, 12, 23.9):
            desk.ticks = 1_000.0 + hours * 3_600
            assert await desk.takes(desk.provider.token(ROSA))
        desk.ticks = 1_000.0 + 24 * 3_600
        with pytest.raises(IssuerIsAway):
            await desk.issuer.subject(desk.provider.token(ROSA))
        desk.provider.up = True
        desk.ticks += 6
        assert await desk.takes(desk.provider.token(ROSA))

    async def test_that_never_came_leave_every_token_unchecked(self) -> None:
        desk = Desk(Provider(up=False))
        for _ in range(5):
            with pytest.raises(IssuerIsAway):
                await desk.issuer.subject(desk.provider.token(ROSA))
        assert desk.provider.asked == 1

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"[]",
            b"{",
            b"{}",
            b'{"keys": {}}',
            b'{"keys": []}',
            b'{"keys": [1, {"kty": "EC", "crv": "P-256"}]}',
            b" " * 300_000,
        ],
        ids=range(8),
    )
    async def test_that_cannot_be_read_are_none(self, answer: bytes) -> None:
        desk = Desk(Provider(answer=answer))
        with pytest.raises(IssuerIsAway):
            await desk.issuer.subject(desk.provider.token(ROSA))

    async def test_are_fetched_once_for_all_who_wait(self) -> None:
        import asyncio

        desk = Desk()
        assert all(await asyncio.gather(*(desk.takes(desk.provider.token(ROSA)) for _ in range(20))))
        assert desk.provider.asked == 1

    def test_are_those_that_can_sign_tokens(self) -> None:
        short = base64.urlsafe_b64encode(b"\xff" * 128).rstrip(b"=").decode()
        keys = [
            EC.as_dict(private=False),
            {**EC.as_dict(private=False), "use": "enc"},
            {**RSA.as_dict(private=False), "n": short},
            OctKey.generate_key().as_dict(private=True),
            ECKey.generate_key("P-384").as_dict(private=False),
        ]
        assert [each.kid for each in published({"keys": keys})] == ["ec-2021"]
        assert isinstance(published({"keys": [RSA.as_dict(private=False)]})[0].key, RSAKey)
