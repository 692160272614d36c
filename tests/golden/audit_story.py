"""What happens in the golden journals of AUDIT_STORIES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.specs import TaskSpec

if TYPE_CHECKING:
    from tests.golden.stories import Story

ADMIN, ADA = (Principal(f"user-000000000{n}") for n in (1, 3))


def certificates(story: Story) -> None:
    """The public port got another certificate, and refused files (journal-certificates)."""
    story.tell(o.NoteCertificate("ab" * 32, 1_800_000_000.0), SYSTEM)
    story.tell(o.NoteCertificate("", refused="cert.pem does not contain a certificate"), SYSTEM)


def checkpoints(story: Story) -> None:
    """A signed checkpoint was recorded (journal-checkpoints)."""
    note = f"helix-ray/{'0' * 32}\n3\n{'A' * 43}=\n\n\u2014 helix-ray/{'0' * 32} AAAA\n"
    story.tell(o.NoteCheckpoint(3, "A" * 43 + "=", note), SYSTEM)


def comparisons(story: Story) -> None:
    """The audit was found to differ from the journal, and to agree again (journal-comparisons)."""
    story.tell(o.NoteComparison(7), SYSTEM)
    story.tell(o.NoteComparison(9, 4, "from fact 4 on, a record is missing"), SYSTEM)
    story.tell(o.NoteComparison(9, 4, "from fact 4 on, a record is missing"), SYSTEM)
    story.tell(o.NoteComparison(12), SYSTEM)


def checks(story: Story) -> None:
    """The journal was found to be damaged, and intact again; old records were removed (journal-checks)."""
    story.tell(o.NoteJournalCheck(7), SYSTEM)
    story.tell(o.NoteJournalCheck(9, "fact 4 was changed"), SYSTEM)
    story.tell(o.NoteJournalCheck(9, "fact 4 was changed"), SYSTEM)
    story.tell(o.NotePruning(1_789_990_000.0), SYSTEM)
    story.tell(o.NoteJournalCheck(12), SYSTEM)


def retention(story: Story) -> None:
    """How long the audit can be searched was set, and changed (journal-retention)."""
    story.tell(o.NoteRetention(3600.0, built_anew=True), SYSTEM)
    story.tell(o.NoteRetention(3600.0), SYSTEM)
    story.tell(o.NoteRetention(86_400.0, until_exported=True), SYSTEM)


def exports(story: Story) -> None:
    """The audit was exported, once with a gap, and a user was removed before (journal-exports)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    story.tell(o.CreateUser("ada", "$argon2id$2", ("developer",)), ADMIN)
    story.tell(o.RemoveUser("ada"), ADMIN)
    story.tell(o.AcknowledgeExport("siem.example", 3, 2, "A" * 43 + "="), ADMIN)
    story.tell(o.AcknowledgeExport("vault", 2, gap_from=1, gap_to=2), ADMIN)


def marks(story: Story) -> None:
    """A task that no worker runs was taken, given back, taken again and completed; another failed
    (journal-marks)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    spec: TaskSpec = {"title": "by hand", "type": "planning"}
    story.tell(o.SubmitTasks((spec,)), ADMIN)
    story.tell(o.SubmitTasks((spec,)), ADMIN)
    first, second = story.engine.state.tasks
    story.tell(o.UpdateTask(first, status="running"), ADMIN)
    story.tell(o.UpdateTask(first, status="pending"), ADMIN)
    story.tell(o.UpdateTask(first, progress=40.0), ADMIN)
    story.tell(o.UpdateTask(first, status="completed", result={"plan": "one"}), ADMIN)
    story.tell(o.UpdateTask(second, status="failed"), ADMIN)


def reads(story: Story) -> None:
    """Results were read, and the audit; of some reads only the number is known (journal-reads)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    story.tell(o.NoteReads(ADA.id, "results", 3, ("task-1", "task-2")), SYSTEM)
    story.tell(o.NoteReads(ADMIN.id, "audit", asked="event_type=authentication"), SYSTEM)
    story.tell(o.NoteReads(SYSTEM.id, "logs", 12, gap=True), SYSTEM)


AUDIT_STORIES = {
    "journal-reads": (reads,),
    "journal-certificates": (certificates,),
    "journal-checkpoints": (checkpoints,),
    "journal-checks": (checks,),
    "journal-comparisons": (comparisons,),
    "journal-retention": (retention,),
    "journal-exports": (exports,),
    "journal-marks": (marks,),
}
