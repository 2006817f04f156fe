"""From frames to face vectors: find, follow, crop, and the ResNet18."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(
    __name__,
    {
        "FaceNet": "network",
        "FaceTrack": "vectors",
        "extract": "extraction",
        "load_facenet": "network",
        "missing_spans": "tracking",
        "track_faces": "tracking",
    },
)
