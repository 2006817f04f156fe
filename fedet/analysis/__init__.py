"""Studies around the detector: data, robustness, fairness, explanations, pilots."""
