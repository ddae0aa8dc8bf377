"""The client for files, over loopback: what it sends, what it takes, and what it never tells."""

import asyncio
import io
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import certifi
import pytest
import structlog

from tests.builders import NOON
from tests.unit.outbound.host import QUICK, Names, answer, client_for, host_with
from tracker.domain.files.allowed_hosts import FileHosts
from tracker.domain.files.ports import Download, Files
from tracker.errors import (
    BrokenTransferError,
    FileError,
    FileTooLargeError,
    LinkRefusedError,
    UnsafeLinkError,
)
from tracker.heygen.client import HeyGenClient
from tracker.outbound.file_client import FileClient
from tracker.outbound.stall_detection import Patience

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).with_name("self-signed.pem")  # and its key, of 127.0.0.1
BODY = bytes(range(256)) * 40
ETAG = 'ETag: "v1"'
WHOLE = answer(200, ETAG, "Content-Type: video/mp4", body=BODY)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
async def deadline() -> AsyncIterator[None]:
    async with asyncio.timeout(20):
        yield


async def fetched(client: Files, url: str, **asked: Any) -> tuple[Download, bytes]:
    async with client.open(url, **asked) as download:
        return download, b"".join([chunk async for chunk in download.chunks])


async def refused(client: Files, url: str, kind: type[FileError], **asked: Any) -> str:
    with pytest.raises(kind) as error:
        await fetched(client, url, **asked)
    return str(error.value)


# What comes


async def test_a_file_comes_as_it_is() -> None:
    async with host_with(WHOLE) as host, client_for(host) as client:
        download, body = await fetched(client, host.url())
    assert body == BODY
    assert (download.offset, download.size, download.validator) == (0, len(BODY), '"v1"')
    assert download.content_type == "video/mp4"
    assert host.requests[0].startswith(f"GET {host.url().partition(str(host.port))[2]} HTTP/1.1\r\n")


async def test_the_query_is_sent_sign_by_sign() -> None:
    query = "a=%7e%2F+b~c&b='(x)'&c=%E5%AD%97&d=a|b\"{}^`<>[]"
    async with host_with(WHOLE) as host, client_for(host) as client:
        await fetched(client, host.url("/a/../b//c%2Fd", query))
    assert host.requests[0].startswith(f"GET /a/../b//c%2Fd?{query} HTTP/1.1\r\n")


async def test_an_empty_file_is_a_file() -> None:
    async with host_with(answer(200, ETAG)) as host, client_for(host) as client:
        download, body = await fetched(client, host.url())
    assert (download.size, body) == (0, b"")


async def test_a_file_without_a_length_ends_where_its_chunks_end() -> None:
    chunked = answer(200, "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", length=-1)
    async with host_with(chunked) as host, client_for(host) as client:
        download, body = await fetched(client, host.url())
    assert (download.size, body) == (None, b"abcde")


async def test_the_rest_is_asked_for_and_taken() -> None:
    rest = answer(206, ETAG, f"Content-Range: bytes 4000-{len(BODY) - 1}/{len(BODY)}", body=BODY[4000:])
    async with host_with(rest) as host, client_for(host) as client:
        download, body = await fetched(client, host.url(), offset=4000, validator='"v1"')
    assert (download.offset, download.size, body) == (4000, len(BODY), BODY[4000:])
    assert (host.sent("Range"), host.sent("If-Range")) == (["bytes=4000-"], ['"v1"'])


async def test_a_file_that_has_changed_begins_anew() -> None:
    async with host_with(answer(200, 'ETag: "v2"', body=b"new")) as host, client_for(host) as client:
        download, body = await fetched(client, host.url(), offset=4000, validator='"v1"')
    assert (download.offset, download.validator, body) == (0, '"v2"', b"new")
    assert len(host.requests) == 1


async def test_nothing_is_resumed_without_a_validator() -> None:
    for validator in (None, "", 'W/"v1"', '"v1"\r\nx-evil: 1', "v1"):
        async with host_with(WHOLE) as host, client_for(host) as client:
            download, body = await fetched(client, host.url(), offset=4000, validator=validator)
        assert (download.offset, body) == (0, BODY), validator
        assert (host.sent("Range"), host.sent("If-Range")) == ([None], [None])


