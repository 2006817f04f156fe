"""The labels of an interval: emotion and expression type, and how other people's spellings map."""

import re
from collections.abc import Iterable

from fedet.annotations.cells import header_key
from fedet.intervals import COLUMNS, EMOTIONS, EXTRA_COLUMNS

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


_ALIASES = {
    "subject": "sub subj subjectid subjectname subjectno participant participantid person "
    "proband versuchsperson vp sujet 被験者 参加者 被试",
    "video": "videoname videoid videofile clip clipname file filename vid "
    "datei dateiname vidéo fichier 動画 ビデオ 视频",
    "fps": "framerate framespersecond videofps bildrate フレームレート 帧率",
    "onset": "onsetframe startframe frameonset framestart predonset",
    "apex": "apexframe peakframe frameapex",
    "offset": "offsetframe endframe frameoffset frameend predoffset",
    "start_s": "startsec startsecs startseconds startsecond onsets onsetsec onsetseconds "
    "starts begins beginsec beginseconds starttimes begintimes anfangs beginnsek débuts",
    "apex_s": "apexsec apexseconds",
    "end_s": "endsec endsecs endseconds endsecond offsets offsetsec offsetseconds "
    "ends stops stopsec stopseconds endtimes stoptimes endes endesek fins",
    "expression_type": "type typeidx expression exptype",
    "emotion": "emotions emotionlabel label emotionclass estimatedemotion émotion 感情 表情 情绪",
    "emotion_self_report": "selfreport selfreported selfreportedemotion",
    "action_units": "au aus actionunit facs",
    "coder": "coders annotator annotators rater raters observer codername",
    "note": "notes comment comments remark remarks",
}


def _alias_table() -> dict[str, str]:
    names = [*COLUMNS, "start_s", "apex_s", "end_s", *EXTRA_COLUMNS]
    table = {key: name for name in _ALIASES for key in _ALIASES[name].split()}
    return table | {header_key(name): name for name in names}


_BY_KEY = _alias_table()


def columns_of(headers: Iterable[object]) -> dict[str, object]:
    """Canonical name -> header, for the headers that mean one; the exact name wins.

    >>> columns_of(["Video Name", "start_frame", "hair"])
    {'video': 'Video Name', 'onset': 'start_frame'}
    """
    columns: dict[str, object] = {}
    for header in headers:
        name = _BY_KEY.get(header_key(header))
        if name and (name not in columns or header == name):
            columns[name] = header
    return columns
