"""What an award has by two persons, each under a reference of its own: one proposes it, another agrees it or turns it down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import typer

from api.cli.access import Json
from api.cli.asking import Asking, Doing, asks, does
from api.cli.awards import PANEL, Award
from api.cli.screen import say, table

Name = Annotated[str, typer.Argument(help="Its reference in its award.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the vault.", show_default=False)]


class Column(NamedTuple):
    """A column of the list: its heading, the side on which it stands, and what it shows of each."""

    heading: str
    side: str
    shows: Callable[[Json], str]


@dataclass(frozen=True, slots=True)
class Noun:
    """Something that one person proposes and another agrees. `key` names it in bodies and answers, `path` in addresses."""

    word: str
    key: str
    path: str
    example: str
    agreeing: str
    """What happens when it is agreed."""
    columns: Sequence[Column]
    details: Callable[[Json], Sequence[tuple[str, str]]]
    """What is shown of one, beside who proposed and agreed it: labels, and what stands there."""
    effect: Callable[[Json], None]
    """Shows what agreeing it does, or would."""

    def propose(self, doing: Doing, award: str, body: Json) -> None:
        """Propose one."""
        name = body[self.key]
        then = f"A second person agrees it: lcledger {self.word} agree {award} {name}"
        doing.do(f"/awards/{award}/{self.path}", body, f"{name} is proposed", f"{name} could be proposed", then)

    def address(self, award: str, name: str, *more: str) -> str:
        """Where one is."""
        return "/".join((f"/awards/{award}/{self.path}", name, *more))


def install_group(app: typer.Typer, noun: Noun, about: str, propose: Callable[..., None]) -> None:
    """Add the commands: to propose one, and what they all have."""
    commands = typer.Typer(no_args_is_help=True, help=about)
    app.add_typer(commands, name=noun.word, rich_help_panel=PANEL)
    commands.command()(propose)
    one = f"{_an(noun.word)} {noun.word.replace('-', ' ')}"
    agreed = f"Agree {one}, as a second person: {noun.agreeing}; --dry-run shows what that comes to."
    commands.command("agree", help=_help(agreed, noun, "agree", "--dry-run --key-file second-administrator.key"))(_agree(noun))
    withdrawn = f"Withdraw {one} that nobody agreed yet, or turn it down."
    commands.command("withdraw", help=_help(withdrawn, noun, "withdraw", '--reason "It was right."'))(_withdraw(noun))
    commands.command("show", help=_help(f"Show {one}, and what became of it.", noun, "show"))(_show(noun))
    listed = f"List an award's {noun.path.replace('-', ' ')}, and what became of each.\n\nFor example:\n\n"
    commands.command("list", help=f"{listed}  lcledger {noun.word} list INDIGO-POJ-0175")(_list(noun))


def _an(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _help(said: str, noun: Noun, command: str, more: str = "") -> str:
    return f"{said}\n\nFor example:\n\n  lcledger {noun.word} {command} INDIGO-POJ-0175 {noun.example} {more}".rstrip()


def _agree(noun: Noun) -> Callable[..., None]:
    @does
    def agree(doing: Doing, award: Award, name: Name) -> None:
        path = noun.address(award, name, "agreement")
        if done := doing.do(path, None, f"{name} is agreed", f"{name} could be agreed"):
            noun.effect(done)

    return agree


def _withdraw(noun: Noun) -> Callable[..., None]:
    @does
    def withdraw(doing: Doing, award: Award, name: Name, *, reason: Reason) -> None:
        said, could = f"{name} is withdrawn", f"{name} could be withdrawn"
        doing.do(noun.address(award, name, "withdrawal"), {"reason": reason}, said, could)

    return withdraw


def _show(noun: Noun) -> Callable[..., None]:
    @asks
    def show(asking: Asking, award: Award, name: Name) -> None:
        if (found := asking.found(noun.address(award, name))) is None:
            return
        told, people = found
        by = f" by assessment {told['assessment']}" if told["assessment"] else ""
        details = [("proposed by", people[told["proposed_by"]]), ("agreed by", people[told["agreed_by"]]), *noun.details(told)]
        shown = [(label, said) for label, said in details if said]
        width = max(len(label) for label, _ in shown)
        say(f"{told[noun.key]} of {award}: {told['status']}{by}", *(f"  {label:{width}}  {said}" for label, said in shown))

    return show


def _list(noun: Noun) -> Callable[..., None]:
    @asks
    def show_all(asking: Asking, award: Award) -> None:
        if (found := asking.found(f"/awards/{award}/{noun.path}", every=True)) is None:
            return
        rows, people = found
        heads = [
            *((head, "left") for head in (noun.word.replace("-", " "), "status")),
            *((column.heading, column.side) for column in noun.columns),
            *(("assessment", "right"), ("proposed by", "left"), ("agreed by", "left")),
        ]
        told = (
            (
                *(each[noun.key], each["status"], *(column.shows(each) for column in noun.columns)),
                *(str(each["assessment"] or ""), people[each["proposed_by"]], people[each["agreed_by"]]),
            )
            for each in rows
        )
        table(f"{noun.path.replace('-', ' ').capitalize()} of {award}", heads, told)

    return show_all
