"""What can be wrong with a journal; none of it is mended in place.

JournalError
  +-- JournalLocked   another process has it open
  +-- JournalDamaged  acknowledged facts are missing or changed; says what to do
  +-- JournalTooNew   a later release wrote it
  +-- StaleWriter     somebody opened it after this writer, which may not append any more
  +-- SeqGap          a fact does not follow the one before it: a bug in the caller
  +-- EraseRefused    a fact that was named cannot be erased; nothing was
"""

from __future__ import annotations


class JournalError(Exception):
    """The journal cannot be opened or appended to."""


class JournalLocked(JournalError):
    """Another process has the journal open."""


class JournalDamaged(JournalError):
    """Facts that were acknowledged are missing, or are not what was written."""


class JournalTooNew(JournalError):
    """The journal has a format that this release does not know."""


class StaleWriter(JournalError):
    """A later epoch has begun: this writer was replaced."""


class SeqGap(JournalError):
    """A fact's seq is not the one that comes next."""


class EraseRefused(JournalError):
    """What was named cannot be erased."""
