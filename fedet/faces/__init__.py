"""From frames to face vectors: find, follow, crop, and the ResNet18."""
