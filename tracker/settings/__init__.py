"""The only reader of the environment: TRACKER_* over systemd credentials over a TOML file over defaults."""

from tracker.settings.model import Settings
from tracker.settings.sources import PREFIX, Loaded, load, load_settings, redacted
from tracker.settings.values import Address

__all__ = ["PREFIX", "Address", "Loaded", "Settings", "load", "load_settings", "redacted"]
