"""Figures: one style, one colour per emotion, seconds on the axes."""
