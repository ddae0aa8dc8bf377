"""The links to files that a simulator gives out, and whether one still works (heygen-api section 5)."""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from tracker.simulator.scenario import LinkExpiry, Scenario

HEYGENS = "https://resource2.heygen.ai/video_translate"
FILES = "/files"
NUMBERED = {"Key-Pair-Id": "K", "X-Amz-Credential": "AKIA", "v": "v"}  # where a link carries its number


class Links:
    """Signs links and remembers when; `base_url` is where the simulator listens, None until it does."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._count = 0
        self._issued: dict[int, datetime] = {}
        self._revoked: dict[str | None, int] = defaultdict(int)
        self.base_url: str | None = None

    def sign(self, video_translate_id: str, name: str, now: datetime) -> str:
        """A link with another query at every call."""
        self._count += 1
        number = self._count
        serves = self._scenario.serve_files and self.base_url is not None
        if serves:
            self._issued[number] = now
        url = f"{f'{self.base_url}{FILES}' if serves else HEYGENS}/{video_translate_id}/{name}"
        shape = _SHAPES[self._scenario.link_expiry]
        signature = _signature(video_translate_id, name, number)
        life = timedelta(seconds=self._scenario.link_life_seconds)
        return f"{url}?{urlencode(shape(url, now, life, number, signature), quote_via=quote, safe='~')}"

    def revoke(self, video_translate_id: str | None) -> None:
        """No link that was given out so far works any more; None: of all translations."""
        self._revoked[video_translate_id] = self._count

    def refusal(
        self, video_translate_id: str, name: str, query: Mapping[str, str], now: datetime
    ) -> str | None:
        """Why a link does not work: `unsigned`, `expired` or `revoked`; None where it does."""
        number = _number(query)
        signature = query.get("Signature") or query.get("X-Amz-Signature") or query.get("signature")
        if number not in self._issued or signature != _signature(video_translate_id, name, number):
            return "unsigned"
        age = (now - self._issued[number]).total_seconds()
        if age >= self._scenario.link_life_seconds:
            return "expired"
        early = self._scenario.link_revoked_after_seconds
        if number <= max(self._revoked[video_translate_id], self._revoked[None]) or (
            early is not None and age >= early
        ):
            return "revoked"
        return None


def _number(query: Mapping[str, str]) -> int:
    for name, prefix in NUMBERED.items():
        digits = query.get(name, "").partition("/")[0].removeprefix(prefix)
        if digits.isascii() and digits.isdecimal():
            return int(digits[:18])
    return 0


def _signature(video_translate_id: str, name: str, number: int) -> str:
    return hashlib.sha256(f"{video_translate_id}:{name}:{number}".encode()).hexdigest()


_Shape = Callable[[str, datetime, timedelta, int, str], dict[str, str]]


def _expires(url: str, now: datetime, life: timedelta, number: int, signature: str) -> dict[str, str]:
    """CloudFront, canned policy."""
    expires = str(int((now + life).timestamp()))
    return {"Expires": expires, "Signature": signature, "Key-Pair-Id": f"K{number:013d}"}


def _policy(url: str, now: datetime, life: timedelta, number: int, signature: str) -> dict[str, str]:
    """CloudFront, custom policy: base64 with -, _ and ~ for what a query cannot hold."""
    until = {"DateLessThan": {"AWS:EpochTime": int((now + life).timestamp())}}
    policy = json.dumps({"Statement": [{"Resource": url, "Condition": until}]}, separators=(",", ":"))
    encoded = base64.b64encode(policy.encode()).decode().translate(str.maketrans("+=/", "-_~"))
    return {"Policy": encoded, "Signature": signature, "Key-Pair-Id": f"K{number:013d}"}


def _amz(url: str, now: datetime, life: timedelta, number: int, signature: str) -> dict[str, str]:
    """S3, version 4."""
    return {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"AKIA{number:016d}/{now:%Y%m%d}/us-east-1/s3/aws4_request",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(int(life.total_seconds())),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": signature,
    }


def _none(url: str, now: datetime, life: timedelta, number: int, signature: str) -> dict[str, str]:
    """Nothing that says until when."""
    return {"response-content-disposition": "attachment", "v": f"v{number}", "signature": signature}


_SHAPES: dict[LinkExpiry, _Shape] = {
    "Expires": _expires,
    "Policy": _policy,
    "Amz": _amz,
    "none": _none,
}
