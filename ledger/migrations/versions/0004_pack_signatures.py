"""What was signed for audit packs, as it was signed first: so that a pack stays the same when another key signs the log."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE pack_signatures (
    subject {name} NOT NULL PRIMARY KEY,
    key {bytes} NOT NULL,
    note {name} NOT NULL
)
"""

SQLITE = (
    """
CREATE TRIGGER pack_signatures_never_change BEFORE UPDATE ON pack_signatures
BEGIN SELECT RAISE(ABORT, 'what was signed never changes: pack_signatures take no UPDATE'); END
""",
    """
CREATE TRIGGER pack_signatures_never_vanish BEFORE DELETE ON pack_signatures
BEGIN SELECT RAISE(ABORT, 'nothing that was signed vanishes: pack_signatures take no DELETE'); END
""",
    # INSERT OR REPLACE deletes what stands in its way without asking the triggers on DELETE.
    """
CREATE TRIGGER pack_signatures_replace_nothing BEFORE INSERT ON pack_signatures
WHEN EXISTS (SELECT 1 FROM pack_signatures WHERE subject = NEW.subject)
BEGIN SELECT RAISE(IGNORE); END
""",
)
POSTGRESQL = (
    """
CREATE TRIGGER pack_signatures_never_change BEFORE UPDATE OR DELETE ON pack_signatures
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER pack_signatures_never_vanish BEFORE TRUNCATE ON pack_signatures
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
)


def upgrade() -> None:
    """Make everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    kinds = {"name": "TEXT", "bytes": "BLOB"} if sqlite else {"name": 'text COLLATE "C"', "bytes": "bytea"}
    for statement in (TABLE.format(**kinds), *(SQLITE if sqlite else POSTGRESQL)):
        op.get_bind().exec_driver_sql(statement.strip(), execution_options={"no_parameters": True})
