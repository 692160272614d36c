"""`helix node start`, `helix node stop`, `helix node-resources`: one machine as a node
of a cluster of several.

The supervisor runs `ray start --block` with the environment that our processes need, starts it again when it
dies, and on the head runs the API beside it. Whatever it started ends with it: it adopts every orphan below
it, and its two children ask the kernel to end with it.
"""
