"""`helix node start`, `helix node stop`, `helix node-resources`: one machine as a node
of a cluster of several.

The supervisor runs `ray start --block` with the environment that our processes need, restarts it when it
dies, and on the head runs the API beside it. Everything it starts ends with it: it adopts every orphaned
descendant, and its two children ask the kernel for a signal when their parent dies.
"""
