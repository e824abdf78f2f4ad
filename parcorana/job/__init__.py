"""A run before it begins: config, roles, memory."""
