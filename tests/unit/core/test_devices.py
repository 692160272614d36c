"""Synced devices in the core: codes, enrolment, what ends a device, and the limits of what it may send."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import DEVICE, SYSTEM, Principal
from helix_ray.core.answers import answer
from helix_ray.core.devices import CODE_TTL_S, Document, FieldValue, Stamp
from helix_ray.core.errors import ErrorCode
from helix_ray.core.merging import FieldsChange, apply, merge
from helix_ray.core.policy import Policy
from helix_ray.core.secrets import MASK, masked
from tests.unit.core.stage import ADMIN, DEV, OTHER, VIEWER, Stage, spec

PHONE = Stamp(1_000, 0, "device-phone")
LAPTOP = Stamp(2_000, 0, "device-laptop")


def enrolled(stage: Stage, user: Principal = DEV) -> Principal:
    """Enrol a device of a user."""
    code = f"code-{stage.serial}"
    stage.give(o.IssueDeviceCode(code), user)
    data = stage.give(o.EnrolDevice(code, f"hash-{code}", "a1B2", "phone", "phone"), SYSTEM)
    return Principal(user.id, user.name, (DEVICE,), token=data["id"])


def put(stage: Stage, number: int, key: str = "a", **fields: Any) -> Any:
    """Return a mutation of a note, made now."""
    return {
        "id": number, "op": "put", "kind": "notes", "key": key, "fields": fields,
        "stamp": round(stage.now * 1000),
    }  # fmt: skip


def push(stage: Stage, device: Principal, *mutations: Any) -> list[tuple[str, str | None]]:
    """Send mutations; return the verdict and the code of each."""
    verdicts = stage.give(o.PushMutations(mutations), device)["verdicts"]
    return [(each["verdict"], each.get("code")) for each in verdicts]


class TestEnrolment:
    """A code is good once, for a while, for one user."""

    def enrol(self, code: str, **fields: Any) -> o.EnrolDevice:
        """Return the order."""
        return o.EnrolDevice(code, f"hash-{code}", "a1B2", **{"name": "phone", "type": "phone", **fields})

    def test_a_code_is_used_once_and_expires(self, stage: Stage) -> None:
        """An unknown one, a used one and an old one get the same answer."""
        for code in ("first", "late"):
            stage.give(o.IssueDeviceCode(code), DEV)
        data = stage.give(self.enrol("first"), SYSTEM)
        assert stage.state.devices[data["id"]].user_id == DEV.id
        stage.now += CODE_TTL_S
        refusals = [stage.refuse(self.enrol(code), SYSTEM) for code in ("first", "late", "none")]
        assert {refusal.code for refusal in refusals} == {ErrorCode.UNAUTHORIZED}
        assert len({refusal.message for refusal in refusals}) == 1
        stage.give(o.IssueDeviceCode("next"), DEV)
        assert list(stage.state.device_codes) == ["next"]

    def test_only_the_system_enrols_and_only_a_session_gets_codes(self, stage: Stage) -> None:
        """A token that leaked must not outlive itself as a device."""
        token = stage.give(o.CreateToken("ci", "h", "a", 100.0), DEV)["id"]
        by = Principal(DEV.id, token=token)
        assert stage.refuse(o.IssueDeviceCode("c"), by).code is ErrorCode.FORBIDDEN
        assert stage.refuse(self.enrol("c"), DEV).code is ErrorCode.FORBIDDEN
        assert stage.refuse(o.IssueDeviceCode("c"), enrolled(stage)).code is ErrorCode.FORBIDDEN

    @pytest.mark.parametrize(("field", "value"), [("name", " "), ("name", "a\n"), ("type", "fridge")])
    def test_a_device_has_a_name_and_a_known_type(self, stage: Stage, field: str, value: str) -> None:
        """The code is still good afterwards."""
        stage.give(o.IssueDeviceCode("c"), DEV)
        assert stage.refuse(self.enrol("c", **{field: value}), SYSTEM).details["field"] == field
        stage.give(self.enrol("c"), SYSTEM)

    def test_it_ends_with_its_user_who_takes_everything_along(self, stage: Stage) -> None:
        """Documents, conflicts, codes and credentials; of another user nothing."""
        mine, theirs = enrolled(stage), enrolled(stage, OTHER)
        push(stage, mine, put(stage, 1, text="x"))
        push(stage, theirs, put(stage, 1, text="y"))
        stage.give(o.IssueDeviceCode("open"), DEV)
        stage.give(o.RemoveUser("dev"), ADMIN)
        assert list(stage.state.devices) == [theirs.token]
        assert list(stage.state.documents) == [OTHER.id]
        assert not stage.state.device_codes
        assert stage.refuse(o.PushMutations((put(stage, 2),)), mine).code is ErrorCode.UNAUTHORIZED
        assert stage.sound()

    def test_an_expired_device_makes_room_for_another(self) -> None:
        """Its credential has ended before."""
        stage = Stage(Policy(devices_per_user_max=1, device_ttl_s=1000.0))
        first = enrolled(stage)
        stage.give(o.IssueDeviceCode("c"), DEV)
        assert stage.refuse(self.enrol("c"), SYSTEM).details == {"limit": 1}
        stage.now += 1000.0
        assert stage.refuse(o.PushMutations((put(stage, 1),)), first).details["reason"] == "expired"
        second = enrolled(stage)
        assert list(stage.state.devices) == [second.token]


class TestPush:
    """What a device sends is limited, in order, and in its user's name."""

    def test_numbers_follow_each_other(self, stage: Stage) -> None:
        """A gap says what is expected; nothing of such a request is carried out."""
        device = enrolled(stage)
        assert stage.refuse(o.PushMutations((put(stage, 2),)), device).details == {"expected": 1, "got": 2}
        skipping = (put(stage, 1), put(stage, 3))
        assert stage.refuse(o.PushMutations(skipping), device).code is ErrorCode.VALIDATION_ERROR
        assert stage.refuse(o.PushMutations(()), device).code is ErrorCode.VALIDATION_ERROR
        assert not stage.state.documents

    def test_documents_have_limits_with_names(self) -> None:
        """One too many is refused by itself, and an edit of one that is there is not."""
        stage = Stage(Policy(documents_per_user_max=1, document_bytes_per_user_max=100))
        device = enrolled(stage)
        verdicts = push(
            stage, device,
            put(stage, 1, text="x"), put(stage, 2, "b", text="y"), put(stage, 3, text="z" * 200),
            put(stage, 4, text="short"), put(stage, 5, text="z" * 70_000), put(stage, 6, "a/b"),
            put(stage, 7, **{f"f{i}": i for i in range(201)}),
        )  # fmt: skip
        assert verdicts == [
            ("applied", None), ("refused", "CONFLICT"), ("refused", "CONFLICT"), ("applied", None),
            ("refused", "VALIDATION_ERROR"), ("refused", "VALIDATION_ERROR"),
            ("refused", "VALIDATION_ERROR"),
        ]  # fmt: skip
        assert stage.state.devices[device.token or ""].last_mutation == 7

    def test_a_forgotten_document_is_not_counted(self) -> None:
        """What is deleted is remembered up to a number; an edit of one that is not is listed all the same."""
        stage = Stage(Policy(deleted_documents_kept_max=0))
        device, other = enrolled(stage), enrolled(stage)
        push(stage, device, put(stage, 1, text="x"))
        seen = stage.state.seq
        push(
            stage,
            device,
            {**put(stage, 2), "op": "delete", "base_version": seen},
            put(stage, 3, "b", text="y"),
        )
        assert list(stage.state.documents[DEV.id].documents) == [("notes", "b")]
        late = {**put(stage, 1, text="edited"), "base_version": seen}
        assert push(stage, other, late) == [("conflict", "deleted")]
        assert stage.sound()

    def test_one_order_has_one_mutation_of_a_task(self, stage: Stage) -> None:
        """The receipt says how far it came; a second one would be decided without the first one's facts."""
        device = enrolled(stage)
        task_id, other = stage.submit(spec(), spec())
        cancels = [
            {"id": n, "op": "cancel", "stamp": 0, "task_id": each} for n, each in ((1, task_id), (3, other))
        ]
        data = stage.give(o.PushMutations((cancels[0], put(stage, 2), cancels[1])), device)
        assert [each["id"] for each in data["verdicts"]] == [1, 2]
        assert (stage.task(task_id).status, stage.task(other).status) == ("cancelled", "pending")

    def test_it_has_the_rights_that_its_user_has_now(self, stage: Stage) -> None:
        """A viewer's device cancels nothing, and the device's clock decides nothing about a task."""
        (task_id,) = stage.submit(spec())
        cancel = {"id": 1, "op": "cancel", "stamp": round(stage.now * 1000) + 10**9, "task_id": task_id}
        assert push(stage, enrolled(stage, VIEWER), cancel) == [("refused", "FORBIDDEN")]
        assert push(stage, enrolled(stage, OTHER), cancel) == [("refused", "NOT_FOUND")]
        assert push(stage, enrolled(stage), cancel) == [("applied", None)]

    def test_documents_are_masked_in_the_audit(self, stage: Stage) -> None:
        """Administrators hear that something was written, and not what; nobody else's answer has it."""
        device = enrolled(stage)
        push(stage, device, put(stage, 1, text="canary"))
        event = stage.facts[-1].event
        assert "canary" not in repr(event)
        assert masked(event).changes == MASK
        for by in (ADMIN, OTHER):
            assert answer(stage.picture(), q.GetDocuments(), by) == {"documents": []}


