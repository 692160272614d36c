"""Followers: parts that react to facts.

in_master    in the engine's process, because they need its state; each returns orders (base.py)
following    all others: named, with a cursor that survives the process (following.py has the rules)
"""
