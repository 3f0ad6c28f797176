"""The log is proved to whoever asks, by what is signed of it."""

from base64 import b64decode
from hashlib import sha256

import pytest

from api import signing
from domain.log import introduction
from ledger import merkle, notes, tlog_proofs
from ledger.award_heads import AwardHead
from ledger.checkpoints import Checkpoint, Checkpoints, Signed
from ledger.notes import NoteIsWrong, Signer, Verifier
from ledger.proofs import ProofIsWrong, verify_consistency, verify_inclusion
from tests.api import story
from tests.api.everything import new_key
from tests.api.story import AWARD, Service, slug


@pytest.fixture
async def sealed(service: Service) -> Service:
    """A service whose log is signed."""
    sign(service)
    await story.submit(service)
    return service


def sign(service: Service) -> Signed:
    checkpoints: Checkpoints = service.app.state.checkpoints
    return checkpoints.sign(signer(service))


def signer(service: Service) -> Signer:
    return signing.signer(service.settings, service.app.state.checkpoints)


async def known(service: Service) -> list[Verifier]:
    """The keys of the log, as an auditor knows them."""
    return [Verifier.read(each["key"]) for each in await service.audrey.reads("/v1/log/keys")]


async def leaves(service: Service) -> list[bytes]:
    """Every leaf, from the entries as an auditor gets them."""
    found: list[bytes] = []
    while rows := (await service.audrey.reads(f"/v1/entries?after={len(found)}"))["rows"]:
        found += [sha256(b"\0" + row["header"].encode() + row["state"].encode()).digest() for row in rows]
    return found


class TestCheckpoint:
    async def test_is_signed_by_a_key_of_the_log(self, sealed: Service) -> None:
        told = (await sealed.ivo.get("/v1/log/checkpoint")).text
        checkpoint = Checkpoint.read(notes.opened(told, await known(sealed))[0])
        assert checkpoint.root == merkle.root((await leaves(sealed))[: checkpoint.size])

    async def test_each_is_kept_and_listed(self, sealed: Service) -> None:
        second = sign(sealed)
        page = await sealed.ivo.reads("/v1/log/checkpoints?limit=1")
        rest = await sealed.ivo.reads(f"/v1/log/checkpoints?after={page['next']}")
        first, last = page["rows"][0], rest["rows"][0]
        assert (last["size"], last["note"], last["root"], rest["next"]) == (second.size, second.note, second.root.hex(), None)
        assert (await sealed.ivo.get(f"/v1/log/checkpoint?size={first['size']}")).text == first["note"] != last["note"]

    async def test_there_is_none_before_one_is_signed(self, service: Service) -> None:
        for path in ("checkpoint", "proof?position=1", f"awards/{AWARD}/head"):
            assert slug(await service.audrey.get(f"/v1/log/{path}")) == (404, "no-checkpoint")
        assert await service.audrey.reads("/v1/log/keys") == []

    async def test_a_key_is_replaced_only_when_it_has_signed(self, service: Service) -> None:
        new, old = Signer(bytes(32)), signer(service)
        text = introduction(new.public.hex(), old.public.hex())
        body = {"public_key": new.public.hex(), "replaces": old.public.hex(), "signature": new.sign("key", text).signature.hex()}
        answer = await service.first.ask("POST", "/v1/log/keys", headers={"Idempotency-Key": "k"}, json=body)
        assert slug(answer) == (404, "no-checkpoint")


NEW = {"public_key": "00" * 32, "replaces": "00" * 32, "signature": "00" * 64}


class TestProofs:
    async def test_of_every_entry(self, sealed: Service) -> None:
        all_leaves = await leaves(sealed)
        for position, leaf in enumerate(all_leaves, 1):
            told = await sealed.ivo.reads(f"/v1/log/inclusion?position={position}")
            hashes = [bytes.fromhex(each) for each in told["proof"]]
            assert told["leaf"] == leaf.hex()
            verify_inclusion(leaf, told["index"], told["size"], hashes, merkle.root(all_leaves))

    async def test_stand_alone(self, sealed: Service) -> None:
        entry = (await sealed.audrey.reads("/v1/entries?limit=3"))["rows"][-1]
        told = (await sealed.ivo.get("/v1/log/proof?position=3")).text
        index, checkpoint = tlog_proofs.verified(told, bytes.fromhex(entry["leaf"]), await known(sealed))
        assert (index, checkpoint.size < len(await leaves(sealed))) == (2, True)
        for wrong in (told.replace("index 2", "index 1"), told.replace("@v1", "@v2"), told.replace("index 2\n", "index 2\n\n")):
            with pytest.raises((ProofIsWrong, NoteIsWrong)):
                tlog_proofs.verified(wrong, bytes.fromhex(entry["leaf"]), await known(sealed))
        with pytest.raises(ProofIsWrong):
            tlog_proofs.verified(told, sha256(b"another").digest(), await known(sealed))

    async def test_that_the_log_goes_on(self, sealed: Service) -> None:
        all_leaves = await leaves(sealed)
        told = await sealed.ivo.reads(f"/v1/log/consistency?first=3&second={len(all_leaves)}")
        roots = (merkle.root(all_leaves[:3]), merkle.root(all_leaves))
        assert (told["first_root"], told["second_root"]) == (roots[0].hex(), roots[1].hex())
        verify_consistency(3, len(all_leaves), *roots, [bytes.fromhex(each) for each in told["proof"]])

    async def test_are_refused_of_what_there_is_not(self, sealed: Service) -> None:
        size = len(await leaves(sealed))
        for path in (
            f"inclusion?position={size + 1}",
            f"inclusion?position=1&size={size + 1}",
            "inclusion?position=3&size=2",
            f"proof?position={size}",  # It is under no checkpoint yet.
            f"consistency?first=1&second={size + 1}",
        ):
            assert slug(await sealed.audrey.get(f"/v1/log/{path}")) == (404, "not-in-log")
        assert slug(await sealed.audrey.get("/v1/log/checkpoint?size=1")) == (404, "no-checkpoint")
        assert slug(await sealed.audrey.get("/v1/log/inclusion?position=0")) == (422, "request-is-wrong")

    async def test_that_the_log_goes_on_is_refused_of_sizes_that_are_the_wrong_way_round(self, sealed: Service) -> None:
        refused = await sealed.ivo.get("/v1/log/consistency?first=3&second=2")
        assert refused.status_code == 422
        assert refused.json()["faults"] == [{"where": "second", "what": "must not be smaller than `first`"}]


