"""What devices follow, as lists of changes: pure logic over one SQLite file (docs/devices.md).

facts --> desk.py: which things changed, and which scopes have them
            |
            +--> change_log.py   one list for each scope: the newest version of each thing, and tombstones
pull <------+    cursors.py      a position in that list that only we can make
                 checksum.py     what a device compares with its own rows
"""
