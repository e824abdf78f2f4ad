"""psana of LCLS-II: one module for each way of reading, and what they share.

`sequential` reads finished runs in their order, `index` by time; `live`
follows runs that are being written, `shared` takes events from shared memory
by a `client`, whose queues are in `queues`. The first three open runs with
`reader`, whose events `picker` divides among servers and whose data `bulk`
reads. What the user wants of a run is in `wanted`: psana's object of a
`detector`, one `field` of it, its `calibration`; `geometry` says where its
elements are. What lies on disk is in `files`, the facility's logbook in
`logbook`, psana itself in `library`.
"""
