"""${message}

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both.

Revision: ${up_revision}
Revises: ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
