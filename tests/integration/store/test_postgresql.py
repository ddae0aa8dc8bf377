"""What only a real PostgreSQL server shows: rivals, a server that goes away, parameters, PgBouncer."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOON, URL, as_body, delivery, event, observation
from tests.omissions import leave_out
from tests.postgres import USER, Server, as_who
from tracker.domain.claims import Due
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.errors import StoreError
from tracker.store import claims
from tracker.store.engine import open_engines
from tracker.store.repository import Repository
from tracker.store.writer import translated

pytestmark = pytest.mark.anyio

RULES = partial(determine_outcome, schedule=Schedule())
LEASE = timedelta(seconds=60)
SECONDS_OF_A_SENDER = 8.0
PATIENCE = 30.0
CHANGE = (
    b"INSERT INTO changes (translation_id, old_status, new_status, source, observed_at)"
    b" SELECT id, 'success', 'pending', 'manual', now() FROM translations"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    with postgresql.migrated() as name:
        yield name


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Repository]:
    store = Repository(open_engines(url), lambda: NOON)
    await asyncio.to_thread(store.open)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)


def webhook(name: str, **told: Any) -> Record:
    """Of a success of the translation `name`."""
    body = as_body(event(video_translate_id=name))
    seen = observation(Source.WEBHOOK, Status.SUCCESS, video_translate_id=name, url=URL, **told)
    return Record(delivery=delivery(body, video_translate_id=name), observation=seen)


def registered(name: str | None, **told: Any) -> Record:
    return Record(observation=observation(Source.MANUAL, video_translate_id=name, **told))


async def store_each(store: Repository, names: Sequence[str]) -> list[bool]:
    """Each for itself, all at once; whether it was a duplicate."""
    results = await asyncio.gather(*(store.apply([webhook(name)], RULES) for name in names))
    return [recorded.is_duplicate for [recorded] in results]


# Rivals


async def test_the_same_webhooks_at_two_trackers_at_once_are_stored_once(
    postgresql: Server, database: str
) -> None:
    names = [f"id-{number}" for number in range(300)]
    url = postgresql.url(database)
    async with opened(url) as one, opened(url) as other:
        first, second = await asyncio.gather(store_each(one, names), store_each(other, names[::-1]))

    ask = partial(postgresql.execute, database=database)
    assert first.count(False) + second.count(False) == len(names)
    assert ask("SELECT count(*), count(DISTINCT body_sha256), sum(times_received) FROM deliveries") == [
        (300, 300, 600)
    ]
    assert ask("SELECT count(*), min(status) FROM translations") == [(300, "success")]
    assert ask("SELECT count(*), count(DISTINCT translation_id) FROM changes") == [(300, 300)]


async def test_two_trackers_never_claim_the_same(postgresql: Server, database: str) -> None:
    postgresql.execute(
        "INSERT INTO translations (video_translate_id, next_poll_at)"
        " SELECT 'id-' || n, '2026-11-23 11:00:00' FROM generate_series(1, 400) AS n",
        database,
    )
    url = postgresql.url(database)
    async with opened(url) as one, opened(url) as other:
        claims = await asyncio.gather(
            *(
                store.claim_due(NOON, 10, name, LEASE)
                for _ in range(20)
                for store, name in ((one, "one"), (other, "other"))
            )
        )

    ids = [claim.translation_id for some in claims for claim in some]
    assert len(ids) == len(set(ids)) == 400


# The url


async def test_parameters_of_the_url_are_libpqs(postgresql: Server, database: str) -> None:
    url = f"{postgresql.url(database)}&sslmode=disable&application_name=ours&connect_timeout=3"
    engines = open_engines(url.replace("postgresql://", "postgres://"))
    with engines.reader.connect() as connection:
        shown = connection.exec_driver_sql("SELECT current_setting('application_name')").scalar()
        read_only = connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar()
    engines.dispose()

    assert (shown, read_only) == ("ours", "on")


async def test_a_parameter_that_libpq_does_not_know_is_told(postgresql: Server, database: str) -> None:
    store = Repository(open_engines(f"{postgresql.url(database)}&sslmod=require"), lambda: NOON)

    with pytest.raises(StoreError, match="sslmod"):
        store.open()


# A server that goes away


async def test_while_the_server_is_away_a_sender_hears_so_in_time_and_then_all_goes_on(
    postgresql_binaries: Path,
) -> None:
    loop = asyncio.get_running_loop()
    with Server(postgresql_binaries) as server, server.migrated() as name:
        async with opened(server.url(name)) as store:
            await store.apply([webhook("before")], RULES)
            await asyncio.to_thread(server.stop)

            began = loop.time()
            with pytest.raises(StoreError):
                await store.apply([webhook("meanwhile")], RULES)
            with pytest.raises(StoreError):
                await store.counts()
            assert loop.time() - began < SECONDS_OF_A_SENDER

            await asyncio.to_thread(server.start)
            await store.apply([webhook("meanwhile")], RULES)
            assert await store.counts() == [("success", None, 2)]


async def test_who_is_frozen_in_the_middle_of_a_transaction_holds_its_rows_no_longer_than_a_sender_waits(
    postgresql: Server, database: str
) -> None:
    """Others skip what is locked: until the server ends that session, nobody could claim them."""
    async with opened(postgresql.url(database)) as store:
        await store.apply([registered("a")], RULES)
        frozen = open_engines(postgresql.url(database))
        connection = frozen.writer.connect()
        claims.claim_due(connection, now=NOON, requests=1, owner="frozen", lease=LEASE, due=Due(NOON, NOON))
        assert await store.claim_due(NOON, 1, "two", LEASE) == []

        with postgresql.connect(database) as waiting:
            waiting.execute(f"SET lock_timeout = '{SECONDS_OF_A_SENDER:g}s'")
            await asyncio.to_thread(waiting.execute, "SELECT 1 FROM translations FOR UPDATE")

        assert [claim.owner for claim in await store.claim_due(NOON, 1, "two", LEASE)] == ["two"]
        with pytest.raises(StoreError, match="idle-in-transaction"), translated():  # it wakes up too late
            connection.commit()
        connection.invalidate()
        frozen.dispose()


async def test_a_row_that_another_program_holds_delays_nobody_for_longer_than_a_sender_waits(
    postgresql: Server, database: str
) -> None:
    loop = asyncio.get_running_loop()
    async with opened(postgresql.url(database)) as store:
        await store.apply([webhook("held")], RULES)
        with postgresql.connect(database) as rival, rival.transaction():
            rival.execute("LOCK TABLE changes")
            began = loop.time()
            with pytest.raises(StoreError, match="lock timeout"):
                await store.apply([webhook("waits")], RULES)
            assert loop.time() - began < SECONDS_OF_A_SENDER
        await store.apply([webhook("waits")], RULES)


# PgBouncer


@contextmanager
def pgbouncer(server: Server) -> Iterator[str]:
    """The folder of its socket; two sessions for everybody, handed on after each transaction."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        leave_out("there is no PgBouncer", "apt-get install pgbouncer")
    here = server.folder / "pgbouncer"
    subprocess.run([*as_who(), "mkdir", "--parents", str(here)], check=True)
    (here / "users.txt").write_text(f'"{USER}" ""\n')
    (here / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.folder}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {here}\n"
        f"auth_type = trust\nauth_file = {here / 'users.txt'}\npool_mode = transaction\n"
        "default_pool_size = 2\nmax_client_conn = 100\n"
    )
    with subprocess.Popen(
        [*as_who(), program, str(here / "pgbouncer.ini")], stderr=subprocess.PIPE
    ) as process:
        try:
            _wait_for(here / ".s.PGSQL.6432", process)
            yield str(here)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)


