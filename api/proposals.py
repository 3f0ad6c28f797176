"""What one person proposes and another agrees, or turns down."""

from pydantic import BaseModel, ConfigDict

from domain.claim import Note


class Withdrawal(BaseModel):
    """Why something that was proposed is withdrawn, or turned down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Note
