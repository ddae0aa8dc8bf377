"""Truth: what a translation is, what an observation may change, and when to look again.

Standard library only: no I/O, no clock, no logging. Time is always an argument.
"""
