"""HeyGen's words, and the only place that talks to HeyGen."""
