"""Which urls are asked, and which addresses are connected to: every odd one is refused."""

from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import URL
from tracker.domain.files.allowed_hosts import PORTS, FileHosts, host_and_port, host_pattern, is_public
from tracker.errors import UnsafeLinkError

HOSTS = FileHosts(["*.heygen.ai", "files.example.com"], ["127.0.0.1:8399", "localhost:443", "[::1]:8399"])


def refusal(url: str) -> str:
    with pytest.raises(UnsafeLinkError) as refused:
        HOSTS.place(url)
    return str(refused.value)


def test_a_link_of_heygens_is_taken_as_it_is() -> None:
    place = HOSTS.place(f"{URL}?Expires=1&Signature=a%2Fb~c")
    assert place.url == f"{URL}?Expires=1&Signature=a%2Fb~c"
    assert (place.host, place.port, place.secure, place.shown) == ("resource2.heygen.ai", 443, True, URL)
    assert "Signature" not in repr(place)


def test_the_named_hosts_are_taken_in_their_plain_spelling() -> None:
    taken = {
        "HTTPS://Resource2.HeyGen.AI/x": "https://resource2.heygen.ai/x",
        "https://a.b.heygen.ai:443/x": "https://a.b.heygen.ai/x",
        "https://files.example.com": "https://files.example.com",
        "https://files.example.com?a=b@c": "https://files.example.com?a=b@c",
        "https://files.example.com/x#https://evil": "https://files.example.com/x",
        "http://127.0.0.1:8399/x?y": "http://127.0.0.1:8399/x?y",
        "https://127.0.0.1:8399/x": "https://127.0.0.1:8399/x",
        "http://[::1]:8399/x": "http://[::1]:8399/x",
        "https://localhost/x": "https://localhost/x",
    }
    assert {url: HOSTS.place(url).url for url in taken} == taken


NO_PLAIN_URL = [
    "",
    "resource2.heygen.ai/x",
    "//resource2.heygen.ai/x",
    "https:/resource2.heygen.ai/x",
    "https:///resource2.heygen.ai/x",
    "https://",
    "https:///x",
    "ftp://resource2.heygen.ai/x",
    "file:///etc/passwd",
    "data:text/plain,x",
    " https://resource2.heygen.ai/x",
    "https://resource2.heygen.ai/x ",
    "https://resource2.heygen.ai/x\n",
    "https://resource2.heygen.ai/x\r\nx-api-key: y",
    "https://resource2.heygen.ai/\0",
    "https://heygen.ai@evil.example/x",
    "https://x.heygen.ai:443@evil.example/x",
    "https://user:password@resource2.heygen.ai/x",
    "https://@resource2.heygen.ai/x",
    "https://evil.example\\@resource2.heygen.ai/x",
    "https://evil.example\\.heygen.ai/x",
    "https:\\\\resource2.heygen.ai\\x",
    "https://resource2.heygen.ai/\\evil.example",
    "https://resource2.heygen.ai./x",
    "https://resource2.heygen.ai../x",
    "https://.heygen.ai/x",
    "https://a..heygen.ai/x",
    "https://-a.heygen.ai/x",
    "https://evil.example%2f.heygen.ai/x",
    "https://resource2%2eheygen.ai/x",
    "https://resource2.heygen.ai:/x",
    "https://resource2.heygen.ai:443443/x",
    "https://resource2.heygen.ai:+443/x",
    "https://resource2.heygen.ai:\uff14\uff14\uff13/x",
    "https://\uff48eygen.heygen.ai/x",
    "https://re\u00adsource2.heygen.ai/x",
    "https://resource2.heygen\u3002ai/x",
    "https://evil.example\u2044.heygen.ai/x",
    "https://re\u017fource2.heygen.ai/x",
    "https://\u212a.heygen.ai/x",
    "https://resource2.heygen.ai/\u212a",
    "https://resource2.heygen.ai/\u202e",
    "https://resource2.heygen.ai/\ud800",
    "https://[::1%25eth0]/x",
    "https://[fe80::1%eth0]:443/x",
    "https://[v1.x]/x",
    "https://[::1/x",
]
ELSEWHERE = [
    *("https://heygen.ai/x", "https://evilheygen.ai/x", "https://resource2.heygen.ai.evil.example/x"),
    *("https://resource2.heygen.ai-evil.example/x", "https://evil.example/resource2.heygen.ai"),
    *("https://evil.example?.heygen.ai", "https://evil.example#.heygen.ai"),
    *("https://sub.files.example.com/x", "https://127.0.0.1/x", "https://127.1/x", "https://0x7f.1/x"),
    *("https://0x7f000001/x", "https://2130706433/x", "https://0177.0.0.1/x", "https://0/x"),
    *("https://0.0.0.0/x", "https://169.254.169.254/latest/meta-data", "https://8.8.8.8/x"),
    *("https://[::1]/x", "https://[::]/x", "https://[::ffff:127.0.0.1]/x"),
    *("https://[::ffff:7f00:1]/x", "https://[64:ff9b::7f00:1]/x", "https://[2002:7f00:1::]/x"),
    *("https://[fe80::1]/x", "https://[fd00:ec2::254]/x", "https://localhost:8399/x"),
    *("https://127.0.0.1:8398/x", "https://127.1:8399/x", "https://[0:0:0:0:0:0:0:1]:8399/x"),
    "https://[::ffff:127.0.0.1]:8399/x",
]


