"""psana of LCLS-II: one module for each way of reading, and what they share.

`sequential` reads finished runs in their order, `index` by time; what lies on
disk is in `files`, the facility's logbook in `logbook`, one field of a
detector in `detector`, psana itself in `library`.
"""
