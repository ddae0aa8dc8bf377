"""Rows as the domain knows them."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from tracker.domain.observation import Details
from tracker.domain.status import Attention, Status
from tracker.domain.translation import Translation
from tracker.store.tables import translations

DETAILS = [field.name for field in fields(Details)]
PLAIN = [field.name for field in fields(Translation) if field.name not in ("details", "status", "attention")]
COLUMNS = [translations.c[name] for name in ("status", "attention", *PLAIN, *DETAILS)]


def as_translation(row: Row[Any]) -> Translation:
    """The domain's view of a row selected by COLUMNS."""
    values = row._mapping
    return Translation(
        status=Status(values["status"]),
        attention=Attention(values["attention"]) if values["attention"] else None,
        details=Details(**{name: values[name] for name in DETAILS}),
        **{name: values[name] for name in PLAIN},
    )