def test_what_parsers_might_read_differently_is_refused() -> None:
    for url in NO_PLAIN_URL:
        assert refusal(url).startswith("the link is no plain url: "), url


def test_other_hosts_are_refused_whatever_they_look_like() -> None:
    for url in ELSEWHERE:
        assert "the host is none of TRACKER_FILE_HOSTS (*.heygen.ai, files.example.com)" in refusal(url), url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://resource2.heygen.ai/x?Signature=s3cret", "http://resource2.heygen.ai/x: is not https; "),
        ("http://localhost/x", "TRACKER_FILE_HOSTS_UNSAFE may name localhost:80"),
        (
            "https://resource2.heygen.ai:8443/x?Signature=s3cret",
            "/x: port 8443 is not 443; TRACKER_FILE_HOSTS_U",
        ),
        ("https://resource2.heygen.ai:0/x", "port 0 is not 443"),
        ("https://evil.example/x?Signature=s3cret", "https://evil.example/x: the host is none of"),
    ],
)
def test_a_refusal_names_the_rule_and_the_way_out_and_no_query(url: str, said: str) -> None:
    assert said in refusal(url)
    assert "s3cret" not in refusal(url)


def test_a_long_link_is_told_in_short() -> None:
    assert len(refusal(f"https://evil.example/{'x' * 10_000}")) < 400


# Redirects

AT = HOSTS.place(f"{URL}?Signature=s3cret")
ON_LOOPBACK = HOSTS.place("http://127.0.0.1:8399/files/x")


def test_a_redirect_is_followed_to_where_we_go() -> None:
    for location, url in {
        "other.mp4?a=b": URL.replace("original", "other") + "?a=b",
        "/other": "https://resource2.heygen.ai/other",
        "//a.heygen.ai/other": "https://a.heygen.ai/other",
        "https://a.heygen.ai/other": "https://a.heygen.ai/other",
        "": URL + "?Signature=s3cret",
    }.items():
        assert HOSTS.onward(AT, location) == HOSTS.place(url)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("//evil.example/x?Signature=s3cret", "https://evil.example/x: the host is none of"),
        ("https://heygen.ai@evil.example/x", "no plain url"),
        ("\\\\evil.example\\x", "no plain url"),
        ("javascript:alert(1)", "no plain url"),
        ("https://[broken/x", "leads on to what is no url"),
        ("http://resource2.heygen.ai/x", "is not https"),
        (
            "http://127.0.0.1:8399/x?Signature=s3cret",
            "/original.mp4: leads on to http://127.0.0.1:8399/x, from https",
        ),
        ("https://169.254.169.254/", "the host is none of"),
    ],
)
def test_a_redirect_elsewhere_is_refused(location: str, said: str) -> None:
    with pytest.raises(UnsafeLinkError) as refused:
        HOSTS.onward(AT, location)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_http_may_lead_to_http_and_to_https() -> None:
    assert HOSTS.onward(ON_LOOPBACK, "y").url == "http://127.0.0.1:8399/files/y"
    assert HOSTS.onward(ON_LOOPBACK, URL) == HOSTS.place(URL)


