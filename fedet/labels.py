"""The labels of an interval: emotion and expression type, and how other people's spellings map."""

import re

from fedet.cells import header_key
from fedet.intervals import EMOTIONS

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
