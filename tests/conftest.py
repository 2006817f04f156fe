"""A busy machine is no mistake: no test drawn by hypothesis has to end in a given time."""

from hypothesis import settings

settings.register_profile("fedet", deadline=None)
settings.load_profile("fedet")
