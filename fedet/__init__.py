"""fedet: facial expressions in long videos, when each starts and ends and which emotion it is."""
