"""Predictions against annotations: scores, intervals over subjects, agreement."""
