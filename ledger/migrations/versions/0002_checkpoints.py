"""What is signed of the log: checkpoints and witnesses' cosignatures, kept as the log is; and roots of its subtrees."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    """
CREATE TABLE checkpoints (
    size {bigint} NOT NULL PRIMARY KEY,
    origin {name} NOT NULL,
    root {bytes} NOT NULL,
    key {bytes} NOT NULL,
    note {name} NOT NULL,
    made_at {name} NOT NULL
)
""",
    """
CREATE TABLE cosignatures (
    size {bigint} NOT NULL,
    witness {name} NOT NULL,
    line {name} NOT NULL,
    made_at {name} NOT NULL,
    PRIMARY KEY (size, witness)
)
""",
    """
CREATE TABLE subtrees (
    height {bigint} NOT NULL,
    number {bigint} NOT NULL,
    root {bytes} NOT NULL,
    PRIMARY KEY (height, number)
)
""",
)
NEVER_CHANGED = ("checkpoints", "cosignatures", "subtrees")

SQLITE_NEVER = (
    """
CREATE TRIGGER {table}_never_change BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, 'what was signed never changes: {table} take no UPDATE'); END
""",
    """
CREATE TRIGGER {table}_never_vanish BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, 'nothing that was signed vanishes: {table} take no DELETE'); END
""",
)
# INSERT OR REPLACE deletes what stands in its way without asking the triggers on DELETE.
SQLITE_ONCE = (
    """
CREATE TRIGGER checkpoints_go_on BEFORE INSERT ON checkpoints
WHEN NEW.size > (SELECT coalesce(max(position), 0) FROM entries) OR EXISTS (SELECT 1 FROM checkpoints WHERE size >= NEW.size)
BEGIN SELECT RAISE(ABORT, 'a checkpoint is of more entries than the one before it, once'); END
""",
    """
CREATE TRIGGER cosignatures_replace_nothing BEFORE INSERT ON cosignatures
WHEN EXISTS (SELECT 1 FROM cosignatures WHERE size = NEW.size AND witness = NEW.witness)
BEGIN SELECT RAISE(IGNORE); END
""",
    """
CREATE TRIGGER subtrees_replace_nothing BEFORE INSERT ON subtrees
WHEN EXISTS (SELECT 1 FROM subtrees WHERE height = NEW.height AND number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END
""",
)

POSTGRESQL_NEVER = (
    """
CREATE TRIGGER {table}_never_change BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER {table}_never_vanish BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
)
POSTGRESQL_ONCE = (
    """
CREATE FUNCTION refuse_checkpoint() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.size > (SELECT coalesce(max(position), 0) FROM entries) OR EXISTS (SELECT 1 FROM checkpoints WHERE size >= NEW.size)
    THEN
        RAISE EXCEPTION 'a checkpoint is of more entries than the one before it, once';
    END IF;
    RETURN NEW;
END $$
""",
    "CREATE TRIGGER checkpoints_go_on BEFORE INSERT ON checkpoints FOR EACH ROW EXECUTE FUNCTION refuse_checkpoint()",
)


def upgrade() -> None:
    """Make everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    kinds = {"bigint": "INTEGER", "name": "TEXT", "bytes": "BLOB"}
    if not sqlite:
        kinds = {"bigint": "bigint", "name": 'text COLLATE "C"', "bytes": "bytea"}
    never = SQLITE_NEVER if sqlite else POSTGRESQL_NEVER
    for statement in (
        *(table.format(**kinds) for table in TABLES),
        *(trigger.format(table=table) for table in NEVER_CHANGED for trigger in never),
        *(SQLITE_ONCE if sqlite else POSTGRESQL_ONCE),
    ):
        op.get_bind().exec_driver_sql(statement.strip(), execution_options={"no_parameters": True})
