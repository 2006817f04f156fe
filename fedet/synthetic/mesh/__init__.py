"""The family `mesh`: polygons, as games draw people."""