def _wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until somebody answers at this socket."""
    for _ in range(int(PATIENCE * 100)):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.01)
            if probe.connect_ex(str(path)) == 0:
                return
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.communicate()[1].decode())
    raise AssertionError(f"nobody listens at {path}")


async def test_behind_pgbouncer_in_transaction_mode_all_is_the_same(
    postgresql: Server, database: str
) -> None:
    names = [f"id-{number}" for number in range(200)]
    with pgbouncer(postgresql) as host:
        url = f"postgresql://{USER}@/{database}?host={host}&port=6432"
        async with opened(url) as one, opened(url) as other:
            await asyncio.gather(store_each(one, names), store_each(other, names[::-1]))
            rows = await asyncio.gather(*(store.find([name]) for store in (one, other) for name in names))
            claims = await asyncio.gather(
                *(store.claim_due(NOON, 40, name, LEASE) for store, name in ((one, "one"), (other, "other")))
            )
            await one.release(claims[0])
            await one.remember("heygen_api", "v3")
            assert await other.recall("heygen_api") == "v3"
            assert (await other.health())["open"] == 0

    assert [row["status"] for [row] in rows] == ["success"] * 400
    assert [len(some) for some in claims] == [40, 40]
    assert postgresql.execute("SELECT count(*), sum(times_received) FROM deliveries", database) == [
        (200, 400)
    ]
    assert postgresql.execute("SELECT count(*) FROM changes", database) == [(200,)]


# Word of changes


async def test_each_stored_change_is_told_to_who_listens_once_it_is_committed(
    postgresql: Server, database: str
) -> None:
    with postgresql.connect(database) as listener:
        listener.execute("LISTEN tracker_changes")
        async with opened(postgresql.url(database)) as store:
            long = "x" * 2000
            await store.apply([registered(None, callback_id=long)], RULES)
            await store.apply([webhook("a", callback_id="order-42"), webhook("b", callback_id=long)], RULES)
        told = [json.loads(one.payload) for one in listener.notifies(timeout=5, stop_after=2)]

    ids = dict(postgresql.execute("SELECT video_translate_id, id FROM translations", database))
    ended = {"old": "pending", "new": "success"}
    assert told == [
        {"id": ids[name], "video_translate_id": name, "callback_id": callback_id, **ended}
        for name, callback_id in (("a", "order-42"), ("b", None))
    ]


async def test_what_is_undone_is_told_to_nobody(postgresql: Server, database: str) -> None:
    async with opened(postgresql.url(database)) as store:
        await store.apply([webhook("a")], RULES)
        with postgresql.connect(database) as listener, postgresql.connect(database) as rival:
            listener.execute("LISTEN tracker_changes")
            with suppress(ZeroDivisionError), rival.transaction():
                rival.execute(CHANGE)
                raise ZeroDivisionError
            rival.execute(CHANGE)
            told = [one.payload for one in listener.notifies(timeout=5, stop_after=1)]
            assert len(told) == 1
            assert list(listener.notifies(timeout=0)) == []


LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN tracker_changes' AND datname = current_database()"
)


async def listeners(server: Server, database: str, count: int) -> list[tuple[Any, ...]]:
    """The sessions that listen, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(found := server.execute(LISTENERS, database)) != count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    return found


