"""Names to addresses: all of a name's are checked, and given on as they are."""

import pytest

from tests.unit.outbound.host import Names
from tracker.domain.files.allowed_hosts import FileHosts
from tracker.errors import UnsafeLinkError
from tracker.outbound.addresses import CheckedResolver

pytestmark = pytest.mark.anyio

HOSTS = FileHosts(["*.heygen.ai"], ["files.test:8399"])
NAME = "resource2.heygen.ai"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Closed(Names):
    """Tells that it was closed."""

    async def close(self) -> None:
        self.answers.append(["closed"])


async def test_public_addresses_are_given_on() -> None:
    found = await CheckedResolver(HOSTS, Names(["8.8.8.8", "2606:4700::1111"])).resolve(NAME, 443)
    assert [(one["hostname"], one["host"], one["port"]) for one in found] == [
        (NAME, "8.8.8.8", 443),
        (NAME, "2606:4700::1111", 443),
    ]


@pytest.mark.parametrize("private", ["127.0.0.1", "::1", "fe80::1%eth0", "64:ff9b::a00:1", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("place", [0, 1])
async def test_one_that_is_not_public_among_others_is_enough(private: str, place: int) -> None:
    addresses = ["8.8.8.8"]
    addresses.insert(place, private)
    with pytest.raises(UnsafeLinkError, match=f"{NAME} leads to {private}, which is no public address"):
        await CheckedResolver(HOSTS, Names(addresses)).resolve(NAME, 443)


async def test_each_question_is_asked_and_checked_anew() -> None:
    names = Names(["8.8.8.8"], ["10.0.0.1"])
    resolver = CheckedResolver(HOSTS, names)
    await resolver.resolve(NAME, 443)
    with pytest.raises(UnsafeLinkError):
        await resolver.resolve(NAME, 443)
    assert len(names.asked) == 2


async def test_the_host_and_port_that_the_settings_name_may_be_anywhere() -> None:
    resolver = CheckedResolver(HOSTS, Names(["127.0.0.1"], ["127.0.0.1"]))
    assert [one["host"] for one in await resolver.resolve("files.test", 8399)] == ["127.0.0.1"]
    with pytest.raises(UnsafeLinkError):
        await resolver.resolve("files.test", 8398)


async def test_it_closes_what_it_asks() -> None:
    names = Closed()
    await CheckedResolver(HOSTS, names).close()
    assert names.answers == [["closed"]]
