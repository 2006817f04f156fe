"""One colour per emotion, everywhere (Okabe and Ito's colour-blind-safe set)."""

EMOTION_COLOURS = {
    "positive": "#E69F00",
    "negative": "#0072B2",
    "surprise": "#009E73",
    "others": "#CC79A7",
    "unknown": "#777777",
}
