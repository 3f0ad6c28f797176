"""What webhooks were sent: queues, what stands in them, and each attempt. What was attempted never changes, and nothing goes."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE queues (
    webhook {name} PRIMARY KEY,
    position {bigint} NOT NULL,
    sequence {bigint} NOT NULL,
    revision {bigint} NOT NULL,
    failing_since {name}
);
CREATE TABLE deliveries (
    webhook {name} NOT NULL REFERENCES queues (webhook),
    sequence {bigint} NOT NULL,
    position {bigint},
    award {name},
    type {name} NOT NULL,
    id {name} NOT NULL UNIQUE,
    checkpoint {bigint},
    queued_at {name} NOT NULL,
    state {name} NOT NULL CHECK (state IN ('waiting', 'delivered', 'parked')),
    attempts {bigint} NOT NULL,
    tries {bigint} NOT NULL,
    due_at {name} NOT NULL,
    ended_at {name},
    PRIMARY KEY (webhook, sequence),
    UNIQUE (webhook, position)
);
CREATE INDEX deliveries_waiting ON deliveries (webhook, sequence) WHERE state = 'waiting';
CREATE INDEX deliveries_parked ON deliveries (webhook, sequence) WHERE state = 'parked';
CREATE TABLE attempts (
    webhook {name} NOT NULL,
    sequence {bigint} NOT NULL,
    number {bigint} NOT NULL,
    at {name} NOT NULL,
    status {bigint},
    failure {name},
    duration_ms {bigint} NOT NULL,
    answer {name} NOT NULL,
    PRIMARY KEY (webhook, sequence, number),
    FOREIGN KEY (webhook, sequence) REFERENCES deliveries (webhook, sequence)
)
"""

SQLITE = (
    """
CREATE TRIGGER deliveries_are_dense BEFORE INSERT ON deliveries
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM deliveries WHERE webhook = NEW.webhook)
BEGIN SELECT RAISE(ABORT, 'the sequence of a webhook has no holes'); END
""",
    """
CREATE TRIGGER deliveries_stay_what_they_are BEFORE UPDATE OF webhook, sequence, position, award, type, id, checkpoint, queued_at
ON deliveries BEGIN SELECT RAISE(ABORT, 'what is delivered never becomes something else'); END
""",
    """
CREATE TRIGGER deliveries_never_vanish BEFORE DELETE ON deliveries
BEGIN SELECT RAISE(ABORT, 'no delivery vanishes'); END
""",
    """
CREATE TRIGGER attempts_never_change BEFORE UPDATE ON attempts
BEGIN SELECT RAISE(ABORT, 'an attempt never changes'); END
""",
    """
CREATE TRIGGER attempts_never_vanish BEFORE DELETE ON attempts
BEGIN SELECT RAISE(ABORT, 'no attempt vanishes'); END
""",
)

POSTGRESQL = (
    """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'deliveries never become something else, and neither they nor attempts vanish'; END $$
""",
    """
CREATE FUNCTION refuse_hole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM deliveries.deliveries WHERE webhook = NEW.webhook) THEN
        RAISE EXCEPTION 'the sequence of a webhook has no holes';
    END IF;
    RETURN NEW;
END $$
""",
    """
CREATE TRIGGER deliveries_are_dense BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION refuse_hole()
""",
    """
CREATE TRIGGER deliveries_stay_what_they_are BEFORE UPDATE OF webhook, sequence, position, award, type, id, checkpoint, queued_at
ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER deliveries_never_vanish BEFORE DELETE OR TRUNCATE ON deliveries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER attempts_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON attempts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
)


def upgrade() -> None:
    """Make everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    tables = TABLES.format(bigint="INTEGER", name="TEXT") if sqlite else TABLES.format(bigint="bigint", name='text COLLATE "C"')
    for statement in (*tables.split(";"), *(SQLITE if sqlite else POSTGRESQL)):
        op.get_bind().exec_driver_sql(statement.strip(), execution_options={"no_parameters": True})
