"""What the webhook verbs do at HeyGen, with the secrets, and in the database; nothing is printed here."""

import json
from dataclasses import dataclass, field
from typing import Any

from tracker.cli.webhook_input import check_name, checked_url
from tracker.daemon.database import clock
from tracker.daemon.wiring import Services
from tracker.errors import InputError, NotFoundError, RefusedError, SettingsError, StoreError, TransientError
from tracker.heygen.webhook_endpoints import Endpoint, Endpoints, LegacyEndpoints
from tracker.observability import logs
from tracker.polling.endpoint_check import (
    LATEST_ENDS,
    REGISTERED_KEY,
    endpoint_problems,
    find_ours,
    silence_problems,
)

NAME = "heygen"  # of a secret that nobody named


@dataclass(kw_only=True)
class Done:
    """What a verb did; any problem means exit code 1.

    `secret` is only there while no file holds it, and `settings` are those that would.
    """

    endpoint_id: str
    url: str | None = None
    was_known: bool = False
    repaired: list[str] = field(default_factory=list)
    name: str | None = None
    secrets_file: str | None = None
    secret: str | None = field(default=None, repr=False)
    settings: list[str] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class WebhookRegistration:
    """The endpoints at HeyGen, the secrets here, and the memory of which endpoint is ours."""

    def __init__(self, services: Services) -> None:
        if services.heygen is None:
            raise SettingsError("TRACKER_HEYGEN_API_KEY: is required to call HeyGen; example: your-key")
        self._services = services
        self._url = services.settings.webhook_url
        self._v3 = Endpoints(services.heygen.client, clock)
        self._legacy = LegacyEndpoints(services.heygen.client, clock)
        self.webhook_secrets = services.webhook_secrets

    async def register(self, url: str | None, name: str | None, *, legacy: bool) -> Done:
        """Have our url called at the end of a translation; a second time changes nothing."""
        url = checked_url(url or self._url)
        check_name(name, self.webhook_secrets.configured)
        before = await self._remembered()
        found = await self._list(legacy=legacy)
        if (known := find_ours(found, {}, url)) is not None:
            done = await self._take_up(known, name or NAME, legacy=legacy)
        else:
            is_left = self._is_left(name or NAME, found, is_same_kind=bool(before.get("legacy")) == legacy)
            done = await self._begin(url, name, legacy=legacy, replaces=is_left)
        await self._remember(done, {"endpoint_id": done.endpoint_id, "url": done.url, "legacy": legacy})
        former = before.get("endpoint_id")
        if former not in (None, done.endpoint_id):
            done.notes.append(
                f"the previous endpoint is {former}; remove it with `tracker webhook remove {former}`"
            )
        return done

    async def rotate(self, endpoint_id: str | None) -> Done:
        """A new secret at HeyGen; where a file keeps secrets, the previous one stays valid for 24 h."""
        remembered = await self._remembered()
        if remembered.get("legacy") and endpoint_id in (None, remembered["endpoint_id"]):
            raise InputError(
                "HeyGen cannot rotate the secret of a legacy endpoint; "
                "run `tracker webhook remove`, then `tracker webhook register`"
            )
        endpoint_id = endpoint_id or await self._ours(remembered)
        if self.webhook_secrets.path is not None:
            self.webhook_secrets.check_writable()
        try:
            secret = await self._v3.rotate(endpoint_id)
        except TransientError as error:
            raise TransientError(
                f"{error}; the secret may have been rotated; run `tracker webhook rotate` again"
            ) from error
        done = Done(endpoint_id=endpoint_id, name=self.webhook_secrets.name_of(endpoint_id))
        if done.name is None:
            done.name = self._free_name(endpoint_id)
            done.notes.append(
                "keep the previous secret in the settings for 24 hours: "
                "HeyGen may still send webhooks signed with it"
            )
        self._keep(done, secret, is_new=False)
        return done

    async def remove(self, endpoint_id: str | None, *, legacy: bool) -> Done:
        """Have HeyGen call us no more; what is still in flight is believed for 24 h."""
        remembered = await self._remembered()
        ours = remembered.get("endpoint_id")
        endpoint_id = endpoint_id or await self._ours(remembered)
        done = Done(endpoint_id=endpoint_id)
        is_legacy = legacy or (endpoint_id == ours and bool(remembered.get("legacy")))
        try:
            await (self._legacy if is_legacy else self._v3).remove(endpoint_id)
        except NotFoundError:
            if endpoint_id != ours:
                raise
            done.notes.append("HeyGen had already removed it")
        if self.webhook_secrets.path is not None and self.webhook_secrets.name_of(endpoint_id) is not None:
            try:
                self.webhook_secrets.retire(endpoint_id)
            except SettingsError as error:
                done.problems.append(str(error))
        if endpoint_id == ours:
            await self._remember(done, None)
        return done

    async def status(self) -> dict[str, Any]:
        """Endpoints, secrets, delivery rate, and the problems by name."""
        remembered = await self._remembered()
        found = await self._list(legacy=bool(remembered.get("legacy")))
        ours = find_ours(found, remembered, self._url)
        ends = await self._services.repository.recent_end_sources(LATEST_ENDS)
        by_webhook = sum(source == "webhook" for source in ends)
        has_secret = bool(self.webhook_secrets.secrets())
        problems = endpoint_problems(ours, remembered, self._url)
        problems += ["no_secret"] if ours is not None and not has_secret else []
        problems += await silence_problems(self._services.repository, has_secret=has_secret)
        return {
            "endpoints": [_shown(one, is_ours=one is ours) for one in found],
            "secrets": await self._secrets(),
            "delivery": {
                "ends": len(ends),
                "by_webhook": by_webhook,
                "rate": by_webhook / len(ends) if ends else None,
            },
            "problems": problems,
        }

    # Registering

    def _is_left(self, name: str, found: list[Endpoint], *, is_same_kind: bool) -> bool:
        """True where the secret of that name is of an endpoint that HeyGen has no more."""
        entry = self.webhook_secrets.entries().get(name)
        if entry is None:
            return False
        is_gone = entry.endpoint_id not in (None, *(one.endpoint_id for one in found))
        return entry.valid_until is not None or (is_same_kind and is_gone)

    async def _begin(self, url: str, name: str | None, *, legacy: bool, replaces: bool) -> Done:
        """A new endpoint. Its secret takes the place of one that is left over, or has a name of its own."""
        if self.webhook_secrets.path is not None:
            self.webhook_secrets.check_writable(None if replaces else name)
        try:
            new = await (self._legacy if legacy else self._v3).register(url)
        except TransientError as error:
            raise TransientError(
                f"{error}; the endpoint may be registered; check with `tracker webhook status`"
            ) from error
        given = (name or NAME) if replaces else name
        done = Done(endpoint_id=new.endpoint_id, url=new.url, name=given or self._free_name(new.endpoint_id))
        if new.secret is None:
            done.name = None
            done.problems.append(
                f"HeyGen returned no secret; create one with `tracker webhook rotate {new.endpoint_id}`"
            )
        else:
            self._keep(done, new.secret, is_new=not replaces)
        return done

    async def _take_up(self, known: Endpoint, name: str, *, legacy: bool) -> Done:
        """Our url is registered already: no second one, but whatever is wrong with it is repaired."""
        done = Done(endpoint_id=known.endpoint_id, url=known.url, was_known=True)
        if known.lacks or not known.is_enabled:
            await self._repair(known, done, legacy=legacy)
        done.name = self.webhook_secrets.name_of(known.endpoint_id)
        if done.name is not None:
            done.secrets_file = str(self.webhook_secrets.path)
        elif known.secret is not None and known.secret not in self.webhook_secrets.secrets().values():
            done.name = name  # a legacy list may tell it
            self._keep(done, known.secret, is_new=True)
        elif known.secret is None:
            where, told = "", done.problems
            if self.webhook_secrets.secrets():  # one of them may be it
                where, told = "if this tracker does not have it, ", done.notes
            again = f"create a new one with `tracker webhook rotate {known.endpoint_id}`"
            told.append(f"HeyGen does not show its secret again; {where}{again}")
        return done

    async def _repair(self, known: Endpoint, done: Done, *, legacy: bool) -> None:
        again = f"`tracker webhook remove {known.endpoint_id}`, then `tracker webhook register`"
        if legacy:
            done.problems.append(f"a legacy endpoint cannot be repaired: {again}")
            return
        try:
            if known.lacks:
                await self._v3.update(known.endpoint_id, events=[*(known.events or ()), *known.lacks])
                done.repaired.append("events")
            if not known.is_enabled:
                await self._v3.update(known.endpoint_id, enable=True)
                done.repaired.append("status")
        except RefusedError as error:
            done.problems.append(f"HeyGen refused the repair: {error}; {again}")
            return
        now = next((one for one in await self._v3.list() if one.endpoint_id == known.endpoint_id), known)
        if now.lacks or not now.is_enabled:
            done.problems.append(
                f"the endpoint is still {now.status} and lacks {len(now.lacks)} events; {again}"
            )

    # Secrets and memory

    def _keep(self, done: Done, secret: str, *, is_new: bool) -> None:
        """In the file where there is one; else the verb prints it, for HeyGen never tells it again."""
        logs.hide([secret])
        name = done.name or NAME
        try:
            if self.webhook_secrets.path is None:
                self._show(done, name, secret, is_new=is_new)
            elif is_new:
                self.webhook_secrets.add(name, secret, done.endpoint_id)
            else:
                self.webhook_secrets.replace(name, secret, done.endpoint_id)
        except SettingsError as error:
            self._show(done, name, secret, is_new=is_new)
            done.problems.append(str(error))
        else:
            done.secrets_file = str(self.webhook_secrets.path) if self.webhook_secrets.path else None

    def _show(self, done: Done, name: str, secret: str, *, is_new: bool) -> None:
        """The settings that make the tracker accept a secret that no file holds."""
        done.secret = secret
        others = json.dumps({name: secret} if is_new else {f"{name}-before": "the previous secret"})
        if not is_new or "main" not in self.webhook_secrets.configured:
            done.settings.append(f"TRACKER_WEBHOOK_SECRET={secret}")
        if not is_new or "main" in self.webhook_secrets.configured:
            done.settings.append(f"TRACKER_WEBHOOK_SECRETS={others}")

    def _free_name(self, endpoint_id: str) -> str:
        taken = {*self.webhook_secrets.entries(), *self.webhook_secrets.configured}
        return f"{NAME}-{endpoint_id}" if NAME in taken else NAME

    async def _secrets(self) -> list[dict[str, Any]]:
        use = await self._services.repository.secret_use()
        rows: list[dict[str, Any]] = [
            {"name": name, "origin": "setting", "endpoint_id": None, "added_at": None, "valid_until": None}
            for name in self.webhook_secrets.configured
        ]
        rows += [
            {
                "name": self.webhook_secrets.name_in_use(name),
                "origin": str(self.webhook_secrets.path),
                "endpoint_id": one.endpoint_id,
                "added_at": one.added_at,
                "valid_until": one.valid_until,
            }
            for name, one in self.webhook_secrets.entries().items()
        ]
        for row in rows:
            row["last_used"], row["times_used"] = use.get(row["name"], (None, 0))
        return rows

    async def _list(self, *, legacy: bool) -> list[Endpoint]:
        return await (self._legacy if legacy else self._v3).list()

    async def _remembered(self) -> dict[str, Any]:
        return await self._services.repository.recall(REGISTERED_KEY) or {}

    async def _remember(self, done: Done, endpoint: dict[str, Any] | None) -> None:
        """What HeyGen did is done: a database that fails now must not take the secret with it."""
        try:
            await self._services.repository.remember(REGISTERED_KEY, endpoint)
        except StoreError as error:
            done.problems.append(f"the endpoint id could not be stored: {error}; run the command again")

    async def _ours(self, remembered: dict[str, Any]) -> str:
        """The id of our endpoint; InputError where that would be a guess."""
        if remembered:
            return str(remembered["endpoint_id"])
        ours = find_ours(await self._v3.list(), {}, self._url)
        if ours is None:
            raise InputError(
                "this tracker's endpoint is unknown; name its id: `tracker webhook status` lists them"
            )
        return ours.endpoint_id


def _shown(endpoint: Endpoint, *, is_ours: bool) -> dict[str, Any]:
    return {
        "endpoint_id": endpoint.endpoint_id,
        "url": endpoint.url,
        "status": endpoint.status,
        "events": None if endpoint.events is None else list(endpoint.events),
        "ours": is_ours,
    }
