"""Whose address the log shows for a webhook."""

import pytest

from tracker.web.receiver import sender_address


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.7", "::1", None])
@pytest.mark.parametrize("sender", ["203.0.113.9", "2001:db8::9", "127.0.0.1"])
def test_a_proxy_on_this_machine_is_believed(peer: str | None, sender: str) -> None:
    assert sender_address(peer, [sender]) == sender


@pytest.mark.parametrize("forwarded", [["203.0.113.9"], ["127.0.0.1"], ["1.2.3.4, 5.6.7.8"]])
@pytest.mark.parametrize("peer", ["198.51.100.4", "10.0.0.2", "2001:db8::4", "::ffff:127.0.0.1"])
def test_another_machine_is_not_believed(peer: str, forwarded: list[str]) -> None:
    assert sender_address(peer, forwarded) == peer


@pytest.mark.parametrize(
    "forwarded", [["6.6.6.6, 203.0.113.9"], ["6.6.6.6", "203.0.113.9"], ["a,,203.0.113.9 "]]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", None])
def test_only_what_the_proxy_has_added_counts(peer: str | None, forwarded: list[str]) -> None:
    assert sender_address(peer, forwarded) == "203.0.113.9"


@pytest.mark.parametrize(
    "forwarded", [[], [""], ["unknown"], ["203.0.113.9, "], ["203.0.113.9:443"], ["x\r\ny"]]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", None])
def test_what_is_no_address_is_not_shown(peer: str | None, forwarded: list[str]) -> None:
    assert sender_address(peer, forwarded) == peer
