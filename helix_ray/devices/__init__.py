"""A device that keeps what it follows, and works without a network: the reference client in Python.

    replica.py   the device's own state, and what each answer does to it; no I/O
    store.py     that state in a file, which survives kill -9 at any moment
    client.py    the requests (docs/devices.md)

examples/devices/sync.js is the same in JavaScript; tests/contract/test_devices.py drives both.
"""

from helix_ray.devices.client import DeviceClient as DeviceClient
from helix_ray.devices.replica import Replica as Replica
from helix_ray.devices.store import FileStore as FileStore
from helix_ray.devices.store import MemoryStore as MemoryStore
from helix_ray.devices.store import StoreTaken as StoreTaken
