"""Keys open what their roles and awards say; those over money only by two persons."""

from collections.abc import Sequence
from hashlib import sha256

import pytest

from domain.aggregate import Actor, PersonId
from domain.key import (
    EVERY_AWARD,
    HolderMayNotAgree,
    IssuerMayNotAgree,
    Key,
    KeyAgreed,
    KeyExists,
    KeyIsRevoked,
    KeyIssued,
    KeyNeedsAwards,
    KeyNeedsNoAgreement,
    KeyNeedsRoles,
    KeyRevoked,
    KeyTakesNoAwards,
    NoSuchKey,
    Opener,
    Role,
    SignInHasKey,
    begin,
    issue,
    key_stream,
    sign_in_stream,
)
from domain.person import NoSuchPerson, register
from tests.domain.given import MemoryFacts, given

JO, KIM, ROSA = PersonId("p-jo"), PersonId("p-kim"), PersonId("p-rosa")
FUND = "GB-GOR-PB188"
BY_JO, BY_KIM, BY_ROSA = Actor(JO, FUND), Actor(KIM, FUND), Actor(ROSA, FUND)
DIGEST = sha256(b"the secret of a key").hexdigest()
POJ = "INDIGO-POJ-0175"
OVER_MONEY = {Role.ADMINISTRATOR, Role.APPROVER, Role.RELEASER}


def begun() -> MemoryFacts:
    facts = MemoryFacts()
    facts.play(
        lambda known: begin(known, party=FUND, party_name="DCMS", person=JO, name="Jo Achebe", key="k-1", secret_hash=DIGEST),
        JO,
    )
    for person, name in ((KIM, "Kim Larsen"), (ROSA, "Rosa Mbeki")):
        facts.play(lambda known, person=person, name=name: register(known, person, FUND, name), JO)  # type: ignore[misc]
    return facts


def give(
    facts: MemoryFacts, key: str, person: PersonId, roles: Sequence[Role], awards: Sequence[str] = (), *, by: Actor = BY_JO
) -> Key:
    facts.play(lambda known: issue(known, key, person=person, secret_hash=DIGEST, roles=roles, awards=awards, by=by), by.person)
    return facts[key_stream(key)]


def issued(*roles: Role, needs_agreement: bool, awards: tuple[str, ...] = (POJ,)) -> KeyIssued:
    return KeyIssued(key="k-2", person=ROSA, hash=DIGEST, roles=roles, awards=awards, needs_agreement=needs_agreement)


UNSCOPED = {Role.ADMINISTRATOR, Role.AUDITOR}
WAITING = issued(Role.APPROVER, needs_agreement=True)


class TestBegin:
    def test_gives_the_first_administrator_a_key_that_works(self) -> None:
        assert begun()[key_stream("k-1")].opens(Role.ADMINISTRATOR)


class TestIssue:
    def test_gives_a_key_that_works_at_once(self) -> None:
        assert give(begun(), "k-2", ROSA, [Role.VERIFIER], ["indigo-poj-0175"]).opens(Role.VERIFIER, POJ)

    @pytest.mark.parametrize("role", Role)
    def test_wants_a_second_person_for_roles_over_money_and_administration(self, role: Role) -> None:
        key = give(begun(), "k-2", JO, [role], [] if role in UNSCOPED else [POJ])
        assert (key.waits, key.usable) == (role in OVER_MONEY, role not in OVER_MONEY)

    @pytest.mark.parametrize("role", sorted(UNSCOPED))
    def test_refuses_to_limit_whoever_acts_on_all_awards(self, role: Role) -> None:
        with pytest.raises(KeyTakesNoAwards):
            give(begun(), "k-2", ROSA, [role], [POJ])

    def test_refuses_no_roles(self) -> None:
        with pytest.raises(KeyNeedsRoles):
            give(begun(), "k-2", ROSA, [], [POJ])

    @pytest.mark.parametrize("role", sorted(set(Role) - UNSCOPED))
    def test_refuses_a_scoped_role_without_awards(self, role: Role) -> None:
        with pytest.raises(KeyNeedsAwards):
            give(begun(), "k-2", ROSA, [Role.AUDITOR, role])

    def test_refuses_an_id_that_is_used(self) -> None:
        with pytest.raises(KeyExists):
            give(begun(), "k-1", ROSA, [Role.AUDITOR])

    def test_refuses_a_person_who_is_not_known(self) -> None:
        with pytest.raises(NoSuchPerson):
            give(begun(), "k-2", PersonId("p-nobody"), [Role.AUDITOR])


MARK = sha256(b"the mark of a sign-in").hexdigest()


def let_in(facts: MemoryFacts, key: str, person: PersonId, *roles: Role) -> Key:
    awards = [] if set(roles) <= UNSCOPED else [POJ]
    facts.play(
        lambda known: issue(known, key, person=person, secret_hash=MARK, roles=roles, awards=awards, by=BY_JO, sign_in=True), JO
    )
    return facts[key_stream(key)]


