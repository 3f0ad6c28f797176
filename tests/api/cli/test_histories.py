"""Replay and difference at the terminal: readable for a person, whole for a machine."""

from collections import Counter

from api.cli.screen import pounds
from domain.money import Money
from tests.api.cli.conftest import OPEN, Played, answer, run

DONCASTER = "INDIGO-POJ-0168"


def lines(*arguments: str) -> list[str]:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return [line.rstrip() for line in done.stdout.splitlines()]


class TestReplay:
    def test_shows_what_each_entry_changed_beside_it(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        steps = answer("replay", OPEN, *here)["rows"]
        listed = next(step for step in steps if step["type"] == "claim.lines-listed")
        value = pounds(listed["after"]["claimed"])
        shown = lines("replay", OPEN, *here)
        assert shown[0].startswith(f"Replay of {OPEN}, after position 0 and up to ")
        numbered = {int(line[:10]): number for number, line in enumerate(shown) if line[:10].strip().isdigit()}
        assert list(numbered) == [step["position"] for step in steps]
        first, second = shown[numbered[listed["position"]] :][:2]
        assert first.split()[-4:] == ["claimed", "£0.00", value, f"+{value}"]
        assert second.split()[-4:] == ["undecided", "£0.00", value, f"+{value}"]
        assert len(first) == len(second)  # Figures stand under each other.

    def test_tells_machines_every_step_of_a_long_award(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        whole = answer("replay", DONCASTER, *here)
        trail = answer("trail", DONCASTER, *here)
        assert [step["position"] for step in whole["rows"]] == [row["position"] for row in trail]
        assert len(whole["rows"]) > 500
        last, balances = whole["rows"][-1]["after"], answer("balances", DONCASTER, *here)
        assert {name: balances[name] for name in last if name not in {"limit", "remaining"}} == {
            name: amount for name, amount in last.items() if name not in {"limit", "remaining"}
        }

    def test_begins_and_ends_where_it_is_told_to(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        steps = answer("replay", OPEN, *here)["rows"]
        some = answer("replay", OPEN, "--from", str(steps[3]["position"]), "--to", str(steps[9]["position"]), *here)
        assert some["rows"] == steps[4:10]

    def test_refuses_moments_the_wrong_way_round(self, played: Played) -> None:
        done = run("replay", OPEN, "--from", "20", "--to", "10", "--data-dir", str(played.folder))
        assert done.exit_code == 1
        assert "from: must not lie after `to`" in done.stderr

    def test_refuses_an_award_that_there_is_not(self, played: Played) -> None:
        done = run("replay", "INDIGO-POJ-9999", "--data-dir", str(played.folder))
        assert done.exit_code == 1
        assert "no award of this reference" in done.stderr

    def test_says_that_nothing_was_recorded_in_between(self, agreed: tuple[str, ...]) -> None:
        head = answer("replay", OPEN, *agreed)["end"]
        shown = lines("replay", OPEN, "--from", str(head), *agreed)
        assert shown == [f"Nothing was recorded under {OPEN}, after position {head} and up to {head}."]


class TestDifference:
    def test_of_every_award_of_the_demo_is_what_its_causes_add_up_to(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        for award in [each["reference"] for each in answer("awards", *here)]:
            told = answer("difference", award, "--from", "2022-04-01T00:00:00Z", *here)
            summed: Counter[tuple[str, ...]] = Counter()
            for cause in told["rows"]:
                for move in cause["moves"]:
                    summed[move["of"], move["name"], move["figure"]] += int(Money.parse(move["amount"]))
            assert {key: amount for key, amount in summed.items() if amount} == {
                (each["of"], each["name"], each["figure"]): int(Money.parse(each["difference"])) for each in told["changes"]
            }

    def test_shows_the_difference_and_then_its_causes(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        told = answer("difference", OPEN, *here)
        shown = lines("difference", OPEN, *here)
        claimed = next(each for each in told["changes"] if each["figure"] == "claimed")
        assert any(
            line.split() == ["claimed", "£0.00", pounds(claimed["after"]), f"+{pounds(claimed['after'])}"] for line in shown
        )
        after = shown[shown.index("Caused by") :]
        assert all(any(line.split()[:1] == [str(cause["position"])] for line in after) for cause in told["rows"])
        assert not any(" of 20" in line for line in shown)
        assert any(line.strip().startswith("claimed of 2024-25") for line in lines("difference", OPEN, "--parts", *here))

    def test_of_a_day_leaves_out_what_takes_effect_later(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        told = answer("difference", OPEN, "--effective-on", "2024-06-30", *here)
        assert told["rows"]
        assert all(day <= "2024-06-30" for cause in told["rows"] for day in cause["effective_on"])
        assert f", in effect on {told['effective_on']}" in " ".join(
            lines("difference", OPEN, "--effective-on", "2024-06-30", *here)
        )

    def test_says_that_nothing_differs(self, agreed: tuple[str, ...]) -> None:
        head = answer("difference", OPEN, *agreed)["end"]
        shown = lines("difference", OPEN, *agreed)
        assert shown == [f"Nothing that was recorded moved an amount of {OPEN}, after position 0 and up to {head}."]


class TestAwards:
    def test_are_listed_as_they_were(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        registered = answer("replay", DONCASTER, *here)["rows"][0]["position"]
        assert DONCASTER not in {each["reference"] for each in answer("awards", "--as-of", str(registered - 1), *here)}
        shown = lines("awards", "--as-of", str(registered), *here)
        assert [line.split()[-2:] for line in shown if line.strip().startswith(DONCASTER)] == [["0", "£0.00"]]
