"""How other machines are reached: addresses, allowed hosts, the client for file hosts."""
