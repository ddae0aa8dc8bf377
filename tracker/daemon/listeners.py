"""The sockets of the two listeners, and the rule for an admin listener without a token."""

import socket
from collections.abc import Mapping, Sequence

from tracker.errors import SettingsError
from tracker.settings import Address
from tracker.web.listen import address_of, is_private, open_listener


def listeners_for(
    name: str, address: Address, inherited: Mapping[str, Sequence[socket.socket]]
) -> Sequence[socket.socket]:
    """The sockets that systemd holds for this name, else a new one at this address."""
    if sockets := inherited.get(name):
        return sockets
    return [open_listener(host=address.host, port=address.port, path=address.path)]


def refuse_unguarded(listeners: Sequence[socket.socket]) -> None:
    """Raise SettingsError if other machines can reach an admin listener that has no token."""
    for listener in listeners:
        if not is_private(listener):
            raise SettingsError(
                f"TRACKER_ADMIN_TOKEN: is required while the admin listener is {address_of(listener)}; "
                "example: a long random word"
            )
