"""Every error the tracker raises on purpose.

TrackerError                 its text is written for people: the thing, the problem, the way out
├── InputError               what was typed or sent cannot be used            exit 2, HTTP 400
│   └── SettingsError        a setting is wrong                               exit 2
├── ListenError              an address cannot be listened on                 exit 3
├── StoreError               the database cannot do it now                    exit 3, HTTP 503
│   ├── SchemaError          the schema is missing, outdated or too new       exit 3
│   └── AlreadyRunningError  another `tracker run` holds this database        exit 3
├── HeyGenError              HeyGen did not answer a status                   exit 3, HTTP 502
│   ├── NotFoundError        "no such translation", or no such file of it, perhaps not for good    HTTP 404
│   │   └── NotFinishedError     there is no file yet                         HTTP 409
│   ├── RefusedError         HeyGen will not take this request, however often it is sent
│   ├── TransientError       may work next time: 5xx, HTML, time-outs, nonsense    HTTP 503
│   │   └── NotSentError     the request certainly never reached HeyGen
│   └── AccountError         concerns every request of this API key           HTTP 503
│       ├── KeyRejectedError     401, 403
│       └── RateLimitedError     429, with the delay HeyGen asks for
├── FileError                a file of HeyGen's could not be had              exit 3, HTTP 502
│   ├── LinkRefusedError     the file host refuses this link: it has expired or was revoked (403, 404, 410)
│   ├── LinkEndedError       the link that is stored has ended, and is not to be renewed    HTTP 410
│   ├── UnsafeLinkError      the link leads where we do not go; the text names the rule and the setting
│   ├── FileTooLargeError    it is larger than TRACKER_ARCHIVE_MAX_BYTES allows
│   └── BrokenTransferError  the connection broke, or what came was not what was promised; may work next time
└── ArchiveError             what was downloaded cannot be kept
    ├── NoRoomError          the disk is full, or would have less than TRACKER_ARCHIVE_MIN_FREE   exit 3
    ├── PlaceError           the folder or the bucket does not take anything now                  exit 3
    │   └── ClosedPlaceError  ... whichever file it is
    ├── KeyTakenError        another file has that name already
    ├── PartInUseError       another process on this machine is downloading it
    └── UnwantedError        nobody waits for it any more: it was stopped on its way
"""


class TrackerError(Exception):
    """What people are told; never a traceback."""


class InputError(TrackerError):
    """What was typed or sent cannot be used as it is."""


class SettingsError(InputError):
    """A setting is wrong; the text names it, the problem and an example."""


class ListenError(TrackerError):
    """An address cannot be listened on."""


class StoreError(TrackerError):
    """The database cannot do it now."""


class SchemaError(StoreError):
    """The schema is missing, older than this program, or newer."""


class AlreadyRunningError(StoreError):
    """Another `tracker run` holds this database."""


class HeyGenError(TrackerError):
    """HeyGen did not answer with a status."""


class NotFoundError(HeyGenError):
    """There is no such translation (heygen-api section 3), or it has no such file; perhaps not for good."""


class NotFinishedError(NotFoundError):
    """The translation has not come so far that there could be such a file."""


class RefusedError(HeyGenError):
    """HeyGen will not take this very request: what is asked, or how, must change."""


class TransientError(HeyGenError):
    """Nothing was learnt, and the next attempt may work."""


class NotSentError(TransientError):
    """The request certainly was not processed: it never left, or the endpoint is gone."""


class AccountError(HeyGenError):
    """Concerns every request made with this API key, so the whole poller has to wait."""


class KeyRejectedError(AccountError):
    """HeyGen refuses the API key (401, 403)."""


class RateLimitedError(AccountError):
    """HeyGen asks for silence (429).

    `retry_after` is in seconds, None where HeyGen named no delay; `quota` says that the account's
    quota is used up, so that waiting alone does not help.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, quota: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.quota = quota


class FileError(TrackerError):
    """A file of HeyGen's could not be had."""


class LinkRefusedError(FileError):
    """The file host refuses this link: it has expired, or was revoked."""


class LinkEndedError(FileError):
    """The link that is stored has ended, and TRACKER_KEEP_LINKS_FRESH forbids to ask for another."""


class UnsafeLinkError(FileError):
    """The link leads where we do not go: another host, a private address, no https."""


class FileTooLargeError(FileError):
    """The file is larger than the settings allow."""


class BrokenTransferError(FileError):
    """The connection broke, or what came is not what was promised; the next attempt may work."""


class ArchiveError(TrackerError):
    """What was downloaded cannot be kept."""


class DiskFullError(ArchiveError):
    """The disk is full, or would have less room than the settings leave it.

    `needed`: bytes that must be free before it is worth trying again; None: only trying tells.
    """

    def __init__(self, message: str, needed: int | None) -> None:
        super().__init__(message)
        self.needed = needed


class StorageError(ArchiveError):
    """The folder or the bucket of the archive does not take anything now."""


class StorageClosedError(StorageError):
    """Nothing at all can be written there, whichever file it is."""


class KeyTakenError(ArchiveError):
    """Another file has that name already, and is left as it is."""


class PartialFileInUseError(ArchiveError):
    """Another process on this machine is downloading this very file."""


class UnwantedError(ArchiveError):
    """Nobody waits for this file any more: its upload was stopped on the way."""
