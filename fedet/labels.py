"""The labels of an interval: emotion and expression type, and how other people's spellings map."""

import re

import numpy as np
import pandas as pd

from fedet.cells import header_key

EMOTIONS = ("positive", "negative", "surprise", "others")
MICRO_MAX_S = 0.5  # a micro-expression lasts at most this long, seconds

_FINER = {
    "positive": "happiness happy joy smile smiling amusement amused pos",
    "negative": "anger angry disgust disgusted disgusting fear fearful scared sad sadness contempt "
    "repression pain neg",
    "surprise": "surprised surprising suprise",
    "others": "other neutral confused confusion helpless tense nervous sympathy",
}
_FINER_ELSEWHERE = {  # German; Chinese; Japanese
    "positive": "positiv freude freudig glücklich lächeln "
    "积极 正性 高兴 开心 快乐 喜悦 微笑 ポジティブ 喜び 幸福 笑顔",
    "negative": "negativ ärger wut zorn ekel angst furcht trauer traurig traurigkeit verachtung schmerz "
    "消极 负性 愤怒 生气 厌恶 恐惧 害怕 悲伤 伤心 轻蔑 压抑 ネガティブ 怒り 嫌悪 恐怖 恐れ 悲しみ 軽蔑",
    "surprise": "überraschung überrascht 惊讶 吃惊 驚き",
    "others": "andere anderes sonstige sonstiges verwirrt 其他 其它 中性 困惑 その他 中立",
}
FINE_TO_COARSE = {coarse: coarse for coarse in EMOTIONS} | {
    fine: coarse
    for words in (_FINER, _FINER_ELSEWHERE)
    for coarse in EMOTIONS
    for fine in words[coarse].split()
}
AS_WRITTEN = "as written"  # as `emotion_map`: every label stays, known or not


def type_label(text: str) -> str | None:
    """ "macro" or "micro" for `Macro`, `micro-expression`, `Micro - 1/2`, `MaE`, `ME`, 1, 2, `Makro`,
    `宏表情`, `Mikro`, `微表情`."""
    key = header_key(re.sub(r"\.0+$", "", text))  # a 2 that was saved as 2.0
    if key.startswith(("macro", "makro", "宏表情")) or key in ("1", "mae"):
        return "macro"
    return "micro" if key.startswith(("micro", "mikro", "微表情")) or key in ("2", "me", "mie") else None


def expression_type_of(onset, offset, fps):
    """ "micro" if `offset - onset + 1` frames last at most MICRO_MAX_S seconds, else "macro".

    Args:
        onset, offset: 0-based inclusive frames, scalars or arrays of one length.
        fps: frames per second, a scalar or an array of that length.

    Returns:
        A str for scalars, else a `string` Series (with the index of `onset` if it has one);
        missing where anything is missing.

    >>> expression_type_of(10, 24, 30.0)
    'micro'
    """
    single = all(np.ndim(x) == 0 for x in (onset, offset, fps))
    size = 1 if single else next(np.size(x) for x in (onset, offset, fps) if np.ndim(x))
    columns = [np.broadcast_to(np.asarray(x, object), size) for x in (onset, offset, fps)]
    start, end, rate = (pd.array(list(c), "Float64") for c in columns)
    index = onset.index if isinstance(onset, pd.Series) else range(size)
    duration_s = pd.Series((end - start + 1) / rate, index=index)
    kinds = pd.Series("macro", index=index, dtype="string")
    # 1e-9: 15 frames at 30 fps are exactly the border, whatever the rounding of a division
    kinds[(duration_s <= MICRO_MAX_S + 1e-9).fillna(False)] = "micro"
    kinds[duration_s.isna()] = pd.NA
    return kinds.iloc[0] if single else kinds