@pytest.mark.parametrize(
    "misfit",
    [
        answer(206, ETAG, f"Content-Range: bytes 0-{len(BODY) - 1}/{len(BODY)}", body=BODY),
        answer(206, 'ETag: "v2"', "Content-Range: bytes 4000-4001/4002", body=b"ab"),
        answer(206, "Content-Type: multipart/byteranges; boundary=x", body=b"--x"),
        answer(416, "Content-Range: bytes */3999"),
        answer(416),
    ],
)
async def test_a_rest_that_does_not_fit_is_asked_for_anew(misfit: bytes) -> None:
    async with host_with(misfit, WHOLE) as host, client_for(host) as client:
        download, body = await fetched(client, host.url(), offset=4000, validator='"v1"')
    assert (download.offset, body) == (0, BODY)
    assert host.sent("Range") == ["bytes=4000-", None]


async def test_nothing_more_comes_where_all_is_here() -> None:
    done = answer(416, ETAG, "Content-Range: bytes */4000", body=b"an explanation")
    async with host_with(done) as host, client_for(host) as client:
        download, body = await fetched(client, host.url(), offset=4000, validator='"v1"')
    assert (download.offset, download.size, body) == (4000, 4000, b"")


# What is not what was promised


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(200, body=BODY, length=len(BODY) + 1), "the connection failed (ClientPayloadError)"),
        (
            answer(200, "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n", length=-1),
            "the connection failed (",
        ),
        (answer(200, body=BODY, length=-1), "does not say how long the file is"),
        (answer(200, "Content-Encoding: gzip", body=BODY), "comes encoded"),
        (answer(204, length=-1), "HTTP 204 does not answer"),
        (answer(206, "Content-Range: bytes 0-4/5", body=b"abcde"), "HTTP 206 does not answer"),
        (answer(301), "HTTP 301 leads nowhere"),
        (answer(500), "HTTP 500"),
        (b"SSH-2.0-OpenSSH\r\n", "the connection failed ("),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            "the connection failed (",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "the connection failed ("),
    ],
)
async def test_a_transfer_is_broken(said: bytes, told: str) -> None:
    async with host_with(said) as host, client_for(host) as client:
        text = await refused(client, host.url(), BrokenTransferError)
    assert text.startswith(f"http://127.0.0.1:{host.port}/video/original.mp4: ")
    assert told in text


async def test_a_host_that_hangs_up_is_asked_once_more_at_most() -> None:
    async with host_with(b"", b"", WHOLE) as host, client_for(host) as client:
        text = await refused(client, host.url(), BrokenTransferError)
    assert "the connection failed (ServerDisconnectedError)" in text
    assert len(host.requests) <= 2


async def test_a_piece_of_the_rest_is_kept_and_told_as_broken() -> None:
    piece = answer(206, ETAG, f"Content-Range: bytes 4000-4009/{len(BODY)}", body=BODY[4000:4010])
    kept = bytearray()

    async def take(client: Files, url: str) -> None:
        async with client.open(url, offset=4000, validator='"v1"') as download:
            async for chunk in download.chunks:
                kept.extend(chunk)

    async with host_with(piece) as host, client_for(host) as client:
        with pytest.raises(BrokenTransferError, match="ended after 10 of 6240 bytes"):
            await take(client, host.url())
    assert kept == BODY[4000:4010]


async def test_more_than_was_promised_is_broken() -> None:
    chunks = b"8\r\nabcdefgh\r\n0\r\n\r\n"
    rest = answer(
        206, ETAG, "Content-Range: bytes 10-14/15", "Transfer-Encoding: chunked", body=chunks, length=-1
    )
    async with host_with(rest) as host, client_for(host) as client:
        text = await refused(client, host.url(), BrokenTransferError, offset=10, validator='"v1"')
    assert "more than the 5 bytes that were promised" in text


async def test_a_link_that_is_refused() -> None:
    async with host_with(answer(403, body=b"<Error/>")) as host, client_for(host) as client:
        text = await refused(client, host.url(), LinkRefusedError)
    assert "the host refuses the link (HTTP 403)" in text


async def test_nobody_listens() -> None:
    async with host_with() as host:
        pass
    async with client_for(host) as client:
        assert "the connection failed (" in await refused(client, host.url(), BrokenTransferError)


async def test_a_name_that_nobody_knows() -> None:
    class Unknown(Names):
        async def resolve(self, *_: object, **__: object) -> Any:
            raise OSError("no such name")

    hosts = FileHosts(["*.heygen.ai"])
    async with FileClient(hosts, max_bytes=1, patience=QUICK, resolver=Unknown()) as client:
        told = await refused(client, "https://resource2.heygen.ai/x", BrokenTransferError)
    assert told == "https://resource2.heygen.ai/x: the connection failed (ClientConnectorDNSError)"


# Size


