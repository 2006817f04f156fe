"""The family `splats`: clouds of points; for tests alone, no network learns from it."""