def document(**fields: FieldValue) -> Document:
    """Return a document at version 5."""
    return Document(kind="notes", key="a", fields=fields, version=5)


class TestMerging:
    """Field by field, the last writer wins; whoever has seen a value replaces it whatever the clock says."""

    def test_a_slow_clock_does_not_lose_what_it_has_seen(self) -> None:
        """The stamp is raised above that of what it replaces."""
        present = document(x=FieldValue("old", LAPTOP, 5))
        merged = merge(present, FieldsChange({"x": "new"}, PHONE, seen=5))
        apply(present, merged, 6)
        assert present.fields["x"] == FieldValue("new", Stamp(2_000, 1, "device-phone"), 6)

    @pytest.mark.parametrize(("stamp", "kept"), [(Stamp(3_000, 0, "device-phone"), "new"), (PHONE, "old")])
    def test_concurrent_writes_are_decided_by_their_stamps(self, stamp: Stamp, kept: str) -> None:
        """What loses is listed, and other fields are not touched."""
        present = document(x=FieldValue("old", LAPTOP, 5), y=FieldValue(1, LAPTOP, 5))
        merged = merge(present, FieldsChange({"x": "new", "z": 2}, stamp, seen=4))
        apply(present, merged, 6)
        assert present.values() == {"x": kept, "y": 1, "z": 2}
        (listed,) = merged.listed
        assert (listed.reason, [*(listed.fields or {}).values()]) == (
            "overwritten", ["old" if kept == "new" else "new"],
        )  # fmt: skip

    def test_equal_values_are_no_conflict(self) -> None:
        """But 1 and true are not equal."""
        present = document(x=FieldValue(1, LAPTOP, 5))
        assert not merge(present, FieldsChange({"x": 1}, PHONE, seen=0)).listed
        assert merge(present, FieldsChange({"x": True}, PHONE, seen=0)).listed
