"""Logs that survive a kill: JSON lines for what people read, binary frames for what a training recovers from."""
