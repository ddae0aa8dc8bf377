"""How long rows are kept."""

from datetime import timedelta

import pytest

from tests.builders import NOON, after, observation
from tracker.domain.retention import Keep, Kind
from tracker.domain.status import Source, Status

MONTH = timedelta(days=30)


def test_what_is_kept_for_ever_has_no_limit() -> None:
    assert Keep().limits(NOON) == {}
    assert Keep(deliveries=MONTH).limits(NOON) == {Kind.DELIVERIES: after(days=-30)}


def test_bodies_go_before_their_deliveries() -> None:
    keep = Keep(delivery_bodies=timedelta(days=7), deliveries=MONTH, finished=timedelta(days=365))

    assert list(keep.limits(NOON)) == list(Kind)
    assert list(Kind).index(Kind.DELIVERY_BODIES) < list(Kind).index(Kind.DELIVERIES)


@pytest.mark.parametrize(
    ("status", "created", "occurred", "past"),
    [
        (Status.SUCCESS, 31, None, True),
        (Status.FAILED, 31, None, True),
        (Status.SUCCESS, 29, None, False),
        (Status.SUCCESS, 31, 29, False),
        (Status.SUCCESS, None, 31, True),
        (Status.SUCCESS, None, None, False),
        (Status.RUNNING, 31, None, False),
        (None, 31, None, False),
    ],
)
def test_an_end_is_past_when_it_would_be_deleted_again(
    status: Status | None, created: float | None, occurred: float | None, *, past: bool
) -> None:
    seen = observation(
        Source.LIST,
        status,
        provider_created_at=None if created is None else after(days=-created),
        occurred_at=None if occurred is None else after(days=-occurred),
    )

    assert Keep(finished=MONTH).is_past(seen, NOON) == past
    assert not Keep().is_past(seen, NOON)