class TestSignIn:
    def test_is_noted_with_its_key(self) -> None:
        facts = begun()
        key = let_in(facts, "k-2", ROSA, Role.VERIFIER)
        assert (key.opened_by, key.hash, key.opens(Role.VERIFIER, POJ)) == (Opener.SIGN_IN, MARK, True)
        assert facts[sign_in_stream(MARK)].key == "k-2"

    def test_of_an_approver_wants_a_second_person_too(self) -> None:
        assert let_in(begun(), "k-2", ROSA, Role.APPROVER).waits

    def test_appoints_a_second_administrator_once(self) -> None:
        facts = begun()
        assert let_in(facts, "k-2", KIM, Role.ADMINISTRATOR).usable
        assert give(facts, "k-3", ROSA, [Role.ADMINISTRATOR]).waits

    @pytest.mark.parametrize("person", [ROSA, KIM])
    def test_has_one_key_for_one_person_at_a_time(self, person: PersonId) -> None:
        facts = begun()
        let_in(facts, "k-2", ROSA, Role.APPROVER)
        with pytest.raises(SignInHasKey):
            let_in(facts, "k-3", person, Role.VERIFIER)

    def test_may_have_another_key_when_the_last_is_revoked(self) -> None:
        facts = begun()
        first = let_in(facts, "k-2", ROSA, Role.VERIFIER)
        facts.record({key_stream("k-2"): (first.revoke(),)}, JO)
        let_in(facts, "k-3", ROSA, Role.AUDITOR)
        assert facts[sign_in_stream(MARK)].key == "k-3"


class TestAppointAlone:
    def test_lets_the_first_administrator_appoint_a_second(self) -> None:
        assert give(begun(), "k-2", KIM, [Role.ADMINISTRATOR]).opens(Role.ADMINISTRATOR)

    def test_works_once(self) -> None:
        facts = begun()
        give(facts, "k-2", KIM, [Role.ADMINISTRATOR])
        assert give(facts, "k-3", ROSA, [Role.ADMINISTRATOR]).waits

    def test_is_not_used_up_by_other_keys(self) -> None:
        facts = begun()
        give(facts, "k-2", ROSA, [Role.APPROVER], [POJ])
        assert give(facts, "k-3", KIM, [Role.ADMINISTRATOR]).usable

    def test_is_not_for_a_key_of_their_own(self) -> None:
        assert give(begun(), "k-2", JO, [Role.ADMINISTRATOR]).waits

    def test_gives_no_role_over_money(self) -> None:
        assert give(begun(), "k-2", KIM, [Role.ADMINISTRATOR, Role.APPROVER], [POJ]).waits

    def test_is_not_for_the_second_administrator(self) -> None:
        facts = begun()
        give(facts, "k-2", KIM, [Role.ADMINISTRATOR])
        assert give(facts, "k-3", ROSA, [Role.ADMINISTRATOR], by=BY_KIM).waits


class TestAgree:
    def test_lets_the_key_work(self) -> None:
        given(Key, (WAITING, JO)).when(lambda key: key.agree(BY_KIM)).then(KeyAgreed())
        assert given(Key, (WAITING, JO), (KeyAgreed(), KIM)).state.opens(Role.APPROVER, POJ)

    def test_refuses_a_revoked_key(self) -> None:
        given(Key, (WAITING, JO), (KeyRevoked(), KIM)).when(lambda key: key.agree(BY_KIM)).then_refused(KeyIsRevoked)

    def test_refuses_a_key_that_needs_nobody(self) -> None:
        plain = issued(Role.VERIFIER, needs_agreement=False)
        given(Key, (plain, JO)).when(lambda key: key.agree(BY_KIM)).then_refused(KeyNeedsNoAgreement)
        given(Key, (WAITING, JO), (KeyAgreed(), KIM)).when(lambda key: key.agree(BY_KIM)).then_refused(KeyNeedsNoAgreement)

    def test_refuses_the_issuer(self) -> None:
        given(Key, (WAITING, JO)).when(lambda key: key.agree(BY_JO)).then_refused(IssuerMayNotAgree)

    def test_refuses_the_holder(self) -> None:
        given(Key, (WAITING, JO)).when(lambda key: key.agree(BY_ROSA)).then_refused(HolderMayNotAgree)


class TestRevoke:
    def test_closes_everything(self) -> None:
        plain = issued(Role.VERIFIER, needs_agreement=False)
        given(Key, (plain, JO)).when(lambda key: key.revoke()).then(KeyRevoked())
        assert not given(Key, (plain, JO), (KeyRevoked(), JO)).state.opens(Role.VERIFIER, POJ)

    def test_refuses_a_second_time(self) -> None:
        given(Key, (WAITING, JO), (KeyRevoked(), JO)).when(lambda key: key.revoke()).then_refused(KeyIsRevoked)

    def test_refuses_a_key_that_is_not_known(self) -> None:
        with pytest.raises(NoSuchKey):
            MemoryFacts()[key_stream("k-9")]


class TestOpens:
    def test_only_the_roles_that_it_names(self) -> None:
        key = given(Key, (issued(Role.VERIFIER, needs_agreement=False), JO)).state
        assert [role for role in Role if key.opens(role, POJ)] == [Role.VERIFIER]

    def test_only_the_awards_that_it_names_without_regard_to_case(self) -> None:
        key = given(Key, (issued(Role.VERIFIER, needs_agreement=False), JO)).state
        assert key.opens(Role.VERIFIER, "indigo-POJ-0175")
        assert not key.opens(Role.VERIFIER, "INDIGO-POJ-0180")
        assert not key.opens(Role.VERIFIER)

    def test_every_award_where_it_says_so(self) -> None:
        key = given(Key, (issued(Role.VERIFIER, needs_agreement=False, awards=(EVERY_AWARD,)), JO)).state
        assert key.opens(Role.VERIFIER, "INDIGO-POJ-0180")

    def test_nothing_while_it_waits_for_a_second_person(self) -> None:
        assert not given(Key, (WAITING, JO)).state.opens(Role.APPROVER, POJ)

    def test_the_auditor_everywhere(self) -> None:
        key = given(Key, (issued(Role.AUDITOR, needs_agreement=False, awards=()), JO)).state
        assert key.opens(Role.AUDITOR, POJ)
        assert key.opens(Role.AUDITOR)
