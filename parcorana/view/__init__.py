"""Pictures, and the line of progress."""
