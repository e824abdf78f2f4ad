"""Who does what, when: server, worker, viewer, and the transport between them."""
