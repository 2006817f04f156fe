"""What notebook 05 teaches with: the ideas, their pictures, their sliders."""
