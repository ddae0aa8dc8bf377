"""Every error the tracker raises on purpose.

TrackerError                 its text names the thing, the problem and the way out
├── InputError               the input cannot be used                         exit 2, HTTP 400
│   └── SettingsError        a setting is wrong                               exit 2
├── ListenError              the process cannot listen on an address          exit 3
├── StoreError               the database failed or is unavailable            exit 3, HTTP 503
│   ├── SchemaError          the schema is missing, outdated or too new       exit 3
│   └── AlreadyRunningError  another `tracker run` holds this database        exit 3
├── HeyGenError              HeyGen did not answer with a status              exit 3, HTTP 502
│   ├── NotFoundError        the translation or its file does not exist, or does not exist yet    HTTP 404
│   │   └── NotFinishedError     the translation has not finished             HTTP 409
│   ├── RefusedError         HeyGen rejects this request; a retry does not help
│   ├── TransientError       a retry may work: 5xx, time-outs, invalid responses    HTTP 503
│   │   └── NotSentError     HeyGen did not process the request
│   └── AccountError         affects every request of this API key            HTTP 503
│       ├── KeyRejectedError     401, 403
│       └── RateLimitedError     429, with the delay that HeyGen asks for
├── FileError                a file at HeyGen could not be downloaded         exit 3, HTTP 502
│   ├── LinkRefusedError     the file host refused the link: it has expired or was revoked (403, 404, 410)
│   ├── LinkEndedError       the stored link has expired, and the settings forbid to renew it    HTTP 410
│   ├── UnsafeLinkError      the settings do not allow this host or address
│   ├── FileTooLargeError    the file is larger than TRACKER_ARCHIVE_MAX_BYTES
│   └── BrokenTransferError  the download was cut off or wrong; a retry may work
└── ArchiveError             the file cannot be archived
    ├── DiskFullError            less disk space is free than TRACKER_ARCHIVE_MIN_FREE   exit 3
    ├── StorageError             the folder or bucket cannot store the file              exit 3
    │   └── StorageClosedError   the folder or bucket cannot store any file
    ├── KeyTakenError            another file has the same name
    ├── PartialFileInUseError    another process on this machine is downloading the file
    └── UnwantedError            the upload was cancelled
"""


class TrackerError(Exception):
    """An error whose text is shown to the user, without a traceback."""


class InputError(TrackerError):
    """The input cannot be used."""


class SettingsError(InputError):
    """A setting is wrong; the text names it, the problem and an example."""


class ListenError(TrackerError):
    """The process cannot listen on an address."""


class StoreError(TrackerError):
    """The database failed or is unavailable."""


class SchemaError(StoreError):
    """The schema is missing, older than this program, or newer."""


class AlreadyRunningError(StoreError):
    """Another `tracker run` holds this database."""


class HeyGenError(TrackerError):
    """HeyGen did not answer with a status."""


class NotFoundError(HeyGenError):
    """The translation (heygen-api section 3) or its file does not exist, or does not exist yet."""


class NotFinishedError(NotFoundError):
    """The translation has not finished, so it has no file yet."""


class RefusedError(HeyGenError):
    """HeyGen rejects this request; a retry does not help."""


class TransientError(HeyGenError):
    """The request failed, and a retry may work."""


class NotSentError(TransientError):
    """HeyGen did not process the request: it was never sent, or the endpoint is gone."""


class AccountError(HeyGenError):
    """Affects every request with this API key, so the poller must wait."""


class KeyRejectedError(AccountError):
    """HeyGen refuses the API key (401, 403)."""


class RateLimitedError(AccountError):
    """HeyGen's rate limit or quota is exceeded (429).

    `retry_after` is in seconds, None where HeyGen named no delay; `quota` says that the account's
    quota is used up, so that waiting alone does not help.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, quota: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.quota = quota


class FileError(TrackerError):
    """A file at HeyGen could not be downloaded."""


class LinkRefusedError(FileError):
    """The file host refused the link: it has expired or was revoked."""


class LinkEndedError(FileError):
    """The stored link has expired, and TRACKER_KEEP_LINKS_FRESH forbids to renew it."""


class UnsafeLinkError(FileError):
    """The settings do not allow the link: another host, a private address, or no https."""


class FileTooLargeError(FileError):
    """The file is larger than the settings allow."""


class BrokenTransferError(FileError):
    """The download was cut off, or its content is wrong; a retry may work."""


class ArchiveError(TrackerError):
    """A file cannot be archived."""


class DiskFullError(ArchiveError):
    """The disk is full, or would have less free space than the settings require.

    `needed`: free bytes that a retry requires; None: unknown.
    """

    def __init__(self, message: str, needed: int | None) -> None:
        super().__init__(message)
        self.needed = needed


class StorageError(ArchiveError):
    """The folder or bucket of the archive cannot store the file."""


class StorageClosedError(StorageError):
    """The folder or bucket cannot store any file."""


class KeyTakenError(ArchiveError):
    """Another file has the same name; it is not overwritten."""


class PartialFileInUseError(ArchiveError):
    """Another process on this machine is downloading the file."""


class UnwantedError(ArchiveError):
    """The upload of this file was cancelled."""
