"""The services around the one door: recorder, submissions, fresh links, retention, webhook secrets."""
