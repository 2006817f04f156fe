"""FEDN and its rivals behind one interface."""
