"""Who was told what: a table of its own database, to which rows are added, and from which only what is old may go."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE disclosures (
    number {number},
    told_at {name} NOT NULL,
    request {name} NOT NULL UNIQUE,
    person {name},
    key {name},
    origin {name} NOT NULL,
    route {name} NOT NULL,
    resource {name},
    award {name},
    as_of {bigint},
    effective_on {name},
    status {bigint} NOT NULL,
    told_rows {bigint}
);
CREATE INDEX disclosures_of_an_award ON disclosures (award, number);
CREATE INDEX disclosures_of_a_person ON disclosures (person, number);
CREATE INDEX disclosures_by_time ON disclosures (told_at)
"""

YOUNGEST_DAYS = 30
"""What is younger than that is deleted by nobody, whatever is set."""

SQLITE = (
    """
CREATE TRIGGER disclosures_never_change BEFORE UPDATE ON disclosures
BEGIN SELECT RAISE(ABORT, 'what was disclosed never changes'); END
""",
    """
CREATE TRIGGER disclosures_replace_nothing BEFORE INSERT ON disclosures
WHEN EXISTS (SELECT 1 FROM disclosures WHERE number = NEW.number OR request = NEW.request)
BEGIN SELECT RAISE(ABORT, 'what was disclosed never changes'); END
""",
    f"""
CREATE TRIGGER disclosures_stay BEFORE DELETE ON disclosures
WHEN OLD.told_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{YOUNGEST_DAYS} days')
BEGIN SELECT RAISE(ABORT, 'what was disclosed stays for {YOUNGEST_DAYS} days at least'); END
""",
)

POSTGRESQL = (
    """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'what was disclosed never changes'; END $$
""",
    f"""
CREATE FUNCTION refuse_haste() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.told_at > to_char((now() AT TIME ZONE 'UTC') - interval '{YOUNGEST_DAYS} days', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') THEN
        RAISE EXCEPTION 'what was disclosed stays for {YOUNGEST_DAYS} days at least';
    END IF;
    RETURN OLD;
END $$
""",
    """
CREATE TRIGGER disclosures_never_change BEFORE UPDATE OR TRUNCATE ON disclosures
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    """
CREATE TRIGGER disclosures_stay BEFORE DELETE ON disclosures FOR EACH ROW EXECUTE FUNCTION refuse_haste()
""",
)


def upgrade() -> None:
    """Make everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    table = (
        TABLE.format(bigint="INTEGER", name="TEXT", number="INTEGER PRIMARY KEY AUTOINCREMENT")
        if sqlite
        else TABLE.format(bigint="bigint", name='text COLLATE "C"', number="bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
    )
    for statement in (*table.split(";"), *(SQLITE if sqlite else POSTGRESQL)):
        op.get_bind().exec_driver_sql(statement.strip(), execution_options={"no_parameters": True})
