"""Keeps your HeyGen video translations right in SQL, from webhooks and from polling."""

__version__ = "0.1.0"
