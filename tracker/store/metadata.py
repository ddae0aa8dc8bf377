"""What all tables share: names of constraints, partial indexes, the key of a translation."""

from sqlalchemy import Column, ForeignKey, Index, MetaData, text

from tracker.store.types import BigKey

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def index_where(name: str, columns: str | tuple[str, ...], condition: str) -> Index:
    """Of the rows that meet the condition, and no others."""
    names = (columns,) if isinstance(columns, str) else columns
    return Index(name, *names, sqlite_where=text(condition), postgresql_where=text(condition))


def translation_id_column() -> Column[int]:
    """Goes with its translation."""
    key = ForeignKey("translations.id", ondelete="CASCADE")
    return Column("translation_id", BigKey, key, nullable=False, index=True)
