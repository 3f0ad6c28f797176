"""Webhooks are signed as Standard Webhooks says: others verify it, and nothing can be changed on the way."""

import base64
import hmac
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from api.webhook_signatures import ID, SIGNATURE, TIMESTAMP, NotAKey, PrivateKey, Secret, headers, read

# The examples that the libraries of Standard Webhooks are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
NAME = "msg_p5jXN8AQM9LWM0D4loKWxJek"
MOMENT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
BY_SECRET = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
BY_KEY = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def verify(public: str, told: dict[str, str], body: bytes) -> None:
    """Verify `v1a` as a receiver would, with nothing of ours; `InvalidSignature` if it is wrong."""
    (signature,) = [each for each in told[SIGNATURE].split(" ") if each.startswith("v1a,")]
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    key.verify(base64.b64decode(signature.removeprefix("v1a,")), b"%b.%b." % (told[ID].encode(), told[TIMESTAMP].encode()) + body)


class TestHeaders:
    def test_are_those_of_the_public_examples(self) -> None:
        assert headers(NAME, MOMENT, BODY, [read(SECRET), read(PRIVATE)]) == {
            ID: NAME,
            TIMESTAMP: "1614265330",
            SIGNATURE: f"{BY_SECRET} {BY_KEY}",
        }

    @pytest.mark.parametrize("zone", [timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Europe/London")])
    def test_are_the_same_whatever_the_time_zone(self, zone: timezone | ZoneInfo) -> None:
        summer = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)
        assert headers(NAME, summer.astimezone(zone), BODY, [read(SECRET)]) == headers(NAME, summer, BODY, [read(SECRET)])

    def test_need_a_time_zone(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            headers(NAME, MOMENT.replace(tzinfo=None), BODY, [read(SECRET)])

    def test_have_a_signature_by_each_secret_while_it_changes_hands(self) -> None:
        old, new = Secret.new(), Secret.new()
        both = headers(NAME, MOMENT, BODY, [new, old])[SIGNATURE].split(" ")
        assert both == [headers(NAME, MOMENT, BODY, [each])[SIGNATURE] for each in (new, old)]
        assert len(set(both)) == 2

    def test_are_verified_by_the_public_package(self) -> None:
        old, new = Secret.new(), Secret.new()
        told = headers(NAME, datetime.now(UTC), BODY, [new, old, PrivateKey.new()])
        for known in (old, new):
            assert Webhook(known.shown).verify(BODY, told) == {"test": 2432232314}
        with pytest.raises(WebhookVerificationError):
            Webhook(Secret.new().shown).verify(BODY, told)
        with pytest.raises(WebhookVerificationError):
            Webhook(new.shown).verify(BODY.replace(b"4", b"5"), told)

    def test_are_verified_by_whoever_knows_the_public_key(self) -> None:
        key = PrivateKey.new()
        verify(key.public, headers(NAME, MOMENT, BODY, [Secret.new(), key]), BODY)

    @pytest.mark.parametrize("what", ["body", ID, TIMESTAMP])
    def test_do_not_fit_what_was_changed(self, what: str) -> None:
        told = headers(NAME, MOMENT, BODY, [read(SECRET), read(PRIVATE)])
        body = BODY.replace(b"4", b"5") if what == "body" else BODY
        changed = told | ({} if what == "body" else {what: told[what].replace("5", "6")})
        with pytest.raises(InvalidSignature):
            verify(PUBLIC, changed, body)
        message = b".".join((changed[ID].encode(), changed[TIMESTAMP].encode(), body))
        code = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), message, sha256)
        assert base64.b64encode(code).decode() not in told[SIGNATURE]


class TestRead:
    @pytest.mark.parametrize("shown", [SECRET, PRIVATE])
    def test_gives_what_was_shown(self, shown: str) -> None:
        assert read(shown).shown == shown

    def test_knows_the_public_half(self) -> None:
        assert PrivateKey.read(PRIVATE).public == PUBLIC

    @pytest.mark.parametrize(
        "shown",
        [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%%%%",
            "whsec_" + base64.b64encode(bytes(23)).decode(),
            "whsec_" + base64.b64encode(bytes(65)).decode(),
            PUBLIC,
            PRIVATE.replace("AJ6p9l", "aaaaaa"),
            "whsk_" + base64.b64encode(bytes(32)).decode(),
            "whsk_6Xb/",
        ],
    )
    def test_refuses_what_is_no_key(self, shown: str) -> None:
        with pytest.raises(NotAKey):
            read(shown).sign(b"")

    @pytest.mark.parametrize("length", [24, 32, 64])
    def test_takes_secrets_of_the_lengths_that_are_allowed(self, length: int) -> None:
        secret = "whsec_" + base64.b64encode(bytes(length)).decode()
        assert Secret.read(secret).shown == secret
