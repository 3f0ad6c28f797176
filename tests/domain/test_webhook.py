"""Webhooks are told what their owners may know, at addresses that wanted it, and what is secret of them can go."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest

from domain.aggregate import Commitment, PersonId
from domain.award import NoSuchAward
from domain.erasure import ErasedText
from domain.refusal import Refused
from domain.webhook import (
    MOST_SIGNING,
    OVERLAP,
    Addresses,
    AddressHasCredentials,
    AddressIsMalformed,
    AddressIsNotAnybodys,
    AddressIsNotPrivate,
    Change,
    ChangesNothing,
    Keeper,
    NoSuchWebhook,
    PortIsNotTaken,
    Reason,
    Registration,
    Secret,
    State,
    TooManySecrets,
    TypeIsNeverTold,
    Webhook,
    WebhookChanged,
    WebhookConfirmed,
    WebhookDisabled,
    WebhookEnabled,
    WebhookExists,
    WebhookHasMoved,
    WebhookIsDisabled,
    WebhookIsEnabled,
    WebhookIsRemoved,
    WebhookIsUnconfirmed,
    WebhookRegistered,
    WebhookRemoved,
    WebhookSecretRotated,
    change,
    expect_address,
    register,
    remove,
    rotate,
    webhook_stream,
)
from tests.domain.given import Given, Happened, MemoryFacts, commitment, given
from tests.domain.kirklees import REFERENCE, agreed

ISLA: Final = PersonId("p-isla")
INVESTOR: Final = "GB-COH-06969540"
KEY, OTHER_KEY = "4b1d7a9c02e8f365", "4b1d7a9c02e8f366"
ID: Final = "9f31c0a4b2d87e65"
URL: Final = "https://ledger-notices.bigissueinvest.com/lcl?tenant=7"
ELSEWHERE: Final = "https://notices.example.org/lcl"
TYPES: Final = frozenset({"payment.settled", "payment.fell-due", "award.assessed"})
PUBLIC: Final = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
NOW: Final = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
ADMINISTRATOR: Final = Keeper("XX-LCL-OPERATOR")
INVESTS: Final = Keeper(INVESTOR, KEY, frozenset({REFERENCE}))


def secret(number: int = 1) -> Secret:
    return Secret(f"whsec_{number}", f"whsk_{number}", PUBLIC)


def known() -> MemoryFacts:
    return agreed()


def registering(webhook: str = ID, by: Keeper = INVESTS, taken: Addresses | None = None, **asked: Any) -> Any:
    said = Registration(**{"url": URL, **asked})
    return partial(register, webhook=webhook, asked=said, secret=secret(), by=by, types=TYPES, addresses=taken or Addresses())


def registered(by: Keeper = INVESTS, **asked: Any) -> MemoryFacts:
    facts = known()
    facts.play(registering(by=by, **asked), ISLA)
    return facts


def changing(by: Keeper = INVESTS, **asked: Any) -> Any:
    return partial(change, webhook=ID, asked=Change(**asked), by=by, types=TYPES, addresses=Addresses())


def rotating(number: int, at: datetime = NOW, overlap: timedelta = OVERLAP, by: Keeper = INVESTS) -> Any:
    return partial(rotate, webhook=ID, secret=secret(number), by=by, now=at, overlap=overlap)


REGISTERED: Final = WebhookRegistered(
    webhook=ID,
    party=INVESTOR,
    key=KEY,
    url=commitment(URL),
    host="ledger-notices.bigissueinvest.com",
    awards=(REFERENCE,),
    types=("payment.*",),
    rate_limit=20,
    api_version="v1",
    secret=commitment(secret().written),
    public_key=PUBLIC,
)
CONFIRMED, ENABLED = WebhookConfirmed(), WebhookEnabled()
DISABLED: Final = WebhookDisabled(reason=Reason.ASKED)
MOVED: Final = WebhookChanged(url=commitment(ELSEWHERE), host="notices.example.org")
REMOVED: Final = WebhookRemoved(erased=())


def webhook(*then: Any) -> Given[Webhook]:
    happened: list[Happened] = [(event, ISLA) for event in (REGISTERED, *then)]
    return given(Webhook, *happened)


class TestRegister:
    def test_tells_nobody_before_the_address_has_answered_a_challenge(self) -> None:
        facts = known()
        asked = registering(awards=(REFERENCE.lower(),), types=("payment.*",), rate_limit=20)
        assert facts.play(asked, ISLA) == {webhook_stream(ID): (REGISTERED,)}
        made = facts[webhook_stream(ID)]
        assert (made.state, made.confirmed, made.awards) == (State.UNCONFIRMED, False, (REFERENCE,))

    def test_keeps_address_description_and_secrets_in_the_vault(self) -> None:
        facts = registered(description="The reporting desk")
        assert set(facts.texts.values()) >= {URL, "The reporting desk", secret().written}
        said = facts.happened(f"webhook/{ID}")[0].model_dump_json()
        assert not any(word in said for word in ("tenant", "reporting", "whsec", "whsk"))
        assert Secret.read(facts.texts[commitment(secret().written)], PUBLIC) == secret()
        assert "whsec" not in repr(secret())
        assert "tenant" not in repr(Registration(url=URL))

    def test_of_an_administrator_is_bounded_by_no_key(self) -> None:
        made = registered(by=ADMINISTRATOR)[webhook_stream(ID)]
        assert (made.party, made.key, made.awards, made.types) == ("XX-LCL-OPERATOR", None, ("*",), ("*",))

    @pytest.mark.parametrize("by", [ADMINISTRATOR, INVESTS, Keeper(INVESTOR, KEY, frozenset({"*"}))])
    def test_refuses_an_award_that_there_is_not(self, by: Keeper) -> None:
        with pytest.raises(NoSuchAward):
            known().play(registering(by=by, awards=(REFERENCE, "INDIGO-POJ-9999")), ISLA)

    def test_refuses_an_award_that_the_key_does_not_open_as_one_that_there_is_not(self) -> None:
        with pytest.raises(NoSuchAward):
            known().play(registering(by=Keeper(INVESTOR, KEY, frozenset({"INDIGO-POJ-0026"})), awards=(REFERENCE,)), ISLA)

    def test_refuses_types_that_are_never_told_and_names_each(self) -> None:
        with pytest.raises(TypeIsNeverTold) as caught:
            known().play(registering(types=("payment.*", "participant.*", "claim.lines-listed")), ISLA)
        assert [each.what.split()[0] for each in caught.value.faults] == ["participant.*", "claim.lines-listed"]
        beginnings = ", ".join(sorted({kind.partition(".")[0] for kind in TYPES}))
        assert {each.what.partition("; ")[2] for each in caught.value.faults} == {f"they begin with {beginnings}"}

    def test_refuses_an_id_that_is_taken(self) -> None:
        with pytest.raises(WebhookExists):
            registered().play(registering(), ISLA)


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("ledger-notices.bigissueinvest.com/lcl", AddressIsMalformed),
        ("https://", AddressIsMalformed),
        ("https:///lcl", AddressIsMalformed),
        ("https://notices.example.org/a b", AddressIsMalformed),
        ("https://notices.example.org\\@10.0.0.1/", AddressIsMalformed),
        ("https://notices.example.org/#part", AddressIsMalformed),
        ("https://notices.example.org:99999/", AddressIsMalformed),
        ("https://notices.exämple.org/", AddressIsMalformed),
        ("https://-notices.example.org/", AddressIsMalformed),
        ("https://[::1/", AddressIsMalformed),
        ("https://notices%2eexample.org/", AddressIsMalformed),
        ("http://notices.example.org/", AddressIsNotPrivate),
        ("ftp://notices.example.org/", AddressIsNotPrivate),
        ("file://notices.example.org/etc/passwd", AddressIsNotPrivate),
        ("http://127.0.0.1:8080/", AddressIsNotPrivate),
        ("https://isla@notices.example.org/", AddressHasCredentials),
        ("https://isla:word@notices.example.org/", AddressHasCredentials),
        ("https://notices.example.org:8443/", PortIsNotTaken),
        ("https://notices.example.org:0/", PortIsNotTaken),
    ],
)
class TestAddress:
    def test_refuses(self, url: str, refusal: type[Refused]) -> None:
        with pytest.raises(refusal):
            expect_address(url, Addresses())

    def test_registers_nothing(self, url: str, refusal: type[Refused]) -> None:
        facts = known()
        with pytest.raises(refusal):
            facts.play(registering(url=url), ISLA)
        assert not facts.happened(f"webhook/{ID}")


@pytest.mark.parametrize(
    ("url", "taken", "host"),
    [
        (URL, Addresses(), "ledger-notices.bigissueinvest.com"),
        ("https://Notices.Example.org:443", Addresses(), "notices.example.org"),
        ("https://notices.example.org:8443/", Addresses(frozenset({443, 8443})), "notices.example.org"),
        ("https://[2001:db8::7]/lcl", Addresses(), "2001:db8::7"),
        ("http://127.0.0.1:8080/", Addresses(loopback=True), "127.0.0.1"),
        ("http://[::1]:8080/", Addresses(loopback=True), "::1"),
        ("http://localhost/", Addresses(loopback=True), "localhost"),
    ],
)
def test_address_is_taken(url: str, taken: Addresses, host: str) -> None:
    assert expect_address(url, taken) == host


def test_address_that_is_special_is_refused() -> None:
    taken = Addresses(special=lambda host: f"{host} is private" if host.startswith("10.") else None)
    assert expect_address("https://11.0.0.1/", taken) == "11.0.0.1"
    with pytest.raises(AddressIsNotAnybodys) as refused:
        expect_address("https://10.0.0.1/", taken)
    assert refused.value.details == {"because": "10.0.0.1 is private"}


@pytest.mark.parametrize("url", ["http://notices.example.org/", "http://10.0.0.1/", "http://localhost.example.org/"])
def test_plain_http_never_leaves_the_machine(url: str) -> None:
    with pytest.raises(AddressIsNotPrivate):
        expect_address(url, Addresses(frozenset({80, 443}), loopback=True))


class TestConfirm:
    def test_enables_it(self) -> None:
        webhook().when(lambda made: made.confirm(made.url)).then(CONFIRMED)
        confirmed = webhook(CONFIRMED).state
        assert (confirmed.state, confirmed.confirmed) == (State.ENABLED, True)

    def test_enables_one_that_was_disabled(self) -> None:
        webhook(CONFIRMED, WebhookDisabled(reason=Reason.GONE)).when(lambda gone: gone.confirm(gone.url)).then(CONFIRMED)

    def test_refuses_one_that_is_removed_first(self) -> None:
        webhook(REMOVED).when(lambda gone: gone.confirm(commitment(ELSEWHERE))).then_refused(WebhookIsRemoved)

    def test_refuses_one_that_is_enabled(self) -> None:
        webhook(CONFIRMED).when(lambda told: told.confirm(told.url)).then_refused(WebhookIsEnabled)

    def test_refuses_one_that_moved_while_it_was_challenged(self) -> None:
        webhook(MOVED).when(lambda moved: moved.confirm(REGISTERED.url)).then_refused(WebhookHasMoved)


class TestGiveUp:
    def test_disables_it(self) -> None:
        since = datetime(2026, 11, 2, tzinfo=UTC)
        told = WebhookDisabled(reason=Reason.FAILING, since="2026-11-02T00:00:00.000000Z")
        webhook(CONFIRMED).when(lambda failing: failing.give_up(REGISTERED.url, Reason.FAILING, since)).then(told)

    def test_refuses_one_that_has_another_address_by_now(self) -> None:
        moved = webhook(CONFIRMED, MOVED, CONFIRMED)
        moved.when(lambda there: there.give_up(REGISTERED.url, Reason.GONE)).then_refused(WebhookHasMoved)

    def test_refuses_one_that_is_told_nothing(self) -> None:
        for then, refused in (((CONFIRMED, DISABLED), WebhookIsDisabled), ((REMOVED,), WebhookIsRemoved)):
            webhook(*then).when(lambda quiet: quiet.give_up(REGISTERED.url, Reason.GONE)).then_refused(refused)


class TestEnable:
    def test_has_it_told_again(self) -> None:
        webhook(CONFIRMED, DISABLED).when(Webhook.enable).then(ENABLED)
        assert webhook(CONFIRMED, DISABLED, ENABLED).state == webhook(CONFIRMED).state

    def test_has_one_told_again_that_was_failing(self) -> None:
        webhook(CONFIRMED, WebhookDisabled(reason=Reason.FAILING)).when(Webhook.enable).then(ENABLED)

    @pytest.mark.parametrize("then", [(), (CONFIRMED, WebhookDisabled(reason=Reason.GONE)), (CONFIRMED, MOVED)])
    def test_refuses_one_whose_address_has_not_answered(self, then: tuple[Any, ...]) -> None:
        webhook(*then).when(Webhook.enable).then_refused(WebhookIsUnconfirmed)

    def test_refuses_one_that_is_enabled(self) -> None:
        webhook(CONFIRMED).when(Webhook.enable).then_refused(WebhookIsEnabled)

    def test_refuses_one_that_is_removed(self) -> None:
        webhook(REMOVED).when(Webhook.enable).then_refused(WebhookIsRemoved)


class TestDisable:
    def test_says_why_and_since_when(self) -> None:
        failing = WebhookDisabled(reason=Reason.FAILING, since="2026-11-26T09:30:00.000000Z")
        webhook(CONFIRMED).when(lambda told: told.disable(Reason.FAILING, NOW)).then(failing)
        disabled = webhook(CONFIRMED, failing).state
        assert (disabled.state, disabled.reason, disabled.since) == (State.DISABLED, Reason.FAILING, failing.since)

    def test_because_somebody_asked(self) -> None:
        webhook(CONFIRMED).when(Webhook.disable).then(DISABLED)

    @pytest.mark.parametrize("then", [(), (CONFIRMED, DISABLED)])
    def test_refuses_one_that_is_not_enabled(self, then: tuple[Any, ...]) -> None:
        webhook(*then).when(Webhook.disable).then_refused(WebhookIsDisabled)

    def test_refuses_one_that_is_removed(self) -> None:
        webhook(REMOVED).when(Webhook.disable).then_refused(WebhookIsRemoved)


class TestChange:
    def test_of_what_is_told_leaves_it_enabled(self) -> None:
        facts = registered()
        facts.record({webhook_stream(ID): (CONFIRMED,)}, ISLA)
        facts.play(changing(types=("payment.*",), rate_limit=5), ISLA)
        assert facts.happened(f"webhook/{ID}")[-1] == WebhookChanged(types=("payment.*",), rate_limit=5)
        changed = facts[webhook_stream(ID)]
        assert (changed.state, changed.types, changed.rate_limit, changed.awards) == (State.ENABLED, ("payment.*",), 5, ("*",))

    def test_of_the_address_wants_another_challenge(self) -> None:
        facts = registered()
        facts.record({webhook_stream(ID): (CONFIRMED,)}, ISLA)
        facts.play(changing(url=ELSEWHERE, description="Another desk"), ISLA)
        changed = facts[webhook_stream(ID)]
        assert (changed.state, changed.confirmed, changed.host) == (State.UNCONFIRMED, False, "notices.example.org")
        assert facts.reveal(changed.url) == ELSEWHERE

    def test_lets_go_of_a_description_alone(self) -> None:
        facts = registered(description="The reporting desk")
        facts.play(changing(description=""), ISLA)
        text = commitment("The reporting desk")
        assert facts.happened(f"webhook/{ID}")[-1] == WebhookChanged(undescribed=ErasedText(text))
        assert facts[webhook_stream(ID)].description is None
        assert text not in facts.texts
        with pytest.raises(ChangesNothing):
            facts.play(changing(description=""), ISLA)
        facts.play(partial(remove, webhook=ID, by=INVESTS), ISLA)
        said = facts.happened(f"webhook/{ID}")[-1]
        assert isinstance(said, WebhookRemoved)
        assert ErasedText(text) not in said.erased

    def test_by_another_key_has_that_one_bound_it(self) -> None:
        facts = registered(awards=(REFERENCE,))
        facts.play(changing(by=Keeper(INVESTOR, OTHER_KEY, frozenset({REFERENCE}))), ISLA)
        assert facts[webhook_stream(ID)].key == OTHER_KEY

    def test_by_an_administrator_leaves_it_bounded(self) -> None:
        facts = registered()
        facts.play(changing(by=ADMINISTRATOR, rate_limit=5), ISLA)
        assert facts[webhook_stream(ID)].key == KEY

    def test_refuses_to_change_nothing(self) -> None:
        facts = registered(description="The reporting desk")
        same = changing(url=URL, description="The reporting desk", awards=("*",), types=("*",), rate_limit=50)
        for nothing in (changing(), same):
            with pytest.raises(ChangesNothing):
                facts.play(nothing, ISLA)

    def test_refuses_what_a_registration_is_refused_for(self) -> None:
        facts = registered()
        refused: tuple[tuple[Any, type[Refused]], ...] = (
            (changing(url="http://notices.example.org/"), AddressIsNotPrivate),
            (changing(types=("participant.*",)), TypeIsNeverTold),
            (changing(awards=("INDIGO-POJ-9999",)), NoSuchAward),
        )
        for asked, refusal in refused:
            with pytest.raises(refusal):
                facts.play(asked, ISLA)
        assert len(facts.happened(f"webhook/{ID}")) == 1

    @pytest.mark.parametrize(
        "stranger",
        [
            Keeper("GB-COH-11503344", OTHER_KEY, frozenset({"*"})),
            Keeper(INVESTOR, OTHER_KEY, frozenset({"INDIGO-POJ-0026"})),
        ],
    )
    def test_refuses_strangers_as_if_there_were_none(self, stranger: Keeper) -> None:
        with pytest.raises(NoSuchWebhook):
            registered(awards=(REFERENCE,)).play(changing(by=stranger, rate_limit=5), ISLA)

    def test_refuses_a_narrower_key_of_the_party_what_is_told_all_that_another_opens(self) -> None:
        facts = registered()
        with pytest.raises(NoSuchWebhook):
            facts.play(changing(by=Keeper(INVESTOR, OTHER_KEY, frozenset({REFERENCE})), rate_limit=5), ISLA)
        facts.play(changing(by=Keeper(INVESTOR, OTHER_KEY, frozenset({"*"})), rate_limit=5), ISLA)
        assert facts[webhook_stream(ID)].key == OTHER_KEY

    def test_refuses_one_that_is_removed(self) -> None:
        facts = registered()
        facts.play(partial(remove, webhook=ID, by=INVESTS), ISLA)
        with pytest.raises(WebhookIsRemoved):
            facts.play(changing(rate_limit=5), ISLA)


class TestRotate:
    def test_lets_both_sign_for_a_day(self) -> None:
        facts = registered()
        facts.play(rotating(2), ISLA)
        assert [(each.number, each.until) for each in facts[webhook_stream(ID)].secrets] == [
            (1, "2026-11-27T09:30:00.000000Z"),
            (2, None),
        ]

    def test_lets_go_of_what_signs_no_more(self) -> None:
        facts = registered()
        facts.play(rotating(2), ISLA)
        facts.play(rotating(3, NOW + OVERLAP), ISLA)
        said = facts.happened(f"webhook/{ID}")[-1]
        assert isinstance(said, WebhookSecretRotated)
        assert said.erased == (ErasedText(commitment(secret(1).written)),)
        assert facts.reveal(commitment(secret(1).written)) is None
        assert [(each.number, each.gone) for each in facts[webhook_stream(ID)].secrets] == [(1, True), (2, False), (3, False)]

    def test_without_overlap_ends_all_before_at_once(self) -> None:
        facts = registered()
        facts.play(rotating(2), ISLA)
        facts.play(rotating(3, overlap=timedelta(0)), ISLA)
        assert [each.gone for each in facts[webhook_stream(ID)].secrets] == [True, True, False]
        assert [facts.reveal(commitment(secret(each).written)) is None for each in (1, 2, 3)] == [True, True, False]

    def test_never_makes_the_time_of_an_older_one_longer(self) -> None:
        facts = registered()
        facts.play(rotating(2, overlap=timedelta(hours=1)), ISLA)
        facts.play(rotating(3), ISLA)
        first, second, _ = facts[webhook_stream(ID)].secrets
        assert (first.until, second.until) == ("2026-11-26T10:30:00.000000Z", "2026-11-27T09:30:00.000000Z")

    def test_refuses_a_fourth_that_signs(self) -> None:
        facts = registered()
        for number in range(2, MOST_SIGNING + 1):
            facts.play(rotating(number), ISLA)
        with pytest.raises(TooManySecrets):
            facts.play(rotating(4), ISLA)

    def test_refuses_strangers(self) -> None:
        with pytest.raises(NoSuchWebhook):
            registered().play(rotating(2, by=Keeper("GB-COH-11503344", OTHER_KEY, frozenset({"*"}))), ISLA)


class TestRemove:
    def test_lets_go_of_every_text_there_ever_was_of_it(self) -> None:
        facts = registered(description="The reporting desk")
        before = set(known().texts)
        facts.play(changing(url=ELSEWHERE), ISLA)
        facts.play(rotating(2), ISLA)
        facts.play(rotating(3, NOW + OVERLAP), ISLA)
        facts.play(partial(remove, webhook=ID, by=ADMINISTRATOR), ISLA)
        assert set(facts.texts) == before
        gone = {commitment(text) for text in (URL, ELSEWHERE, "The reporting desk", secret(2).written, secret(3).written)}
        said = facts.happened(f"webhook/{ID}")[-1]
        assert isinstance(said, WebhookRemoved)
        assert {Commitment(each) for each in said.erased} == gone
        removed = facts[webhook_stream(ID)]
        assert (removed.state, {each.gone for each in removed.secrets}) == (State.REMOVED, {True})
        assert {each.public_key for each in removed.secrets} == {PUBLIC}

    def test_refuses_twice(self) -> None:
        facts = registered()
        facts.play(partial(remove, webhook=ID, by=INVESTS), ISLA)
        with pytest.raises(WebhookIsRemoved):
            facts.play(partial(remove, webhook=ID, by=INVESTS), ISLA)

    def test_refuses_what_there_is_not(self) -> None:
        with pytest.raises(NoSuchWebhook):
            known().play(partial(remove, webhook=ID, by=INVESTS), ISLA)
