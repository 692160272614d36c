"""What happens in journal-datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal

if TYPE_CHECKING:
    from tests.golden.stories import Story


def datasets(story: Story) -> None:
    """Two users upload the same file, one of them for a project too; one upload is deleted, a file is gone
    (journal-datasets)."""
    story.tell(o.CreateUser("ada", "$argon2id$1", ("developer",)), SYSTEM)
    story.tell(o.CreateUser("ben", "$argon2id$2", ("developer",)), SYSTEM)
    ada, ben = (Principal(f"user-000000000{n}", name, ("developer",)) for n, name in ((1, "ada"), (2, "ben")))
    story.tell(o.CreateProject("vision", "Vision", ("ada", "ben")), SYSTEM)
    rows, others = "a" * 64, "b" * 64
    story.tell(o.UploadDataset(rows, 1_000), ada)
    story.tell(o.UploadDataset(rows, 1_000, "vision"), ada)
    story.tell(o.UploadDataset(rows, 1_000), ben)
    story.tell(o.UploadDataset(others, 20), ben)
    # Again: it is used again.
    story.tell(o.UploadDataset(rows, 1_000), ada)
    story.tell(o.DeleteDataset(rows), ben)
    story.tell(o.ForgetDatasets((others,), story.clock.now + 1.0), SYSTEM)
