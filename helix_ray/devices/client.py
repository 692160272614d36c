"""The requests of a device, and when its state is saved.

The state is saved before a mutation is sent, and after each answer is taken. So a device that is killed sends
what the server may have already, which the server recognises by its number, and asks for changes from a place
at which it has been.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
import orjson

from helix_ray.devices.replica import RefusedMutation, Replica
from helix_ray.devices.store import State, Store

PUSH_MUTATIONS_MAX = 100
PULL_LIMIT = 500
TIMEOUT_S = 60.0
# How often one call begins again before it gives up: each needs one more request.
RESTARTS_MAX = 5
# A request that cannot be read, or has too many bytes, as a whole.
UNREAD = (400, 413)
MADE_AGAIN = frozenset({"id", "stamp", "counter"})


class DeviceRefused(Exception):
    """The server refuses the device itself, or the request: the message says why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code


class DeviceClient:
    """One enrolled device. For one thread at a time; httpx.TransportError means: later."""

    def __init__(
        self,
        url: str,
        store: Store,
        *,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Go on with what the store has; `url` is the API's root, like http://127.0.0.1:8080/api/v1."""
        kept = store.load() or {}
        self._url = url.rstrip("/")
        self._store = store
        self._http = http or httpx.Client(timeout=TIMEOUT_S)
        self._clock = clock
        self._unsaved = False
        self._credential: str | None = kept.get("credential")
        self.id: str | None = kept.get("device_id")
        self.replica = Replica(kept.get("replica"))

    # ------------------------------------------------------------------------------------- enrolment

    def enrol(self, code: str, name: str, type_: str = "other") -> str:
        """Become a device with a one-time code, which its user got; return its id."""
        answer = self._send("POST", "/devices", body={"code": code, "name": name, "type": type_})
        self.id, self._credential = answer["device_id"], answer["credential"]
        self.save()
        return str(self.id)

    # ------------------------------------------------------------------------------------- changes

    def put(self, kind: str, key: str, **fields: Any) -> int:
        """Set fields of a document; return the mutation's number."""
        return self._add({"op": "put", "kind": kind, "key": key, "fields": fields})

    def delete(self, kind: str, key: str) -> int:
        """Delete a document."""
        return self._add({"op": "delete", "kind": kind, "key": key})

    def act(self, op: str, **fields: Any) -> int:
        """Do something with a task: `cancel`, `edit` or `submit`."""
        return self._add({"op": op, **fields})

    def _add(self, mutation: Mapping[str, Any]) -> int:
        """Queue a mutation; raises TypeError, and queues nothing, if JSON cannot represent it."""
        made = self._stamped(mutation)
        orjson.dumps(made)
        number = self.replica.add(made)
        self.save()
        return number

    def _stamped(self, mutation: Mapping[str, Any]) -> State:
        """Say when it was made and on what it was based. What was made in the same millisecond is told apart
        by a counter."""
        stamp = self.replica.stamp(self._clock())
        made: State = {**mutation, "stamp": stamp, "counter": self.replica.next_id}
        if "key" in mutation:
            made["base_version"] = self.replica.version(mutation["kind"], mutation["key"])
        return made

    # ------------------------------------------------------------------------------------- syncing

    def sync(self) -> None:
        """Send what was made here, and get everything that has changed."""
        self.push()
        self.pull()

    def push(self) -> None:
        """Send all mutations in order; those that are refused are in `replica.refused` then.

        Where the server cannot read a request it is sent in halves, and a mutation that it cannot read alone
        is refused: no answer names it, and nothing behind it would ever arrive.
        """
        again, most = RESTARTS_MAX, PUSH_MUTATIONS_MAX
        while mutations := self.replica.unsent(most):
            answer = self._request("POST", "/harmony/sync/mutations", body={"mutations": mutations})
            if answer.status_code in UNREAD and len(mutations) > 1:
                most = len(mutations) // 2
                continue
            error = None if answer.is_success else _error_of(answer)
            if error is not None and answer.status_code in UNREAD and error.get("code"):
                self.replica.leave_out(mutations[0]["id"], error["code"], error["message"])
                self.save()
                continue
            expected = None if error is None else error.get("details", {}).get("expected")
            if answer.status_code == 409 and again and expected is not None:
                again -= 1
                self.replica.expect(int(expected))
                self.save()
                continue
            body = self._checked(answer)
            most = min(2 * most, PUSH_MUTATIONS_MAX)
            self._heard(body["server_time"])
            for refusal in self.replica.take_verdicts(body["verdicts"]):
                self._correct(refusal)
            self.save()

    def _correct(self, refusal: RefusedMutation) -> None:
        """A mutation that was refused because of this device's clock is made once more, by the server's."""
        mutation = refusal["mutation"]
        if refusal["code"] == "clock" and not mutation.get("corrected"):
            plain = {name: value for name, value in mutation.items() if name not in MADE_AGAIN}
            self.replica.add(self._stamped({**plain, "corrected": True}))

    def pull(self, wait_s: float = 0.0) -> None:
        """Get everything that has changed; wait up to `wait_s` seconds for the first change."""
        restarts = self.replica.resets + RESTARTS_MAX
        while not self._pull_page(wait_s):
            wait_s = 0.0
            if self.replica.resets > restarts:
                raise DeviceRefused(410, "GONE", "the server asks this device to start again, and again")
        self.save()

    def _pull_page(self, wait_s: float) -> bool:
        params: State = {"limit": PULL_LIMIT}
        if self.replica.place is not None:
            params["cursor"] = self.replica.place
            if wait_s:
                params["wait_s"] = wait_s
        answer = self._request("GET", "/harmony/sync/changes", params=params)
        if answer.status_code == 410:
            self.replica.restart()
            return False
        page = self._checked(answer)
        self._heard(page["server_time"])
        return self.replica.take_page(page)

    def _heard(self, server_time: str) -> None:
        self.replica.offset_s = datetime.fromisoformat(server_time).timestamp() - self._clock()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._http.close()

    # ------------------------------------------------------------------------------------- within

    def save(self) -> None:
        """Save the state; every method that changes it does."""
        state = {"device_id": self.id, "credential": self._credential, "replica": self.replica.state()}
        self._unsaved = True
        self._store.save(state)
        self._unsaved = False

    def _send(self, method: str, path: str, *, body: Any = None) -> Any:
        return self._checked(self._request(method, path, body=body))

    def _request(self, method: str, path: str, *, params: Any = None, body: Any = None) -> httpx.Response:
        if self._unsaved:
            # What could not be saved is not sent: its number might be given once more, after the next start.
            self.save()
        headers = {} if self._credential is None else {"Authorization": f"Bearer {self._credential}"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps(body)
        return self._http.request(method, self._url + path, params=params, content=content, headers=headers)

    def _checked(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json()
        error = _error_of(answer)
        raise DeviceRefused(answer.status_code, error.get("code", ""), error.get("message", answer.text))


def _error_of(answer: httpx.Response) -> State:
    """Return the error of an answer; empty where something between here and the server has answered."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}
