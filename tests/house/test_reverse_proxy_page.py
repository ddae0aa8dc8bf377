"""docs/reverse-proxy.md shows the very files that are tested."""

import re

import pytest

from tests.house.pages import ROOT, blocks
from tracker.domain.limits import MAX_BODY_BYTES
from tracker.web.receiver import BODY_SECONDS, STORE_SECONDS

PAGE = (ROOT / "docs" / "reverse-proxy.md").read_text()
PROXY = ROOT / "docs" / "proxy"


@pytest.mark.parametrize(
    ("name", "language"),
    [("nginx.conf", "nginx"), ("Caddyfile", "caddyfile"), ("tracker.socket.conf", "ini")],
)
def test_the_page_shows_the_file(name: str, language: str) -> None:
    assert blocks(PAGE, language) == [(PROXY / name).read_text()]


def test_every_file_is_shown() -> None:
    assert {path.name for path in PROXY.iterdir()} == {"nginx.conf", "Caddyfile", "tracker.socket.conf"}


def test_the_figures_are_trackers() -> None:
    assert f"tracker answers within {STORE_SECONDS:g} s" in PAGE
    assert f"for {BODY_SECONDS:g} s at most" in PAGE
    assert str(MAX_BODY_BYTES) in (PROXY / "Caddyfile").read_text()


def test_every_proxy_time_out_is_longer_than_trackers_answer() -> None:
    told = re.findall(r"proxy_\w+_timeout (\d+)s|(?:dial|response_header)_timeout (\d+)s", PAGE)

    assert len(told) == 5
    assert all(int(one or other) > STORE_SECONDS + BODY_SECONDS for one, other in told)


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_the_file_says_how_often_the_host_name_is_to_be_changed(name: str) -> None:
    text = (PROXY / name).read_text()
    [told] = re.findall(r"host name tracker\.example, (\w+)(?: times)?\.", text)
    uses = [line for line in text.splitlines() if not line.startswith("#")]

    words = {"once": 1, "six": 6, "seven": 7, "eight": 8}
    assert "\n".join(uses).count("tracker.example") - text.count("you@tracker.example") == words[told]
