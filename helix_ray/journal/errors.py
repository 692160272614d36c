"""The errors of a journal; none is repaired in place.

JournalError
  +-- JournalLocked   another process has it open
  +-- JournalDamaged  acknowledged facts are missing or changed; says what to do
  +-- JournalTooNew   a later release wrote it
  +-- StaleWriter     another process opened it after this writer, which may not append any more
  +-- SeqGap          a fact does not follow the one before it: a bug in the caller
  +-- EraseRefused    a named fact cannot be erased; nothing was erased
"""

from __future__ import annotations


class JournalError(Exception):
    """The journal cannot be opened or appended to."""


class JournalLocked(JournalError):
    """Another process has the journal open."""


class JournalDamaged(JournalError):
    """Acknowledged facts are missing, or differ from what was written."""


class JournalTooNew(JournalError):
    """The journal has a format that this release does not know."""


class StaleWriter(JournalError):
    """A later epoch has begun: this writer was replaced."""


class SeqGap(JournalError):
    """A fact's seq does not follow the previous one."""


class EraseRefused(JournalError):
    """A named fact cannot be erased."""
