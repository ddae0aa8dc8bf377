"""Names to addresses: what is connected to is what was checked."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from tracker.domain.files.allowed_hosts import FileHosts


class CheckedResolver(AbstractResolver):
    """Gives addresses that may be connected to, and raises UnsafeLinkError where one of a name's may not.

    aiohttp connects to what is given here and asks nobody else, so that a name cannot lead elsewhere
    between the check and the connection. Addresses written into a url do not come here:
    `FileHosts.place` takes none that the settings do not name.
    """

    def __init__(self, hosts: FileHosts, resolver: AbstractResolver) -> None:
        self._hosts = hosts
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            self._hosts.check_address(host, port, one["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()
