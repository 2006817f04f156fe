"""Datasets as their authors distribute them, and folders of one's own."""
