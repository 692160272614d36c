"""The control plane for its callers: one way to the master for all interfaces.

    HTTP replica, node worker, historian (actors/gateway.py)      Python API (helix_ray/cluster)
                             |                                             |
                             +----------------> Plane <--------------------+       control.py
                                                  |
             batches of orders and questions, idempotency keys, resending, the read cache,
             what has left the master's memory, plan-then-order
                                                  |
                                                Links                               links.py
                                    (call the master, call an actor)

Only `ray_links.py` knows how to reach an actor (through Ray, or the master's socket on its own host); tests
replace it. Everything above is the same for all callers, so answers and errors are the same too.
"""
