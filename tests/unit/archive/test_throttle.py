"""What all downloads may take together."""

import asyncio

import pytest

from tracker.archive.throttle import Throttle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def seconds(throttle: Throttle, *counts: int) -> float:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.gather(*(throttle.take(count) for count in counts))
    return loop.time() - before


async def test_without_a_limit_nobody_waits() -> None:
    assert await seconds(Throttle(None), 10**9, 10**9) < 0.1


async def test_all_share_the_limit_and_a_piece_may_be_larger_than_a_slice() -> None:
    took = await seconds(Throttle(1_000_000), 150_000, 150_000, 100_000)

    assert 0.25 < took < 2.0  # 400 kB at 1 MB a second, of which the first tenth is free


async def test_a_tiny_limit_is_one_all_the_same() -> None:
    assert 0.3 < await seconds(Throttle(5), 3) < 3.0


async def test_a_new_limit_holds_from_the_next_piece_on() -> None:
    throttle = Throttle(1)
    throttle.set_limit(None)

    assert await seconds(throttle, 10**9) < 0.1
