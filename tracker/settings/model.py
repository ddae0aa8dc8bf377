"""Every setting: its type, its default, what it means, and how the settings fit together."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tracker.errors import SettingsError
from tracker.settings.values import (
    AbsolutePath,
    Adopt,
    ArchiveKey,
    ArchiveKinds,
    ArchivePlace,
    BaseUrl,
    Bytes,
    EndpointUrl,
    HeaderSecret,
    HostAndPort,
    HostPattern,
    KeptTime,
    Seconds,
    Secret,
    Where,
    parse_json,
    setting,
)

IN_THE_QUERY = r"[?&](?:ssl)?password="  # where a database url may carry one, too


class Settings(BaseModel):
    """Every setting; the environment variable is the name in upper case after TRACKER_."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", arbitrary_types_allowed=True, validate_default=True
    )

    database_url: Secret = setting(
        "sqlite:///tracker.db",
        "the database, as an SQLAlchemy URL",
        "postgresql://tracker@db.example/tracker",
    )
    heygen_api_key: HeaderSecret | None = setting(
        None, "HeyGen's API key; without one nothing is polled", "your-key", live=True
    )
    heygen_base_url: BaseUrl = setting(
        "https://api.heygen.com", "where HeyGen's API is", "https://api.heygen.com"
    )
    heygen_api: Literal["auto", "v2", "v3"] = setting(
        "auto", "HeyGen's API to speak; auto follows it from v2 to v3, or back", "v3"
    )
    webhook_secret: Secret | None = setting(
        None, "the webhook endpoint's secret, named `main`, whsec_ included", "whsec_...", live=True
    )
    webhook_secrets: Annotated[dict[str, Secret], BeforeValidator(parse_json)] = setting(
        {},
        "JSON object of names and secrets, for rotation; all are accepted",
        '{"old": "whsec_a", "new": "whsec_b"}',
        live=True,
    )
    webhook_secrets_file: AbsolutePath | None = setting(
        None, "JSON file where the webhook verbs keep secrets", "/var/lib/tracker/webhook-secrets.json"
    )
    webhook_url: EndpointUrl | None = setting(
        None,
        "the public URL of this tracker's webhook endpoint; it is checked every hour",
        "https://tracker.example/webhooks/heygen",
    )
    callback_tokens: Annotated[list[Secret], BeforeValidator(parse_json)] = setting(
        [],
        "JSON list of tokens of the unsigned callback route; none: it answers 404",
        '["a-long-random-word"]',
        live=True,
    )
    listen: Where = setting(
        "127.0.0.1:8321", "where webhooks are received", "127.0.0.1:8321 or unix:/run/tracker.sock"
    )
    admin_listen: Where = setting(
        "127.0.0.1:8322", "where the admin pages and /metrics are", "127.0.0.1:8322"
    )
    admin_token: HeaderSecret | None = setting(
        None,
        "bearer token of the admin listener; required unless it binds loopback",
        "a-long-random-word",
        live=True,
    )
    rate_limit: Annotated[float, Field(gt=0, le=10_000)] = setting(
        5, "requests a second to HeyGen", "5", live=True
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = setting(
        10, "requests to HeyGen in flight at once", "10"
    )
    request_timeout: Seconds = setting(15, "seconds for one request to HeyGen", "15")
    poll_min_interval: Seconds = setting(
        15, "shortest time between two polls of a translation", "15", live=True
    )
    poll_max_interval: Seconds = setting(
        600, "longest time between two polls of a translation", "600", live=True
    )
    max_staleness: Seconds = setting(
        60,
        "longest time between two status requests for a translation younger than 30 minutes",
        "60",
        live=True,
    )
    discover_adopt: Adopt = setting(
        "none",
        "what sweeps adopt: none, all, or prefix:TEXT for those whose callback_id begins with TEXT",
        "prefix:order-",
    )
    discover_interval: Annotated[Seconds, Field(ge=60)] | None = setting(
        None, "time between two sweeps through HeyGen's list; none: no sweeps", "6h", live=True
    )
    keep_links_fresh: Literal["off", "on_demand", "always"] = setting(
        "on_demand",
        "on_demand: renew links on request; always: also before they expire; off: never",
        "always",
        live=True,
    )
    overdue_after: Seconds = setting(3600, "age at which a translation is flagged overdue", "1h", live=True)
    give_up_after: Seconds = setting(7 * 86400, "age at which polling becomes daily", "7d", live=True)
    keep_delivery_bodies: Seconds = setting(
        7 * 86400, "age at which the body and headers of a delivery are deleted", "7d", live=True
    )
    keep_deliveries: KeptTime = setting(90 * 86400, "age at which a delivery is deleted", "90d", live=True)
    keep_finished: KeptTime | None = setting(
        None, "time after its end at which a translation is deleted; none: never", "365d", live=True
    )
    file_hosts: Annotated[list[HostPattern], BeforeValidator(parse_json), Field(min_length=1)] = setting(
        ["*.heygen.ai", "*.heygen.com"],
        "JSON list of the hosts that files may be on: a name, or *. and a name for all below it",
        '["*.heygen.ai", "*.heygen.com"]',
    )
    file_hosts_unsafe: Annotated[list[HostAndPort], BeforeValidator(parse_json)] = setting(
        [],
        "JSON list of host:port where files may also be, with http and at any address: for tests",
        '["127.0.0.1:8399"]',
    )
    archive_max_bytes: Bytes = setting(20 * 2**30, "the largest file that is downloaded, in bytes", "20GiB")
    archive: ArchivePlace | None = setting(
        None,
        "where finished files are archived: a folder or s3://bucket/prefix; none: not archived",
        "/srv/heygen",
    )
    archive_kinds: ArchiveKinds = setting(
        "video, audio, captions, srt, vtt", "the files that are kept of each translation", "video, srt"
    )
    archive_key: ArchiveKey = setting(
        "{finished_at:%Y/%m}/{title}-{output_language}-{video_translate_id}/{kind}.{extension}",
        "the names of kept files, below the archive",
        "{video_translate_id}/{kind}.{extension}",
    )
    archive_concurrency: Annotated[int, Field(ge=1, le=64)] = setting(
        2, "files that are downloaded at once", "2", live=True
    )
    archive_bandwidth: Annotated[Bytes, Field(ge=1024)] | None = setting(
        None, "bytes a second for all downloads together; none: no limit", "5MB", live=True
    )
    archive_min_free: Bytes = setting(2**30, "bytes of the disk that downloads leave free", "1GiB", live=True)
    archive_spool: AbsolutePath | None = setting(
        None, "folder where files gather before they go to a bucket", "/var/lib/tracker/archive-spool"
    )
    archive_s3_endpoint: BaseUrl | None = setting(
        None, "the service that has the bucket; none: Amazon", "https://s3.example.com"
    )
    archive_s3_region: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")] = setting(
        "us-east-1", "the region of the bucket", "eu-central-1"
    )
    archive_s3_access_key: Secret | None = setting(
        None, "access key id of the bucket; none: the AWS variables, or the machine's role", "AKIA..."
    )
    archive_s3_secret_key: Secret | None = setting(None, "secret access key that belongs to it", "...")
    archive_s3_allow_http: bool = setting(
        False, "whether the bucket may be reached without TLS, as on this machine", "false"
    )
    database_wait: Annotated[Seconds, Field(ge=0)] = setting(
        60, "seconds to wait at startup for a PostgreSQL server that does not answer", "300"
    )
    stop_timeout: Annotated[Seconds, Field(ge=3)] = setting(20, "seconds the daemon may take to stop", "20")
    sqlite_synchronous: Literal["full", "normal"] = setting(
        "full", "full: acknowledged data survives a power cut; normal: only a crash of the program", "full"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "least serious event to log", "info", live=True
    )
    log_format: Literal["auto", "console", "json"] = setting(
        "auto", "auto: JSON under systemd, else console", "json"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Settings that are right alone and wrong together."""
        if self.poll_min_interval > self.poll_max_interval:
            raise SettingsError(
                "TRACKER_POLL_MIN_INTERVAL: is larger than TRACKER_POLL_MAX_INTERVAL; example: 15"
            )
        if self.max_staleness < self.poll_min_interval:
            raise SettingsError(
                "TRACKER_MAX_STALENESS: is smaller than TRACKER_POLL_MIN_INTERVAL; example: 60"
            )
        if self.keep_delivery_bodies > self.keep_deliveries:
            raise SettingsError(
                "TRACKER_KEEP_DELIVERY_BODIES: is larger than TRACKER_KEEP_DELIVERIES, "
                "but a body is deleted with its delivery; example: 2d"
            )
        if self.webhook_secret and "main" in self.webhook_secrets:
            raise SettingsError(
                "TRACKER_WEBHOOK_SECRETS: the name main belongs to TRACKER_WEBHOOK_SECRET; example: old"
            )
        self._check_archive()
        if not self.admin_listen.is_private and self.admin_token is None:
            raise SettingsError(
                f"TRACKER_ADMIN_TOKEN: is required while TRACKER_ADMIN_LISTEN is {self.admin_listen}; "
                "example: a long random word, or TRACKER_ADMIN_LISTEN=127.0.0.1:8322"
            )
        return self

    def _check_archive(self) -> None:
        if (self.archive_s3_endpoint or "").startswith("http:") and not self.archive_s3_allow_http:
            raise SettingsError(
                "TRACKER_ARCHIVE_S3_ENDPOINT: is not https: others on the network could read the files; "
                "example: https://s3.example.com, or TRACKER_ARCHIVE_S3_ALLOW_HTTP=true"
            )
        if self.archive is None or not self.archive.bucket:
            return
        if self.archive_spool is None:
            raise SettingsError(
                "TRACKER_ARCHIVE_SPOOL: is required while TRACKER_ARCHIVE is a bucket; "
                "example: /var/lib/tracker/archive-spool"
            )
        if (self.archive_s3_access_key is None) != (self.archive_s3_secret_key is None):
            raise SettingsError(
                "TRACKER_ARCHIVE_S3_SECRET_KEY: must be set together with TRACKER_ARCHIVE_S3_ACCESS_KEY; "
                "example: set both or neither"
            )

    @property
    def signing_secrets(self) -> dict[str, str]:
        """Every webhook secret in the clear, by name; for the receiver alone."""
        main = {"main": self.webhook_secret} if self.webhook_secret else {}
        return {name: secret.get_secret_value() for name, secret in (main | self.webhook_secrets).items()}

    def reloaded(self, wanted: "Settings") -> "Reload":
        """What can run from now on where `wanted` is wished for.

        Polling begins and ends with the API key, and that needs a restart.
        """
        changed = [name for name in type(self).model_fields if getattr(self, name) != getattr(wanted, name)]
        live = LIVE if self.heygen_api_key and wanted.heygen_api_key else LIVE - {"heygen_api_key"}
        applied = [name for name in changed if name in live]
        settings = self.model_copy(update={name: getattr(wanted, name) for name in applied})
        return Reload(settings, applied, [name for name in changed if name not in live])

    def secret_values(self) -> list[str]:
        """Every secret in the clear, so that the log can keep them out."""
        bucket = [self.archive_s3_access_key, self.archive_s3_secret_key]
        single = [self.heygen_api_key, self.admin_token, *bucket, *self.callback_tokens]
        secrets = [secret.get_secret_value() for secret in single if secret]
        url = self.database_url.get_secret_value()
        passwords = re.findall(r"^[^:]*://[^:/@]*:([^@]+)@", url) + re.findall(rf"{IN_THE_QUERY}([^&]+)", url)
        return [*secrets, *self.signing_secrets.values(), *passwords, *map(unquote, passwords)]


LIVE = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["live"]
)


@dataclass(frozen=True, slots=True)
class Reload:
    """The settings after a reload: the names of those that changed, and of those that wait for a restart."""

    settings: Settings
    applied: list[str]
    waiting: list[str]
