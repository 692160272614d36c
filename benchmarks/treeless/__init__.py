"""A journal without tree and signatures, and a server that can switch to it: the anchor of `audit_cost`."""

from pathlib import Path

# In PYTHONPATH, it exchanges the journal of a server's master.
PYTHON_PATH = Path(__file__).parent / "inside"
