"""Copying a database into another: rows, guards, conversion."""