async def test_a_file_that_says_that_it_is_too_large_is_not_begun() -> None:
    async with host_with(answer(200, length=1001)) as host, client_for(host, max_bytes=1000) as client:
        text = await refused(client, host.url(), FileTooLargeError)
    assert "is larger than TRACKER_ARCHIVE_MAX_BYTES allows (1000 bytes)" in text


async def test_a_rest_of_a_file_that_is_too_large_is_not_begun() -> None:
    rest = answer(206, ETAG, "Content-Range: bytes 1000-1001/1002", body=b"ab")
    async with host_with(rest) as host, client_for(host, max_bytes=1001) as client:
        await refused(client, host.url(), FileTooLargeError, offset=1000, validator='"v1"')


async def test_a_file_without_a_length_is_left_where_it_becomes_too_large() -> None:
    endless = answer(200, "Transfer-Encoding: chunked", body=b"400\r\n" + b"x" * 1024, length=-1) + b"|PAUSE|"
    async with host_with(endless) as host, client_for(host, max_bytes=1000) as client:
        await refused(client, host.url(), FileTooLargeError)


async def test_a_file_of_just_the_size_is_taken() -> None:
    async with host_with(WHOLE) as host, client_for(host, max_bytes=len(BODY)) as client:
        assert (await fetched(client, host.url()))[1] == BODY


# Time


@pytest.mark.parametrize("said", [b"|PAUSE|", b"HTTP/1.1 200 OK\r\n|PAUSE|"])
async def test_a_host_that_does_not_answer_is_left(said: bytes) -> None:
    patience = Patience(read=5, head=0.1)
    async with host_with(said) as host, client_for(host, patience=patience) as client:
        assert "no answer in time" in await refused(client, host.url(), BrokenTransferError)


async def test_a_host_that_falls_silent_is_left() -> None:
    said = answer(200, body=b"x" * 100, length=200) + b"|PAUSE|"
    async with host_with(said) as host, client_for(host, patience=Patience(read=0.1)) as client:
        assert "no answer in time" in await refused(client, host.url(), BrokenTransferError)


async def test_a_trickle_is_left_where_it_is_below_the_least_rate() -> None:
    patience = Patience(read=5, least=1_000_000, window=0)
    async with host_with(WHOLE) as host, client_for(host, patience=patience) as client:
        text = await refused(client, host.url(), BrokenTransferError)
    assert "slower than 1e+06 bytes a second" in text


async def test_who_takes_his_time_is_not_blamed_on_the_host() -> None:
    patience = Patience(read=0.2, least=1000, window=0.2)
    async with (
        host_with(WHOLE) as host,
        client_for(host, patience=patience) as client,
        client.open(host.url()) as download,
    ):
        await asyncio.sleep(0.5)  # it is the time itself that is at issue: the reader's, not the host's
        assert b"".join([chunk async for chunk in download.chunks]) == BODY


# Redirects


def moved(location: str, status: int = 302) -> bytes:
    return answer(status, f"Location: {location}")


async def test_a_redirect_is_followed_with_all_that_was_asked() -> None:
    rest = answer(206, ETAG, "Content-Range: bytes 2-4/5", body=b"cde")
    for status in (301, 302, 303, 307, 308):
        async with host_with(moved("/elsewhere?b=2", status), rest) as host, client_for(host) as client:
            download, body = await fetched(client, host.url(), offset=2, validator='"v1"')
        assert (download.offset, body) == (2, b"cde"), status
        assert host.requests[1].startswith("GET /elsewhere?b=2 HTTP/1.1")
        assert host.sent("Range") == ["bytes=2-", "bytes=2-"]


async def test_five_redirects_are_followed_and_no_sixth() -> None:
    hops = [moved(f"/{number}") for number in range(6)]
    async with host_with(*hops[:5], WHOLE) as host, client_for(host) as client:
        assert (await fetched(client, host.url()))[1] == BODY
    async with host_with(*hops) as host, client_for(host) as client:
        assert "/5: leads on more than 5 times" in await refused(client, host.url(), UnsafeLinkError)
    assert len(host.requests) == 6


async def test_a_redirect_elsewhere_is_not_followed() -> None:
    # tests/unit/domain/files/test_allowed_hosts.py has every spelling
    for location in ("http://169.254.169.254/x", "//evil.example/x", "file:///etc/passwd", "/\xff"):
        async with host_with(moved(location)) as host, client_for(host) as client:
            await refused(client, host.url(), UnsafeLinkError)
            assert len(host.requests) == 1


async def test_a_redirect_from_host_to_host_is_checked_for_each() -> None:
    async with (
        host_with(WHOLE) as last,
        host_with(moved(last.url())) as first,
        client_for(first, last) as client,
    ):
        assert (await fetched(client, first.url()))[1] == BODY
    async with host_with(WHOLE) as last, host_with(moved(last.url())) as first, client_for(first) as client:
        await refused(client, first.url(), UnsafeLinkError)
    assert last.requests == []