# Addresses

PRIVATE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1"),
    *("127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1"),
    *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1"),
    *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::"),
    *("2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0"),
    *("fec0::1", "ff02::1", "2606:4700::1111%eth0", "127.1", "0x7f.1", "2130706433", "localhost"),
]


def test_what_is_no_public_address() -> None:
    for address in ["", *PRIVATE]:
        assert not is_public(address), address
        with pytest.raises(
            UnsafeLinkError, match=r"leads to .* no public address; TRACKER_FILE_HOSTS_UNSAFE may name"
        ):
            HOSTS.check_address("resource2.heygen.ai", 443, address)


def test_what_is_a_public_address() -> None:
    for address in (
        "8.8.8.8",
        "100.63.0.1",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ):
        assert is_public(address), address
        HOSTS.check_address("resource2.heygen.ai", 443, address)


@given(st.ip_addresses(v=4))
def test_an_address_is_the_same_in_whatever_it_is_wrapped(address: IPv4Address) -> None:
    assert is_public(f"::ffff:{address}") == is_public(f"64:ff9b::{address}") == is_public(str(address))
    if is_public(str(address)):
        assert address.is_global


@given(st.ip_addresses(v=6))
def test_no_public_address_is_private_to_python(address: IPv6Address) -> None:
    if is_public(str(address)):
        assert address.is_global or address.ipv4_mapped


def test_the_named_host_and_port_may_be_anywhere_and_no_other() -> None:
    HOSTS.check_address("localhost", 443, "127.0.0.1")
    HOSTS.check_address("::1", 8399, "::1")
    with pytest.raises(UnsafeLinkError, match=r"localhost leads to 127\.0\.0\.1"):
        HOSTS.check_address("localhost", 80, "127.0.0.1")


# Joined at random, because a regular expression takes three times as long to make as good a url
PIECES = [
    "http:",
    "https:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    ".",
    "?",
    "#",
    "[",
    "]",
    "%",
    "443",
    "a",
    "heygen.ai",
    "::1",
]


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: f"https://{''.join(pieces)}")
)
def test_what_is_taken_is_where_every_parser_sees_it(url: str) -> None:
    try:
        place = HOSTS.place(url)
    except UnsafeLinkError:
        return
    parts = urlsplit(place.url)
    port = parts.port or PORTS[parts.scheme]
    assert (parts.hostname, port, parts.username) == (place.host, place.port, None)
    assert place.host.endswith((".heygen.ai", "files.example.com", "127.0.0.1", "localhost", "::1"))


# What people write


def test_a_pattern_is_a_name_or_all_below_a_name() -> None:
    for text in ("*.heygen.ai", "files.example.com", "*.CDN.Example.com", "a_b.example", "xn--p1ai.xn--p1ai"):
        assert host_pattern(text) == text.lower()


def test_what_is_no_pattern() -> None:
    for text in [
        *("", "*", "*.", "*.com", "com", "**.heygen.ai", "a.*.heygen.ai", "*heygen.ai", "https://heygen.ai"),
        *("heygen.ai:443", "heygen.ai/x", "127.0.0.1", "0x7f.0x1", "1.2.3.0x4", "[::1]", "heygen.ai."),
        *("-a.heygen.ai", "hey gen.ai", "h\u00e9ygen.ai", "x.heygen.ai\n"),
    ]:
        with pytest.raises(ValueError, match="neither the name of a host nor"):
            host_pattern(text)


def test_a_host_and_a_port() -> None:
    written = {"127.0.0.1:8399": "127.0.0.1:8399", "[::1]:08399": "[::1]:8399", "LocalHost:1": "localhost:1"}
    assert {text: host_and_port(text) for text in written} == written


def test_what_is_no_host_and_port() -> None:
    for text in [
        *("", "localhost", ":8399", "localhost:0", "localhost:65536", "http://localhost:8399", "::1:8399"),
        *("*.a:1", "a:1 "),
    ]:
        with pytest.raises(ValueError, match=r"no host:port"):
            host_and_port(text)
