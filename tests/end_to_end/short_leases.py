"""A real daemon whose claims outlive their requests by three seconds instead of a minute."""

import asyncio
import sys
from datetime import timedelta

from tracker.cli.database import configure_logs
from tracker.daemon.process import Daemon
from tracker.daemon.wiring import Services
from tracker.domain.limits import PollLimits
from tracker.settings import load

SPARE = timedelta(seconds=3)


class ShortLeases(Daemon):
    """Differs in nothing else."""

    async def _serve(self, services: Services) -> None:
        settings = self._settings
        services.poller.set_limits(
            PollLimits(
                settings.concurrency,
                settings.request_timeout,
                settings.rate_limit,
                services.tracker.schedule,
                spare=SPARE,
            )
        )
        await super()._serve(services)


if __name__ == "__main__":
    loaded = load()
    configure_logs(loaded)
    sys.exit(asyncio.run(ShortLeases(loaded.settings, {}).run()))