async def test_behind_pgbouncer_a_look_brings_the_news_that_nobody_tells(
    postgresql: Server, database: str
) -> None:
    with pgbouncer(postgresql) as host:
        url = f"postgresql://{USER}@/{database}?host={host}&port=6432"
        async with opened(url) as store, store.news() as news:
            assert not await news(0.1)
            await store.apply([webhook("a")], RULES)
            async with asyncio.timeout(PATIENCE):
                while not await news(0.1):
                    pass
            assert not await news(0.1)


async def test_what_was_told_is_no_news_once_more_and_what_comes_later_is(
    postgresql: Server, database: str
) -> None:
    async with opened(postgresql.url(database)) as store, store.news() as news:
        for name in ("a", "b"):
            await store.apply([webhook(name)], RULES)
            assert await news(PATIENCE)
            assert not await news(0.1)


async def test_when_the_listening_session_ends_whoever_waits_is_told_why(
    postgresql: Server, database: str
) -> None:
    async with opened(postgresql.url(database)) as store:
        async with store.news() as news:
            [(session,)] = await listeners(postgresql, database, 1)
            waiting = asyncio.ensure_future(news(PATIENCE))
            postgresql.execute(f"SELECT pg_terminate_backend({session})")
            with pytest.raises(StoreError, match=r"^the database (closed the connection|cannot be reached)"):
                await waiting
        async with store.news() as again:
            await store.apply([webhook("a")], RULES)
            assert await again(PATIENCE)


async def test_no_session_listens_on_when_nobody_waits_any_more(postgresql: Server, database: str) -> None:
    async with opened(postgresql.url(database)) as store:
        async with store.news():
            await listeners(postgresql, database, 1)
        await listeners(postgresql, database, 0)
        waiting = asyncio.ensure_future(store.news().__aenter__())
        await asyncio.sleep(0)  # its thread connects
        waiting.cancel()
        await asyncio.wait([waiting])
        await store.check()
        await listeners(postgresql, database, 0)


async def test_a_server_that_is_away_is_told_to_whoever_wants_to_listen(
    postgresql: Server, database: str
) -> None:
    gone = Repository(
        open_engines(f"postgresql://{USER}@/{database}?host={postgresql.folder}/nowhere"), lambda: NOON
    )
    with pytest.raises(StoreError, match="the database cannot be reached"):
        await gone.news().__aenter__()
