"""Asking HeyGen about what is due."""