# Names and addresses

FILE = "https://resource2.heygen.ai/x"


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]]
)
async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    names = Names(addresses, addresses)
    async with FileClient(FileHosts(["*.heygen.ai"]), max_bytes=1, patience=QUICK, resolver=names) as client:
        told = await refused(client, FILE, UnsafeLinkError)
        with pytest.raises(UnsafeLinkError):
            await client.check(FILE)
    assert f"resource2.heygen.ai leads to {addresses[-1]}, which is no public address" in told


async def test_what_was_checked_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection asks once, and goes to what that answer said, whatever the next one would say."""
    connected: list[object] = []

    async def refuse(addr_infos: list[Any], **_: object) -> None:
        connected.extend(info[4][:2] for info in addr_infos)
        raise ConnectionRefusedError

    # The border to the network: nothing here may reach a public address.
    monkeypatch.setattr(aiohappyeyeballs, "start_connection", refuse)
    names = Names(["8.8.8.8"], ["127.0.0.1"], ["2606:4700::1111"])
    async with FileClient(FileHosts(["*.heygen.ai"]), max_bytes=1, patience=QUICK, resolver=names) as client:
        await refused(client, FILE, BrokenTransferError)
        assert (connected, len(names.asked)) == ([("8.8.8.8", 443)], 1)
        await refused(client, FILE, UnsafeLinkError)
        assert connected == [("8.8.8.8", 443)]
        await refused(client, FILE, BrokenTransferError)
    assert connected == [("8.8.8.8", 443), ("2606:4700::1111", 443)]
    assert names.asked == [("resource2.heygen.ai", 443)] * 3


async def test_a_name_is_asked_for_again_at_each_connection() -> None:
    async with host_with(answer(302, "Connection: close", "Location: /y"), WHOLE) as host:
        names = Names(["127.0.0.1"], ["127.0.0.1"])
        hosts = FileHosts(["*.heygen.ai"], [f"files.test:{host.port}"])
        url = f"http://files.test:{host.port}/x"
        async with FileClient(hosts, max_bytes=100_000, patience=QUICK, resolver=names) as client:
            assert (await fetched(client, url))[1] == BODY
    assert names.asked == [("files.test", host.port)] * 2


async def test_an_address_in_a_url_needs_no_name_and_is_refused() -> None:
    names = Names()
    async with FileClient(FileHosts(["*.heygen.ai"]), max_bytes=1, patience=QUICK, resolver=names) as client:
        for url in ("http://127.0.0.1/x", "https://0x7f.1/x", "https://[::1]/x", "https://2130706433/"):
            await refused(client, url, UnsafeLinkError)
            with pytest.raises(UnsafeLinkError):
                await client.check(url)
    assert names.asked == []


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


async def test_a_certificate_counts_wherever_https_is_spoken() -> None:
    async with host_with(WHOLE, tls=tls()) as host, client_for(host) as client:
        text = await refused(client, host.url().replace("http:", "https:"), BrokenTransferError)
    assert "the connection failed (ClientConnectorCertificateError)" in text
    assert host.requests == []


async def test_over_https_all_is_as_over_http_but_no_redirect_leads_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Who signs certificates on the public internet is the outside world here.
    monkeypatch.setattr(certifi, "where", lambda: str(CERTIFICATE))
    async with (
        host_with(WHOLE) as plain,
        host_with(moved("/y"), WHOLE, moved(plain.url()), tls=tls()) as host,
        client_for(host, plain) as client,
    ):
        url = host.url().replace("http:", "https:")
        assert (await fetched(client, url))[1] == BODY
        text = await refused(client, url, UnsafeLinkError)
    assert text.endswith(f"leads on to http://127.0.0.1:{plain.port}/video/original.mp4, from https to http")
    assert plain.requests == []


# Whether a link works


async def test_a_link_that_works() -> None:
    async with host_with(answer(200, length=5)) as host, client_for(host) as client:
        await client.check(host.url())
    assert host.requests[0].startswith("HEAD ")


@pytest.mark.parametrize(
    ("status", "second"),
    [
        (400, answer(206, "Content-Range: bytes 0-0/5", body=b"a")),
        (401, answer(206, "Content-Range: bytes 0-0/5", body=b"a")),
        (403, answer(200, length=10**12)),
        (405, answer(416)),
        (501, answer(416)),
    ],
)
async def test_where_head_proves_nothing_the_first_byte_is_asked_for(status: int, second: bytes) -> None:
    async with host_with(answer(status), second) as host, client_for(host) as client:
        await client.check(host.url())
    assert [request.split()[0] for request in host.requests] == ["HEAD", "GET"]
    assert host.sent("Range") == [None, "bytes=0-0"]


@pytest.mark.parametrize("answers", [[answer(404)], [answer(410)], [answer(403), answer(403)]])
async def test_a_link_that_does_not_work(answers: list[bytes]) -> None:
    async with host_with(*answers) as host, client_for(host) as client:
        with pytest.raises(LinkRefusedError):
            await client.check(host.url())
    assert host.answers == []


async def test_a_host_in_trouble_does_not_say_that_a_link_does_not_work() -> None:
    for status in (429, 500, 503):
        async with host_with(answer(status)) as host, client_for(host) as client:
            with pytest.raises(BrokenTransferError):
                await client.check(host.url())


# What is sent, and what is told


async def test_no_key_no_cookie_and_no_proxy_beside_the_client_of_heygen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password s3cret-netrc\n")
    netrc.chmod(0o600)
    for name, value in {
        "http_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "NETRC": str(netrc),
        "NO_PROXY": "",
    }.items():
        monkeypatch.setenv(name, value)
    api_answer = answer(200, "Set-Cookie: session=s3cret-cookie", body=b"{}")
    first = answer(302, "Set-Cookie: session=s3cret-cookie", "Location: /on")
    async with host_with(api_answer) as api, host_with(first, WHOLE, answer(200)) as host:
        url = f"http://127.0.0.1:{api.port}"
        async with (
            HeyGenClient("s3cret-key", url, rate_limit=100, concurrency=1) as heygen,
            client_for(host) as client,
        ):
            await heygen.ask("status", "/x", NOON)
            await fetched(client, host.url())
            await client.check(host.url())
    assert api.sent("x-api-key") == ["s3cret-key"]
    assert len(host.requests) == 3
    assert not [request for request in host.requests if "s3cret-" in request]
    for name in ("x-api-key", "Authorization", "Cookie", "Proxy-Authorization", "Referer"):
        assert host.sent(name) == [None] * 3
    assert all(agent and agent.startswith("heygen-tracker/") for agent in host.sent("User-Agent"))
    assert host.sent("Accept-Encoding") == ["identity"] * 3


TROUBLES = [
    answer(403),
    answer(500),
    answer(200, body=b"x", length=5),
    answer(200, length=10**12),
    answer(200, "Content-Encoding: br", body=b"x"),
    b"",
    b"HTTP/1.1 200 OK\r\nbroken\0header: x\r\n\r\n",
    moved("http://evil.example/x?Signature=s3cret~signature"),
    moved("https://[broken?Signature=s3cret~signature"),
    moved("//u:s3cret~signature@evil.example/x"),
    moved("/again?Signature=s3cret~signature"),
    b"|PAUSE|",
]


@pytest.mark.parametrize("said", TROUBLES)
async def test_no_text_of_any_kind_holds_the_signature(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with host_with(*[said] * 7) as host, client_for(host, patience=Patience(head=0.2)) as client:
        with pytest.raises(FileError) as error:
            await fetched(client, host.url())
    told = _logged(error.value)
    assert type(error.value).__name__ in told
    for text in (str(error.value), repr(error.value), _whole_chain(error.value), told, caplog.text):
        assert "s3cret" not in text


def _logged(error: FileError) -> str:
    """What structlog writes of it, with its traceback, and with nothing that redacts."""
    written = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(written),
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    )
    log.error("it failed", exc_info=error, error=str(error))
    return written.getvalue()


def _whole_chain(error: BaseException | None) -> str:
    """Every error that hangs on this one, shown or not."""
    said = []
    while error is not None:
        said.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(said)


async def test_no_repr_holds_the_signature() -> None:
    async with host_with(WHOLE) as host, client_for(host) as client, client.open(host.url()) as download:
        assert "s3cret" not in repr(download) + repr(client) + repr(client.__dict__)


async def test_a_reader_that_stops_leaves_nothing_open() -> None:
    class EnoughError(Exception):
        pass

    async def look(client: Files, url: str) -> None:
        async with client.open(url) as download:
            seen.append(download)
            async for _ in download.chunks:
                raise EnoughError

    seen: list[Download] = []
    said = answer(200, body=BODY, length=10**6) + b"|PAUSE|"
    async with host_with(said) as host, client_for(host) as client:
        with pytest.raises(EnoughError):
            await look(client, host.url())
        with pytest.raises(StopAsyncIteration):
            await anext(seen[0].chunks)
