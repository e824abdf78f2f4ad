"""What a run will take, measured on this machine before it begins: time, size of its result, better ranks."""
