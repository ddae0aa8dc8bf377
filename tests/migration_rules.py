"""The house rules for migrations on PostgreSQL, held against the SQL that a migration emits there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SMALL = {"alembic_version", "tracker_state"}  # a handful of rows: what takes long elsewhere does not here
FLAGS = re.IGNORECASE | re.DOTALL
NAME = r'(?:public\.)?"?(\w+)"?'
CREATE_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(IF NOT EXISTS )?{NAME} ON (?:ONLY )?{NAME}", FLAGS
)
DROP_INDEX = re.compile(rf"DROP INDEX CONCURRENTLY IF EXISTS {NAME}", FLAGS)
CREATE_TABLE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?{NAME}", FLAGS)
ALTER_TABLE = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?{NAME} (.*)", FLAGS)
REWRITE = re.compile(rf"(?:UPDATE|DELETE FROM|TRUNCATE(?: TABLE)?) (?:ONLY )?{NAME}", FLAGS)
NEVER = re.compile(
    r"VACUUM FULL|CLUSTER|LOCK TABLE|REINDEX(?!.* CONCURRENTLY)|REFRESH MATERIALIZED VIEW", FLAGS
)
OUTSIDE = re.compile(
    r"(?:CREATE (?:UNIQUE )?INDEX|DROP INDEX|REINDEX \w+) CONCURRENTLY|ALTER TABLE \S+ VALIDATE |DO ",
    FLAGS,
)
IN_BATCHES = re.compile(r"DO .*\bLIMIT\b.*\bCOMMIT\b", FLAGS)
TEXT = re.compile(r"'(?:[^']|'')*'")
ADD_CONSTRAINT = re.compile(r'ADD CONSTRAINT "?(\w+)"? (.*)', FLAGS)
ADD_COLUMN = re.compile(r'ADD (?:COLUMN )?(?:IF NOT EXISTS )?"?(\w+)"? (.*)', FLAGS)
DEFAULT = re.compile(r"DEFAULT (.*?)(?= NOT NULL| NULL| UNIQUE| PRIMARY| CHECK| REFERENCES|$)", FLAGS)
# A default that is the same for every row is kept beside the table; any other has it written anew.
SAME_FOR_ALL = re.compile(
    r"\(?(?:-?[\d.]+|''|true|false|null|CURRENT_TIMESTAMP|now\(\))\)?(?:::[\w ]+)?", FLAGS
)
COMPUTED = re.compile(r"\b(?:BIG|SMALL)?SERIAL\b|GENERATED (?:ALWAYS|BY DEFAULT)", FLAGS)
REPEATABLE = re.compile(
    r"DO |COMMENT ON |CREATE OR REPLACE |REINDEX |ALTER TABLE \S+ VALIDATE "
    r"|CREATE (?:UNIQUE )?INDEX CONCURRENTLY|.*\bIF (?:NOT )?EXISTS\b",
    FLAGS,
)
NOT_NULL_CHECK = re.compile(r'CHECK \(+"?(\w+)"? IS NOT NULL\)+', FLAGS)


@dataclass(slots=True)
class _Seen:
    """What the statements of one migration have done so far."""

    outside: bool = False  # of a transaction
    transaction: int = 0
    made: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    not_valid: dict[str, tuple[int, str]] = field(default_factory=dict)
    never_null: set[str] = field(default_factory=set)

    def is_large(self, table: str) -> bool:
        """Whether it may hold millions of rows when the migration comes."""
        return table not in self.made | SMALL


def broken_rules(statements: Sequence[str]) -> list[str]:
    """What is wrong with a migration's SQL, one text each; `statements` are those of migration_plan."""
    seen = _Seen()
    plain = [_plain(statement) for statement in statements]
    broken = [f"{problem}: {statement}" for statement in plain for problem in _problems(statement, seen)]
    broken += [f"{name} is never validated" for name in seen.not_valid]
    return broken + [
        f"it is committed before the migration is done, and must bear to be repeated: {statement}"
        for statement in _committed_early(plain)
    ]


def _plain(statement: str) -> str:
    """On one line, without texts, in which any word may stand."""
    return TEXT.sub("''", " ".join(statement.split())).rstrip(";")


def _committed_early(statements: Sequence[str]) -> list[str]:
    """What would come again after an attempt that broke off: the last transaction notes the revision."""
    ends = [number for number, statement in enumerate(statements) if statement == "BEGIN"]
    early = list(statements[: ends[-1]]) if ends else []
    found = []
    for number, statement in enumerate(early):
        added = ADD_CONSTRAINT.search(statement)
        dropped = f"DROP CONSTRAINT IF EXISTS {added[1]}" if added else None
        if dropped and any(one.endswith(dropped) for one in early[:number]):
            continue
        if statement not in ("BEGIN", "COMMIT") and not REPEATABLE.match(statement):
            found.append(statement)
    return found


