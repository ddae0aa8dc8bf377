"""Starlette lives here: the webhook receiver (public) and the admin pages (private)."""
