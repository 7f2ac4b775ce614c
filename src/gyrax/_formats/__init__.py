"""Files to plain fields and back: numbers, labels, and the names to blame. Nothing here knows a connectome."""
