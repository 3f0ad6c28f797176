"""What is said is kept with each delivery, and what was delivered long ago may go; a queue knows which log it has looked at.

`body` is what every attempt sends, byte for byte; nothing, if it was queued before: then it is made anew. `forgotten` is the
position up to which deliveries may have gone, `seen` the highest position that was looked at, and `seen_leaf` its entry's leaf.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE deliveries ADD COLUMN body {blob};
ALTER TABLE queues ADD COLUMN forgotten {bigint} NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN seen {bigint} NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN seen_leaf {blob}
"""

SQLITE = (
    "DROP TRIGGER deliveries_stay_what_they_are",
    "DROP TRIGGER deliveries_never_vanish",
    "DROP TRIGGER attempts_never_vanish",
    """
CREATE TRIGGER deliveries_stay_what_they_are
BEFORE UPDATE OF webhook, sequence, position, award, type, id, checkpoint, queued_at, body
ON deliveries BEGIN SELECT RAISE(ABORT, 'what is delivered never becomes something else'); END
""",
    """
CREATE TRIGGER deliveries_never_vanish BEFORE DELETE ON deliveries
WHEN OLD.state <> 'delivered' OR OLD.sequence = (SELECT max(sequence) FROM deliveries WHERE webhook = OLD.webhook)
BEGIN SELECT RAISE(ABORT, 'no delivery vanishes that somebody waits for, nor the last one'); END
""",
    """
CREATE TRIGGER attempts_never_vanish BEFORE DELETE ON attempts
WHEN EXISTS (SELECT 1 FROM deliveries WHERE webhook = OLD.webhook AND sequence = OLD.sequence AND state <> 'delivered')
BEGIN SELECT RAISE(ABORT, 'no attempt vanishes of what somebody waits for'); END
""",
)

POSTGRESQL = (
    "DROP TRIGGER deliveries_stay_what_they_are ON deliveries",
    "DROP TRIGGER deliveries_never_vanish ON deliveries",
    "DROP TRIGGER attempts_never_change ON attempts",
    """
CREATE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'delivered'
        OR OLD.sequence = (SELECT max(sequence) FROM deliveries.deliveries WHERE webhook = OLD.webhook) THEN
        RAISE EXCEPTION 'no delivery vanishes that somebody waits for, nor the last one';
    END IF;
    RETURN OLD;
END $$
""",
    """
CREATE FUNCTION refuse_lost_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM deliveries.deliveries
        WHERE webhook = OLD.webhook AND sequence = OLD.sequence AND state <> 'delivered'
    ) THEN
        RAISE EXCEPTION 'no attempt vanishes of what somebody waits for';
    END IF;
    RETURN OLD;
END $$
""",
    """
CREATE TRIGGER deliveries_stay_what_they_are
BEFORE UPDATE OF webhook, sequence, position, award, type, id, checkpoint, queued_at, body
ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER deliveries_never_vanish BEFORE DELETE ON deliveries FOR EACH ROW EXECUTE FUNCTION refuse_loss()
""",
    """
CREATE TRIGGER deliveries_never_vanish_at_once BEFORE TRUNCATE ON deliveries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER attempts_never_change BEFORE UPDATE OR TRUNCATE ON attempts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER attempts_never_vanish BEFORE DELETE ON attempts FOR EACH ROW EXECUTE FUNCTION refuse_lost_attempt()
""",
)


def upgrade() -> None:
    """Add the columns, and let go what may go."""
    sqlite = op.get_context().dialect.name == "sqlite"
    columns = COLUMNS.format(bigint="INTEGER", blob="BLOB") if sqlite else COLUMNS.format(bigint="bigint", blob="bytea")
    for statement in (*columns.split(";"), *(SQLITE if sqlite else POSTGRESQL)):
        op.get_bind().exec_driver_sql(statement.strip(), execution_options={"no_parameters": True})
