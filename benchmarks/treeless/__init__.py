"""A journal without tree and signatures, and how a server gets it: the anchor of `audit_cost`."""

from pathlib import Path

# In PYTHONPATH, it exchanges the journal of a server's master.
PYTHON_PATH = Path(__file__).parent / "inside"
