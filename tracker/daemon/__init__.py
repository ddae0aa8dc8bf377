"""One process: wiring, start-up, health, stop, systemd."""
