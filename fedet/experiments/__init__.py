"""Cross-validation, comparisons of methods, and the pages of their results."""
