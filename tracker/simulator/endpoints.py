"""The registered webhook endpoints, by whichever route they were registered."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from tracker.simulator.answers import Refusal
from tracker.simulator.delivery import Endpoint, SignatureHeader
from tracker.simulator.world import Clock

EndpointStatus = Literal["enabled", "disabled"]


@dataclass
class Registered:
    """An endpoint at HeyGen; `events` None means all of them."""

    endpoint_id: str
    receiver: Endpoint
    created_at: datetime
    events: list[str] | None = None
    status: EndpointStatus = "enabled"

    def wants(self, event_type: str) -> bool:
        return self.status == "enabled" and (not self.events or event_type in self.events)

    def as_dict(self) -> dict[str, Any]:
        """As every route but those that make a secret shows it: without the secret."""
        return {
            "endpoint_id": self.endpoint_id,
            "url": self.receiver.url,
            "events": self.events,
            "status": self.status,
            "created_at": int(self.created_at.timestamp()),
        }

    def with_secret(self) -> dict[str, Any]:
        return self.as_dict() | {"secret": self.receiver.secret}


class Endpoints:
    """All endpoints of one account; one of them, `main`, is set by the simulator's owner."""

    def __init__(
        self, clock: Clock, main: Endpoint | None = None, signature_header: SignatureHeader = "Signature"
    ) -> None:
        self._clock = clock
        self._signature_header = signature_header
        self._all: dict[str, Registered] = {}
        self._main_id: str | None = None
        self.set_main(main)

    @property
    def main(self) -> Endpoint | None:
        registered = self._all.get(self._main_id or "")
        return registered.receiver if registered else None

    def set_main(self, receiver: Endpoint | None) -> None:
        """Replaces the endpoint that was set like this before, and no other."""
        self._all.pop(self._main_id or "", None)
        self._main_id = self._register(receiver, None).endpoint_id if receiver is not None else None

    def add(self, url: str, events: list[str] | None) -> Registered:
        receiver = Endpoint(url, _new_secret(), "registered", self._signature_header)
        return self._register(receiver, events)

    def _register(self, receiver: Endpoint, events: list[str] | None) -> Registered:
        made = Registered(secrets.token_hex(16), receiver, self._clock(), events or None)
        self._all[made.endpoint_id] = made
        return made

    def all(self) -> list[Registered]:
        """In the order of registration."""
        return list(self._all.values())

    def find(self, endpoint_id: str) -> Registered:
        """Raises Refusal for an id that was never given out, or was removed."""
        found = self._all.get(endpoint_id)
        if found is None:
            raise Refusal(404, "not_found", "Webhook endpoint not found", kind="not_found")
        return found

    def remove(self, endpoint_id: str) -> None:
        del self._all[self.find(endpoint_id).endpoint_id]

    def move(self, endpoint_id: str, url: str) -> None:
        found = self.find(endpoint_id)
        found.receiver = replace(found.receiver, url=url)

    def rotate(self, endpoint_id: str) -> Registered:
        """The old secret dies at once; what was signed with it before stays so."""
        found = self.find(endpoint_id)
        found.receiver = replace(found.receiver, secret=_new_secret())
        return found

    def receivers(self, event_type: str) -> list[Registered]:
        return [one for one in self._all.values() if one.wants(event_type)]


def _new_secret() -> str:
    return f"whsec_{secrets.token_urlsafe(24)}"
