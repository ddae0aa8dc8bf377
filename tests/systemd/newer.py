"""A newer version of tracker, with one more migration."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.pages import ROOT

OLD, NEW = "0.1.0", "0.2.0"
FURTHER_MIGRATION = '''"""A column that only the next version has."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("translations", sa.Column("priority", sa.Integer()))


def downgrade() -> None:
    op.drop_column("translations", "priority")
'''


def build_both(folder: Path) -> Path:
    """The folder with the wheel of this version, and of the newer one."""
    build(copy_of_the_tree(folder / OLD), folder / "dist")
    newer = copy_of_the_tree(folder / NEW)
    package = newer / "tracker" / "__init__.py"
    package.write_text(package.read_text().replace(f'__version__ = "{OLD}"', f'__version__ = "{NEW}"'))
    [*_, last] = sorted((newer / "migrations" / "versions").glob("*.py"))
    (last.parent / "9001_priority.py").write_text(FURTHER_MIGRATION.format(before=last.name[:4]))
    build(newer, folder / "dist")
    return folder / "dist"


def copy_of_the_tree(to: Path) -> Path:
    for name in ("tracker", "migrations", "systemd"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy2(ROOT / name, to / name)
    return to


def build(tree: Path, to: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(to)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
