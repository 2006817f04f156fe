"""Videos in and out: frames, sound, signals beside the picture."""
