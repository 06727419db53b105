"""The parts of a run, in their order."""
