"""The schema: its version, migrations, their lock and their plan."""
