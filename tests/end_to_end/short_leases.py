"""A real daemon whose claims outlive their requests by three seconds instead of a minute."""

import asyncio
import sys
from datetime import timedelta

from tracker.cli.database import configure_logs
from tracker.daemon.process import Daemon
from tracker.daemon.wiring import Core
from tracker.domain.limits import Pace
from tracker.settings import load

SPARE = timedelta(seconds=3)


class ShortLeases(Daemon):
    """Differs in nothing else."""

    async def _serve(self, core: Core) -> None:
        settings = self._settings
        core.poller.set_pace(
            Pace(
                settings.concurrency,
                settings.request_timeout,
                settings.rate_limit,
                core.tracker.cadence,
                spare=SPARE,
            )
        )
        await super()._serve(core)


if __name__ == "__main__":
    loaded = load()
    configure_logs(loaded)
    sys.exit(asyncio.run(ShortLeases(loaded.settings, {}).run()))
