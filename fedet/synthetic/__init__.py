"""Generated faces: videos with exact annotations, no licence and no real face."""
