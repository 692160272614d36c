"""Answers how many facts the journal has, before the historian proves something about them."""

from __future__ import annotations

from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.proof_questions import JournalSize
from helix_ray.core.views.proofs import SizeView


def _size(picture: Picture, question: JournalSize, by: Principal) -> SizeView:
    return {"size": picture.state.seq}


PROOF_ANSWERS: Answerers = {JournalSize: _size}
