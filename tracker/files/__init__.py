"""The file hosts: aiohttp, checked addresses, and what an answer promises."""
