"""Whose address the log shows for a webhook."""

from tracker.web.receiver import sender_address


def test_proxy_on_this_machine_is_trusted() -> None:
    for sender in ["203.0.113.9", "2001:db8::9", "127.0.0.1"]:
        for peer in ["127.0.0.1", "127.0.0.7", "::1", None]:
            assert sender_address(peer, [sender]) == sender


def test_other_machines_are_not_trusted() -> None:
    for peer in ["198.51.100.4", "10.0.0.2", "2001:db8::4", "::ffff:127.0.0.1"]:
        for forwarded in [["203.0.113.9"], ["127.0.0.1"], ["1.2.3.4, 5.6.7.8"]]:
            assert sender_address(peer, forwarded) == peer


def test_only_the_last_forwarded_address_is_used() -> None:
    for peer in ["127.0.0.1", None]:
        for forwarded in [["6.6.6.6, 203.0.113.9"], ["6.6.6.6", "203.0.113.9"], ["a,,203.0.113.9 "]]:
            assert sender_address(peer, forwarded) == "203.0.113.9"


def test_invalid_forwarded_address_is_ignored() -> None:
    for peer in ["127.0.0.1", None]:
        for forwarded in [[], [""], ["unknown"], ["203.0.113.9, "], ["203.0.113.9:443"], ["x\r\ny"]]:
            assert sender_address(peer, forwarded) == peer
