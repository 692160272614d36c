"""Followers: parts that react to facts.

in_master    run in the engine's process, because they need its state; each returns orders (base.py)
following    all others: they have a name and a durable cursor (following.py has the rules)
"""
