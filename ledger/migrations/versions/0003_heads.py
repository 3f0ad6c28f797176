"""Heads without an index by time: as their times never fall, they are searched by their sizes; a commit writes a page less."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the index go."""
    op.get_bind().exec_driver_sql("DROP INDEX heads_by_time")
