"""How far the demo has come in a folder, kept in a small file beside the ledger, and the second administrator's key."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from api.cli.access import Mistaken
from api.cli.demo import history
from api.settings import Settings

_FILE: Final = "demo.json"
_SECOND_KEY: Final = "second-administrator.key"


@dataclass(slots=True)
class State:
    """`script` names the history that is played; `keys` are the ids of keys that were given out and not taken back."""

    folder: Path
    script: str
    stage: Literal["new", "begun", "played"] = "new"
    keys: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, ours: Settings) -> "State":
        """What stands in the folder; `Mistaken` if that is not this demo's."""
        script, file = _script(), ours.data_dir / _FILE
        if not file.exists():
            if ours.log_file.exists():
                raise Mistaken(
                    f"{ours.data_dir} holds a ledger that is not the demo's: give the demo another folder with --data-dir."
                )
            return cls(ours.data_dir, script)
        found = json.loads(file.read_text("utf-8"))
        if found["script"] != script:
            raise Mistaken(
                f"{ours.data_dir} holds the demo of another release: delete it, or give another folder with --data-dir."
            )
        return cls(ours.data_dir, script, found["stage"], found["keys"])

    def keep(self) -> None:
        """Write it down; it is there whole or not at all."""
        _write(self.folder / _FILE, json.dumps({name: kept for name, kept in asdict(self).items() if name != "folder"}))

    @property
    def second_key(self) -> str | None:
        """The second administrator's key, if there is one."""
        file = self.folder / _SECOND_KEY
        return file.read_text("utf-8").strip() if file.exists() else None

    def keep_second_key(self, shown: str) -> None:
        """Write the second administrator's key where only its owner can read it."""
        _write(self.folder / _SECOND_KEY, shown)


def _script() -> str:
    told = [(claim.award, claim.body, claim.decisions, claim.later) for claim in history.claims()]
    return sha256(json.dumps([history.packaged(), told]).encode()).hexdigest()[:16]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
