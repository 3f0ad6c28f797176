"""The log, its heads and receipts, the vault beside it; and the triggers that keep the log as it is."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE entries (
    position {bigint} NOT NULL PRIMARY KEY,
    stream {name} NOT NULL,
    version {bigint} NOT NULL,
    type {name} NOT NULL,
    recorded_at {name} NOT NULL,
    award {name},
    award_sequence {bigint},
    header {bytes} NOT NULL,
    state {bytes} NOT NULL,
    leaf {bytes} NOT NULL
);
CREATE UNIQUE INDEX entries_of_a_stream ON entries (stream, version);
CREATE UNIQUE INDEX entries_of_an_award ON entries (award, award_sequence) WHERE award IS NOT NULL;
CREATE TABLE heads (
    size {bigint} NOT NULL PRIMARY KEY,
    frontier {bytes} NOT NULL,
    root {bytes} NOT NULL,
    recorded_at {name} NOT NULL
);
CREATE INDEX heads_by_time ON heads (recorded_at, size);
CREATE TABLE receipts (
    person {name} NOT NULL,
    key {name} NOT NULL,
    fingerprint {name} NOT NULL,
    first {bigint} NOT NULL,
    last {bigint} NOT NULL,
    PRIMARY KEY (person, key)
);
CREATE TABLE vault_key (
    id {bigint} NOT NULL PRIMARY KEY CHECK (id = 1),
    checked {bytes} NOT NULL
);
CREATE TABLE texts (
    commitment {name} NOT NULL PRIMARY KEY,
    award {name},
    salt {bytes} NOT NULL,
    sealed {bytes}
);
CREATE INDEX texts_of_an_award ON texts (award);
CREATE TABLE participants (
    award {name} NOT NULL,
    token {name} NOT NULL,
    mark {name} NOT NULL,
    sealed {bytes},
    PRIMARY KEY (award, token)
);
CREATE UNIQUE INDEX participants_by_mark ON participants (mark);
CREATE TABLE tracking (
    application_name {name} NOT NULL PRIMARY KEY,
    notification_id {bigint} NOT NULL
)
"""

SQLITE_NEVER = """
CREATE TRIGGER {table}_never_change BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, 'the log never changes: {table} take no UPDATE'); END;
CREATE TRIGGER {table}_never_vanish BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, 'nothing vanishes from the log: {table} take no DELETE'); END
"""

# INSERT OR REPLACE deletes whatever stands in its way without asking the triggers on DELETE: so what would stand in the way is
# looked for here, by every unique key.
SQLITE_DENSE = """
CREATE TRIGGER entries_are_dense BEFORE INSERT ON entries
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'the log has no gaps: an entry comes at the last position + 1'); END;
CREATE TRIGGER entries_replace_nothing BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE stream = NEW.stream AND version = NEW.version)
  OR EXISTS (SELECT 1 FROM entries WHERE award = NEW.award AND award_sequence = NEW.award_sequence)
BEGIN SELECT RAISE(ABORT, 'the log never changes: this version of the stream is there, or this number of the award'); END;
CREATE TRIGGER heads_go_on BEFORE INSERT ON heads
WHEN NEW.size IS NOT (SELECT max(position) FROM entries) OR EXISTS (SELECT 1 FROM heads WHERE size >= NEW.size)
BEGIN SELECT RAISE(ABORT, 'a head is made for the last entry, once'); END;
CREATE TRIGGER receipts_replace_nothing BEFORE INSERT ON receipts
WHEN EXISTS (SELECT 1 FROM receipts WHERE person = NEW.person AND key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'the log never changes: the key is spent'); END
"""

POSTGRESQL_FUNCTIONS = (
    """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'nothing changes in or vanishes from the log: % take no %', TG_TABLE_NAME, TG_OP; END $$
""",
    """
CREATE FUNCTION refuse_gaps() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE least bigint; most bigint; many bigint;
BEGIN
    SELECT min(position), max(position), count(*) INTO least, most, many FROM fresh;
    IF many > 0 AND (most - least + 1 <> many
        OR least <> (SELECT coalesce(max(position), 0) + 1 FROM entries WHERE position < least)
        OR most <> (SELECT max(position) FROM entries) OR least < 1) THEN
        RAISE EXCEPTION 'the log has no gaps: an entry comes at the last position + 1';
    END IF;
    RETURN NULL;
END $$
""",
    """
CREATE FUNCTION refuse_head() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.size IS DISTINCT FROM (SELECT max(position) FROM entries) OR EXISTS (SELECT 1 FROM heads WHERE size >= NEW.size) THEN
        RAISE EXCEPTION 'a head is made for the last entry, once';
    END IF;
    RETURN NEW;
END $$
""",
)

POSTGRESQL_NEVER = """
CREATE TRIGGER {table}_never_change BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER {table}_never_vanish BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""

POSTGRESQL_DENSE = """
CREATE TRIGGER entries_are_dense AFTER INSERT ON entries REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION refuse_gaps();
CREATE TRIGGER heads_go_on BEFORE INSERT ON heads FOR EACH ROW EXECUTE FUNCTION refuse_head()
"""

LOG_TABLES = ("entries", "heads", "receipts")


def upgrade() -> None:
    """Make everything."""
    if op.get_context().dialect.name == "sqlite":
        _run(TABLES.format(bigint="INTEGER", name="TEXT", bytes="BLOB"))
        for table in LOG_TABLES:
            _run(SQLITE_NEVER.format(table=table), between="END;")
        _run(SQLITE_DENSE, between="END;")
        return
    _run(TABLES.format(bigint="bigint", name='text COLLATE "C"', bytes="bytea"))
    for function in POSTGRESQL_FUNCTIONS:
        _say(function)
    for table in LOG_TABLES:
        _run(POSTGRESQL_NEVER.format(table=table))
    _run(POSTGRESQL_DENSE)


def _run(statements: str, between: str = ";") -> None:
    """Run statements one by one: the drivers take no more."""
    parts = statements.split(between)
    for number, statement in enumerate(parts):
        ended = statement + between.removesuffix(";") if number < len(parts) - 1 else statement
        _say(ended.strip())


def _say(statement: str) -> None:
    op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
