"""Conditions in SQL that tables, indexes and queries share.

An index on a part of the rows is used only for a query that says its condition in the same words, so
that they are texts, without parameters.
"""

from enum import StrEnum

from tracker.domain.status import FINAL_STATUSES, OPEN_STATUSES


def one_of(column: str, words: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


def is_a_time(column: str) -> str:
    """SQLite: `2026-11-23 09:30:00` with or without a fraction, and on the calendar."""
    seconds = f"substr({column}, 1, 19)"
    return (
        f"strftime('%Y-%m-%d %H:%M:%S', {seconds}, '+0 days') IS {seconds} "
        f"AND {column} > '0001' AND (substr({column}, 20) = '' OR (substr({column}, 20) GLOB '.[0-9]*' "
        f"AND trim(substr({column}, 21), '0123456789') = ''))"
    )


IS_OPEN = f"status IN ({', '.join(repr(str(status)) for status in OPEN_STATUSES)})"
IS_FINAL = f"status IN ({', '.join(repr(str(status)) for status in FINAL_STATUSES)})"
# A bulk answer has no urls, and its "not found" is believed only once the id was asked about alone.
ASKED_ALONE = (
    f"({IS_FINAL} OR (substr(COALESCE(last_error, ''), 1, 10) = 'not_found:' "
    "AND COALESCE(attention, '') <> 'not_found'))"
)
# What a poll can be made of.
POLLED_TOGETHER = f"video_translate_id IS NOT NULL AND NOT {ASKED_ALONE}"
POLLED_ALONE = f"video_translate_id IS NOT NULL AND {ASKED_ALONE}"
IS_UNFLAGGED = f"{IS_OPEN} AND attention IS NULL"
EVERY_ROW = "id > 0"
LEARNT = "poll_failures = 0 AND last_polled_at IS NOT NULL"
# It has ended, and neither a poll nor a person has anything left to do.
IS_SETTLED = "finished_at IS NOT NULL AND next_poll_at IS NULL AND attention IS NULL"

# Written by a release that did not know renewals: nobody has said yet when its links are due.
IS_UNPLANNED = "renew_links_at IS NULL AND status = 'success' AND url_expires_at IS NOT NULL"
