"""The archive put together: what is opened only where it is needed."""

import ssl

import pytest

from tracker.daemon.archive_wiring import FilesAtNeed
from tracker.errors import UnsafeLinkError
from tracker.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_whoever_wants_no_file_opens_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    trusted = ssl.create_default_context

    def count(**given: str) -> ssl.SSLContext:
        opened.append("")
        return trusted(**given)  # type: ignore[arg-type]

    monkeypatch.setattr(ssl, "create_default_context", count)
    async with FilesAtNeed(Settings()) as files:
        assert opened == []
        for _ in range(2):
            with pytest.raises(UnsafeLinkError):
                await files.check("https://evil.example/a.mp4")
        assert opened == [""]