class TestAwardHead:
    async def test_is_of_the_award_s_last_entry_under_the_checkpoint(self, sealed: Service) -> None:
        sign(sealed)
        told = (await sealed.cora.get(f"/v1/log/awards/{AWARD.lower()}/head")).text
        head = AwardHead.read(notes.opened(told, await known(sealed))[0])
        trail = (await sealed.audrey.reads(f"/v1/awards/{AWARD}/trail?limit=500"))["rows"]
        assert (head.award, head.entries, head.size) == (AWARD, trail[-1]["sequence"], len(await leaves(sealed)))
        assert head.leaf == (await leaves(sealed))[trail[-1]["position"] - 1]

    async def test_is_told_to_those_who_may_know_of_the_award(self, sealed: Service) -> None:
        other = await sealed.give_key(sealed.cora.person, "claimant", awards=("INDIGO-POJ-0001",))
        assert slug(await other.get(f"/v1/log/awards/{AWARD}/head")) == (404, "no-such-award")
        assert slug(await sealed.audrey.get("/v1/log/awards/INDIGO-POJ-0001/head")) == (404, "no-such-award")

    async def test_is_as_of_any_checkpoint(self, sealed: Service) -> None:
        first = (await sealed.audrey.reads("/v1/log/checkpoints"))["rows"][0]["size"]
        sign(sealed)
        older, newer = [
            AwardHead.read(
                notes.opened((await sealed.audrey.get(f"/v1/log/awards/{AWARD}/head{of}")).text, await known(sealed))[0]
            )
            for of in (f"?size={first}", "")
        ]
        assert older.size == first < newer.size
        assert older.entries < newer.entries


class TestTiles:
    async def test_make_the_tree(self, sealed: Service) -> None:
        size = len(await leaves(sealed))
        told = await sealed.ivo.get(f"/v1/log/tile/0/000.p/{size}")
        assert told.content == b"".join(await leaves(sealed))
        assert told.headers["content-type"] == "application/octet-stream"
        assert "immutable" in told.headers["cache-control"]

    async def test_of_entries_are_for_those_who_see_all(self, sealed: Service) -> None:
        size = len(await leaves(sealed))
        told, found = (await sealed.audrey.get(f"/v1/log/tile/entries/000.p/{size}")).content, []
        while told:
            length = int.from_bytes(told[:2], "big")
            found.append(sha256(b"\0" + told[2 : 2 + length]).digest())
            told = told[2 + length :]
        assert found == await leaves(sealed)
        assert (await sealed.ivo.http.get("/v1/log/tile/entries/000.p/1", headers=key(sealed.ivo.secret))).status_code == 403

    @pytest.mark.parametrize(
        "path", ["0/000", "0/000.p/256", "0/000.p/0", "0/000.p/01", "0/0", "0/x000/000.p/1", "1/000.p/1", "entries/000", "0/../1"]
    )
    async def test_have_one_name_each(self, sealed: Service, path: str) -> None:
        assert (await sealed.audrey.http.get(f"/v1/log/tile/{path}", headers=key(sealed.audrey.secret))).status_code == 404


def key(secret: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


class TestIntroduceAKey:
    async def test_signs_from_here_on(self, sealed: Service) -> None:
        (old,) = await known(sealed)
        told = await sealed.first.does("/v1/log/keys", new_key(sealed, signer(sealed)))
        new = Signer(bytes(32))
        last = (await sealed.audrey.reads("/v1/log/keys"))[-1]
        assert (last["public_key"], last["introduced_at"], last["first"]) == (new.public.hex(), told["position"], None)
        note = sealed.app.state.checkpoints.sign(new, signer(sealed)).note
        assert notes.opened(note, [old])[1] == [old]
        assert slug(await sealed.audrey.get(f"/v1/log/awards/{AWARD}/head")) == (503, "log-is-not-signed")

    async def test_is_refused_unless_it_signed(self, sealed: Service) -> None:
        right = new_key(sealed, signer(sealed))
        other = Signer(b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]).public.hex()
        for wrong in ({**right, "public_key": other}, {**right, "vouched": right["signature"]}, NEW):
            answer = await sealed.first.ask("POST", "/v1/log/keys", headers={"Idempotency-Key": "k"}, json=wrong)
            assert slug(answer) == (422, "key-did-not-sign")

    async def test_is_refused_a_second_time(self, sealed: Service) -> None:
        new = new_key(sealed, signer(sealed))
        await sealed.first.does("/v1/log/keys", new)
        answer = await sealed.first.ask("POST", "/v1/log/keys", headers={"Idempotency-Key": "again"}, json=new)
        assert slug(answer) == (409, "key-does-not-sign")

    async def test_is_for_administrators(self, sealed: Service) -> None:
        new = new_key(sealed, signer(sealed))
        answer = await sealed.audrey.ask("POST", "/v1/log/keys", headers={"Idempotency-Key": "k"}, json=new)
        assert slug(answer) == (403, "role-is-missing")
