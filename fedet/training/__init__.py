"""Training: the detector, the ResNet18 that reads faces, fine-tuning on reviews."""
