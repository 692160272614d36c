"""The client's calls about the output of tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Request
from helix_ray.core.views.log_text import shown

if TYPE_CHECKING:
    from helix_ray.wire.task_answers import LogOut


class LogCalls:
    """The client's methods for output."""

    _session: ClientSession

    def logs(
        self, task_id: str, *, follow: bool = False, attempt: int | None = None, offset: int = 0
    ) -> Iterator[str]:
        """Yield the output of a task's attempt (default: the newest) in pieces; `follow` waits for more."""
        params = {"follow": "true" if follow else None, "attempt": attempt, "offset": offset or None}
        request = Request("GET", f"/tasks/{task_id}/logs", params=params, headers={"Accept": "text/plain"})
        with self._session.stream(request) as pieces:
            yield from pieces

    def log_piece(
        self, task_id: str, *, follow: bool = False, attempt: int | None = None, offset: int = 0
    ) -> LogOut:
        """Return one piece of the output and where the next begins; `follow` waits some seconds for it."""
        piece: LogOut = self._session.call(
            "GET",
            f"/tasks/{task_id}/logs",
            follow="true" if follow else None,
            attempt=attempt,
            offset=offset or None,
        )
        return piece

    def log_tail(self, task_id: str, lines: int, *, attempt: int | None = None) -> tuple[str, LogOut]:
        """Return the last lines that an attempt has written by now, and the piece at which they end.

        A line of ours says where output between them was removed.
        """
        kept: deque[str] = deque(maxlen=lines)
        open_line = ""
        offset = 0
        while True:
            piece = self.log_piece(task_id, attempt=attempt, offset=offset)
            whole = (open_line + shown(piece, offset)).split("\n")
            attempt, offset = piece["attempt"] or None, piece["next_offset"]
            open_line = whole.pop()
            kept.extend(whole)
            if piece["eof"] or not piece["text"]:
                break
        if open_line:
            kept.append(open_line)
        text = "\n".join(kept) if open_line or not kept else "\n".join(kept) + "\n"
        return text, piece
