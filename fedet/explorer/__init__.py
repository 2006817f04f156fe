"""The interval explorer: look at a video's intervals on a time axis, correct them, export them."""