def _problems(statement: str, seen: _Seen) -> Iterator[str]:
    if statement in ("BEGIN", "COMMIT"):
        seen.outside = statement == "COMMIT"
        seen.transaction += 1
        return
    if seen.outside and not OUTSIDE.match(statement):
        yield "outside a transaction nothing limits how long it waits for a lock"
    if NEVER.match(statement):
        yield "it locks or rewrites a whole table"
    if (rewritten := REWRITE.match(statement)) and seen.is_large(rewritten[1]):
        yield "it may touch every row in one statement; go in batches, in an autocommit block"
    if statement.upper().startswith("DO ") and not IN_BATCHES.match(statement):
        yield "a block must go in batches, with LIMIT and COMMIT"
    if made := CREATE_TABLE.match(statement):
        seen.made.add(made[1])
    yield from _problems_of_index(statement, seen)
    yield from _problems_of_table(statement, seen)


def _problems_of_index(statement: str, seen: _Seen) -> Iterator[str]:
    if dropped := DROP_INDEX.match(statement):
        seen.dropped.add(dropped[1])
    if not (index := CREATE_INDEX.match(statement)) or not seen.is_large(index[4]):
        return
    if index[1] is None:
        yield "it locks the table against writes; CREATE INDEX CONCURRENTLY, in an autocommit block"
    elif not seen.outside:
        yield "CONCURRENTLY needs an autocommit block"
    elif index[2] is not None or index[3] not in seen.dropped:
        yield "what a broken attempt left is invalid; DROP INDEX CONCURRENTLY IF EXISTS first"


def _problems_of_table(statement: str, seen: _Seen) -> Iterator[str]:
    altered = ALTER_TABLE.match(statement)
    if altered is None or not seen.is_large(altered[1]):
        return
    for action in _actions(altered[2]):
        yield from _problems_of_action(action, seen)


def _actions(text: str) -> list[str]:
    """The actions of one ALTER TABLE: split at the commas that stand in no parentheses."""
    actions, depth = [""], 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            actions.append("")
        else:
            actions[-1] += char
    return [action.strip() for action in actions]


def _problems_of_action(action: str, seen: _Seen) -> Iterator[str]:
    if constraint := ADD_CONSTRAINT.match(action):
        yield from _problems_of_constraint(constraint[1], constraint[2], seen)
    elif validated := re.match(r'VALIDATE CONSTRAINT "?(\w+)"?', action, FLAGS):
        yield from _problems_of_validation(validated[1], seen)
    elif re.match(r"ADD (?:CHECK|FOREIGN KEY|UNIQUE|PRIMARY KEY|EXCLUDE)\b", action, FLAGS):
        yield "a constraint needs a name"
    elif column := ADD_COLUMN.match(action):
        yield from _problems_of_column(column[2])
    elif re.match(r"ALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b", action, FLAGS):
        yield "it rewrites the table; add a column, and let the next release read it"
    elif never_null := re.match(r'ALTER (?:COLUMN )?"?(\w+)"? SET NOT NULL', action, FLAGS):
        if never_null[1] not in seen.never_null:
            yield "it reads the whole table under a lock; validate CHECK (... IS NOT NULL) before"
    elif re.match(r"RENAME\b", action, FLAGS):
        yield "the previous release knows the old name"
    elif re.match(r"SET (?:LOGGED|UNLOGGED|TABLESPACE|ACCESS METHOD)\b", action, FLAGS):
        yield "it rewrites the table"


def _problems_of_constraint(name: str, definition: str, seen: _Seen) -> Iterator[str]:
    if re.match(r"(?:UNIQUE|PRIMARY KEY) USING INDEX\b", definition, FLAGS):
        return
    if not re.match(r"(?:CHECK|FOREIGN KEY)\b", definition, FLAGS):
        yield "it builds an index under a lock; make it CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX"
    elif not re.search(r"\bNOT VALID$", definition, FLAGS):
        yield "it reads the whole table under a lock; add it NOT VALID, then VALIDATE it"
    else:
        seen.not_valid[name] = (seen.transaction, definition)


def _problems_of_validation(name: str, seen: _Seen) -> Iterator[str]:
    transaction, definition = seen.not_valid.pop(name, (None, ""))
    if transaction == seen.transaction:
        yield "the lock of NOT VALID is held meanwhile; VALIDATE in an autocommit block"
    if checked := NOT_NULL_CHECK.match(definition):
        seen.never_null.add(checked[1])


def _problems_of_column(definition: str) -> Iterator[str]:
    default = DEFAULT.search(definition)
    if re.search(r"\bNOT NULL\b", definition, FLAGS) and default is None:
        yield "rows that are there, and programs that do not know it, need a default"
    if COMPUTED.search(definition) or (default and not SAME_FOR_ALL.fullmatch(default[1].strip())):
        yield "a default that differs from row to row rewrites the table"
    if re.search(r"\b(?:REFERENCES|CHECK|UNIQUE|PRIMARY KEY)\b", definition, FLAGS):
        yield "add the constraint by itself: NOT VALID, then VALIDATE"
