"""Names of videos: of the files that other programs link, and the common names of two tables.

A video is known by subject AND name, since two subjects may each have a video `a`. A subject that
is missing, or equals the video's name (the default of the table reader), is looked up.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pandas as pd

from fedet.errors import InputError

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv",
    ".ts", ".mts", ".m2ts", ".3gp", ".flv", ".ogv",
)  # fmt: skip
_OTHER_MEDIA = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".wma",
                ".mxf", ".vob", ".asf", ".f4v", ".dv", ".qt", ".mpe", ".divx", ".m2v", ".m1v")  # fmt: skip
_SOUND = _OTHER_MEDIA[: _OTHER_MEDIA.index(".mxf")]
# Languages that players know by the name of a subtitle file, like talk.en.vtt or talk.zh-Hans.vtt.
_LANGUAGES = (
    " "
    "af ar az be bg bn bo br bs ca co cs cy da de dv dz el en eo es et eu fa fi fo fr fy ga gd gl gu ha "
    "he hi hr ht hu hy ia id ig is it iw ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms "
    "mt my nb ne nl nn no oc pa pl ps pt qu rm ro ru sa sd se si sk sl sm sn sq sr st su sv sw ta te tg "
    "th tk tl tr tt ug uk ur uz vi wo xh yi yo zh zu eng deu ger fra fre spa ita jpn zho chi kor por rus "
    "nld dut english deutsch german french spanish "
)

Key = tuple[str, str]  # subject ("" while unknown), video


def composed(name: str) -> str:
    """A name with each ü as one letter: a Mac writes u and two dots into the names of files.

    >>> composed("Mu\\u0308ller") == "M\\u00fcller"
    True
    """
    return unicodedata.normalize("NFC", name)


def stem(video: str) -> str:
    """The composed name without folders and without the suffix of a video file.

    >>> stem("clips/a.mp4")
    'a'
    """
    return _remove_suffix(composed(video).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1], VIDEO_SUFFIXES)


def _remove_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    lower = name.lower()
    suffix = next((s for s in suffixes if lower.endswith(s)), "")
    return name[: len(name) - len(suffix)] or name


def subtitle_stem(name: str) -> str:
    """The video to which a file of subtitles belongs, by the name of that file.

    >>> subtitle_stem("talk.en.vtt"), subtitle_stem("talk.mp4.pt-BR.srt"), subtitle_stem("s01.02.vtt")
    ('talk', 'talk', 's01.02')
    """
    base, _, language = stem(name).rpartition(".")[0].rpartition(".")
    full = name.rpartition(".")[0] or name
    is_language = f" {re.split('[-_]', language.lower())[0]} " in _LANGUAGES
    return stem(base if base and is_language else full)


def link_path(address: str) -> str:
    """The file path in a link of another program, escaped or not; with forward slashes.

    A link counts as escaped if it holds no character that needs escaping.

    >>> link_path("file:///C:/data/interview #1.mp4"), link_path("file:///d/my%20clip.mp4")
    ('C:/data/interview #1.mp4', '/d/my clip.mp4')
    """
    address = address.strip().replace("\\", "/")
    web = re.match(r"(https?|rtsp|ftp)://", address, re.I)
    path = (
        urlsplit(address).path
        if web
        else re.sub(r"^file:(//localhost(?=/)|//(?=/))?", "", address, flags=re.I)
    )
    escaped = re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", path)
    if "%" in path and escaped:
        with suppress(UnicodeDecodeError):  # then the per cent signs belong to the name
            path = unquote(path, errors="strict")
    return composed(re.sub(r"^/+(?=[A-Za-z]:/)", "", path))


def media_stem(path: str) -> str:
    """The name of a linked video or sound file without folders and suffix."""
    return _remove_suffix(path.rstrip("/").rsplit("/", 1)[-1], VIDEO_SUFFIXES + _OTHER_MEDIA)


def is_sound(path: str, mime: str = "") -> bool:
    """Whether a linked file holds no pictures, by its name or its MIME type."""
    return path.lower().endswith(_SOUND) or (
        mime.lower().startswith("audio/") and not path.lower().endswith(VIDEO_SUFFIXES)
    )


def distinct_names(paths: Iterable[str]) -> dict[str, str]:
    """A unique name for each of several video files: that of the file, with as many folders in front as
    needed, joined by `_`.

    >>> distinct_names(["d/s1/talk.mp4", "d/s2/talk.mp4", "d/b.mp4"])
    {'d/s1/talk.mp4': 's1_talk', 'd/s2/talk.mp4': 's2_talk', 'd/b.mp4': 'b'}
    """
    paths = list(dict.fromkeys(paths))
    folders = {path: [p for p in path.rstrip("/").split("/")[:-1] if p not in ("", ".")] for path in paths}
    names = {path: media_stem(path) for path in paths}
    for depth in range(1, 1 + max((len(f) for f in folders.values()), default=0)):
        counts = Counter(names.values())
        for path, name in names.items():
            if counts[name] > 1:
                names[path] = "_".join([*folders[path][-depth:], media_stem(path)])
    counts = Counter(names.values())
    used = set(names.values())
    for path, name in names.items():
        if counts[name] > 1 and (joined_path := re.sub(r"[/\\:]+", "_", path).strip("_.")) not in used:
            names[path] = joined_path
    return names


def names_of(table: pd.DataFrame, shared: Collection[str] = ()) -> pd.Series:
    """A unique name for the video of each row: the video's own, or `subject_video` where several people
    share that. A subject that is missing or equals the video's name counts as no person.

    Args:
        table: Canonical table.
        shared: Names of videos that show several people at once: they keep their own.

    Raises:
        InputError: Two videos would get the same name.

    >>> table = pd.DataFrame({"subject": ["s1", "s2", "s1"], "video": ["a", "a", "b"]})
    >>> list(names_of(table))
    ['s1_a', 's2_a', 'b']
    """
    keys = list(zip(table["subject"].fillna(""), table["video"], strict=True))
    people: dict[str, set[str]] = defaultdict(set)
    for subject, video in keys:
        people[video] |= set() if _has_no_subject((subject, video)) else {subject}
    names: dict[Key, str] = {}
    owners: dict[str, Key] = {}
    for subject, video in dict.fromkeys(keys):
        apart = len(people[video]) > 1 and video not in shared and not _has_no_subject((subject, video))
        name = names[subject, video] = f"{subject}_{video}" if apart else video
        key = (subject if apart else "", video)
        if owners.setdefault(name, key) != key:
            raise InputError(f"two videos would both be called {name!r}: rename one of them")
    return pd.Series([names[key] for key in keys], index=table.index, dtype=object)


@dataclass
class Names:
    """The common key of each (subject, video) of a table, several for a listed name without subject;
    `known` are all keys, `notes` the decisions."""

    predicted: dict[Key, Key]
    true: dict[Key, Key]
    listed: dict[Key, list[Key]]
    known: set[Key]
    notes: list[str]


def resolve(predicted: Iterable[Key], true: Iterable[Key], listed: Iterable[Key] | None = None) -> Names:
    """Maps the videos of predictions and truth to common keys.

    Args:
        predicted, true: the (subject, video) of each table, repeated or not.
        listed: all videos of the evaluation, or None: those of the two tables.

    Raises:
        InputError: a name is ambiguous, is not listed, or stands for a video twice; or the two
            tables have no video in common and none are listed.
    """
    predicted, true = sorted(set(predicted)), sorted(set(true))
    notes: list[str] = []
    listed_map: dict[Key, list[Key]] = {}
    if listed is None:
        true_map = {key: _own_subject(key, predicted) for key in true}
        known = set(true_map.values())
    else:
        listed_map = {key: _all_subjects(key, true, predicted) for key in sorted(set(listed))}
        known = {key for keys in listed_map.values() for key in keys}
        true_map = {key: _known_key(key, known, "truth") or key for key in true}
        _refuse_unlisted("truth", true_map, known)
    _refuse_double_names(known)
    hits = {key: _known_key(key, known, "predictions") for key in predicted}
    predicted_map = {key: hit or (key[0] or key[1], key[1]) for key, hit in hits.items()}
    new = set(predicted_map.values()) - known
    if listed is not None:
        _refuse_unlisted("predictions", predicted_map, known)
    elif new and known:
        notes.append(_unmatched_note(new, known, set(predicted_map.values())))
    for table, mapping in (("truth", true_map), ("predictions", predicted_map)):
        renamed = [(key[1], to[1]) for key, to in mapping.items() if key[1] != to[1]]
        if renamed:
            written, read = renamed[0]
            notes.append(f"{table}, video names repaired: {len(renamed)}, like {written!r} to {read!r}")
    return Names(predicted_map, true_map, listed_map, known | new, notes)


def _unmatched_note(new: set[Key], known: set[Key], predicted: set[Key]) -> str:
    if new == predicted:
        raise InputError(
            f"predictions and truth have no video in common: predictions have {_show(new)}, truth "
            f"has {_show(known)}; name the videos alike, or list all of them (videos)"
        )
    return (
        f"videos with predictions but not in the truth: {len(new)} ({_show(new)}), counted as "
        "videos without events"
    )


def _all_subjects(key: Key, *tables: list[Key]) -> list[Key]:
    """A listed video; without a subject, that of every subject who has a video of this name."""
    subject, video = key
    if _has_no_subject(key):
        for table in tables:
            matches = [other for other in table if other[1] == video and not _has_no_subject(other)]
            if matches:
                return matches
    return [(subject or video, video)]


def _show(keys: Iterable[Key]) -> str:
    keys = sorted(keys)
    text = ", ".join(repr(f"{s}/{v}" if s and s != v else v) for s, v in keys[:3])
    return text + (", ..." if len(keys) > 3 else "")


def _has_no_subject(key: Key) -> bool:
    return key[0] in ("", key[1])


def _own_subject(key: Key, others: list[Key]) -> Key:
    """A truth key with its subject: its own, or that of the predictions for this video."""
    subject, video = key
    if not _has_no_subject(key):
        return key
    name = composed(video)
    candidates = [other for other in others if composed(other[1]) == name and not _has_no_subject(other)]
    if len(candidates) > 1:
        raise InputError(
            f"truth names no subject for video {video!r}, and the predictions have it for "
            f"{_show(candidates)}: add the column subject to the truth"
        )
    return candidates[0] if candidates else (subject or video, video)


def _known_key(key: Key, known: set[Key], table: str) -> Key | None:
    """The known video of a key: by name, or else by name without folder and suffix; among all subjects
    if it has none."""
    if key in known:
        return key
    subject, video = key
    same_subject = [k for k in known if _has_no_subject(key) or k[0] == subject]
    for candidates in (
        [k for k in same_subject if k[1] == video],
        [k for k in same_subject if stem(k[1]) == stem(video)],
    ):
        if len(candidates) > 1:
            raise InputError(
                f"{table}: video {video!r} can be any of {_show(candidates)}: add the column "
                "subject, or give the video's full name"
            )
        if candidates:
            return candidates[0]
    return None


def _refuse_unlisted(table: str, mapping: dict[Key, Key], known: set[Key]) -> None:
    missing = set(mapping.values()) - known
    if missing:
        raise InputError(
            f"{table}: {_show(missing)} not in the list of videos ({_show(known)}): "
            "correct the name or list the video"
        )


def _refuse_double_names(known: set[Key]) -> None:
    """`a` and `a.mp4` of one subject are one video under two names; `a.mp4`, `a.avi` are two."""
    by_stem = defaultdict(list)
    for subject, video in sorted(known):
        by_stem[subject, stem(video)].append((subject, video))
    for (_, name), keys in by_stem.items():
        if len(keys) > 1 and any(video == name for _, video in keys):
            raise InputError(f"one video under two names, {_show(keys)}: use one of them")
