"""The rules for migrations on PostgreSQL: good SQL passes, bad SQL is named with what to do instead."""

from tests.migration_rules import broken_rules

INDEX = "CREATE INDEX CONCURRENTLY ix_translations_title ON translations (title);"
DROP = "DROP INDEX CONCURRENTLY IF EXISTS ix_translations_title;"
NOT_VALID = "ALTER TABLE translations ADD CONSTRAINT ck_x CHECK (title IS NOT NULL) NOT VALID;"
FOREIGN = "ALTER TABLE translations ADD CONSTRAINT ck_x FOREIGN KEY(a) REFERENCES b (id) NOT VALID;"
DROP_CHECK = "ALTER TABLE translations DROP CONSTRAINT IF EXISTS ck_x;"
SET_NOT_NULL = "ALTER TABLE translations ALTER COLUMN title SET NOT NULL;"
USE_INDEX = "ALTER TABLE translations ADD CONSTRAINT u UNIQUE USING INDEX ix_translations_title;"
FUNCTION = "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN UPDATE translations SET id = 1; END $$;"
ADD_COLUMN = "ALTER TABLE translations ADD COLUMN IF NOT EXISTS a TEXT;"
NEW_TABLE = "CREATE TABLE a (n INT);"
VALIDATE = "ALTER TABLE translations VALIDATE CONSTRAINT ck_x;"
IN_BATCHES = """
DO $$ BEGIN
    LOOP
        UPDATE translations SET title = '' WHERE id IN (
            SELECT id FROM translations WHERE title IS NULL LIMIT 1000);
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$;
"""


def in_transaction(*statements: str) -> list[str]:
    return ["BEGIN;", *statements, "UPDATE alembic_version SET version_num='0009';", "COMMIT;"]


def altered(action: str) -> list[str]:
    return in_transaction(f"ALTER TABLE translations {action};")


def around(*statements: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> list[str]:
    """As alembic writes an autocommit block down."""
    return in_transaction(*before, "COMMIT;", *statements, "BEGIN;", *after)


def test_what_harms_nobody_passes() -> None:
    for good in [
        in_transaction("CREATE TABLE archive (id BIGINT);", "CREATE INDEX ix_archive_id ON archive (id);"),
        in_transaction("CREATE TABLE archive (id BIGINT NOT NULL, CONSTRAINT c CHECK (id > 0));"),
        in_transaction(NEW_TABLE, "ALTER TABLE a ADD CHECK (n > 0);", "UPDATE a SET n = 1;"),
        altered("ADD COLUMN priority INTEGER"),
        altered("ADD COLUMN priority INTEGER DEFAULT 0 NOT NULL"),
        altered("ADD COLUMN word VARCHAR(8) DEFAULT 'NOT VALID, TYPE' NOT NULL"),
        altered("ADD COLUMN at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP NOT NULL"),
        altered("ADD COLUMN word TEXT DEFAULT 'it''s'"),
        in_transaction("DROP VIEW v;", "ALTER TABLE changes DROP COLUMN a;", "CREATE VIEW v AS SELECT 1;"),
        altered("ALTER COLUMN title SET DEFAULT 'x'"),
        in_transaction("COMMENT ON COLUMN translations.title IS 'UPDATE translations SET x';"),
        in_transaction(FUNCTION),
        in_transaction("CREATE TRIGGER t AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION f();"),
        in_transaction("UPDATE tracker_state SET value = '1';"),
        around(DROP, INDEX),
        around(VALIDATE, before=(DROP_CHECK, NOT_VALID)),
        around(VALIDATE, before=(DROP_CHECK, NOT_VALID), after=(SET_NOT_NULL,)),
        around(VALIDATE, before=(DROP_CHECK, FOREIGN)),
        around(VALIDATE, before=(ADD_COLUMN, DROP_CHECK, NOT_VALID)),
        around(DROP, INDEX.replace("INDEX", "UNIQUE INDEX", 1), after=(USE_INDEX,)),
        around(IN_BATCHES),
    ]:
        assert broken_rules(good) == []


def test_what_would_stop_the_daemons_is_named() -> None:
    for problem, bad in [
        ("CONCURRENTLY, in an autocommit", in_transaction("CREATE INDEX ix_t ON translations (title);")),
        ("CONCURRENTLY, in an autocommit", in_transaction('create unique index i on "changes" (note);')),
        ("needs an autocommit block", in_transaction(DROP, INDEX)),
        ("IF EXISTS first", around(INDEX)),
        ("IF EXISTS first", around(DROP, INDEX.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS"))),
        ("rewrites the table", altered("ALTER COLUMN title TYPE VARCHAR(9)")),
        ("rewrites the table", altered("ALTER note SET DATA TYPE TEXT")),
        ("rewrites the table", altered("SET UNLOGGED")),
        ("in batches", in_transaction("UPDATE translations SET title = '' WHERE title IS NULL;")),
        ("in batches", in_transaction("DELETE FROM deliveries;")),
        ("in batches", in_transaction("TRUNCATE TABLE deliveries;")),
        ("with LIMIT and COMMIT", around("DO $$ BEGIN UPDATE translations SET title = ''; END $$;")),
        ("locks or rewrites", in_transaction("VACUUM FULL translations;")),
        ("locks or rewrites", in_transaction("LOCK TABLE translations;")),
        ("locks or rewrites", in_transaction("REINDEX TABLE translations;")),
        ("need a default", altered("ADD COLUMN priority INTEGER NOT NULL")),
        ("need a default", altered("ADD COLUMN a INT, ADD COLUMN b NUMERIC(3, 1) NOT NULL")),
        ("differs from row to row", altered("ADD COLUMN a FLOAT DEFAULT random()")),
        ("differs from row to row", altered("ADD COLUMN a BIGSERIAL")),
        ("differs from row to row", altered("ADD COLUMN a INT GENERATED ALWAYS AS (1) STORED")),
        ("differs from row to row", altered("ADD a timestamptz DEFAULT clock_timestamp() NOT NULL")),
        ("by itself", altered("ADD COLUMN a BIGINT REFERENCES submissions (id)")),
        ("SET NOT NULL", altered("ALTER COLUMN title SET NOT NULL")),
        ("is never validated", in_transaction(NOT_VALID)),
        ("held meanwhile", in_transaction(NOT_VALID, VALIDATE)),
        ("then VALIDATE it", in_transaction(NOT_VALID.replace(" NOT VALID", ""))),
        ("then VALIDATE it", altered("ADD CONSTRAINT f FOREIGN KEY(b) REFERENCES c (id)")),
        ("USING INDEX", altered("ADD CONSTRAINT u UNIQUE (title)")),
        ("USING INDEX", altered("ADD CONSTRAINT u PRIMARY KEY (title)")),
        ("needs a name", altered("ADD CHECK (title <> '')")),
        ("knows the old name", altered("RENAME title TO heading")),
        ("knows the old name", altered("RENAME TO jobs")),
        ("nothing limits how long", around("ALTER TABLE translations ADD COLUMN IF NOT EXISTS a INTEGER;")),
        ("bear to be repeated", around(DROP, INDEX, before=("ALTER TABLE translations ADD COLUMN a TEXT;",))),
        ("bear to be repeated", around(VALIDATE, before=(NOT_VALID,))),
        ("bear to be repeated", around("DROP INDEX CONCURRENTLY ix_translations_title;")),
    ]:
        broken = broken_rules(bad)

        assert len(broken) == 1, broken
        assert problem in broken[0]
