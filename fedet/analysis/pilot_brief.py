"""The brief of a pilot: sections as Markdown and two figures, in English or Japanese."""

import math
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from fedet.analysis.pilot import CLEAR, Survey, TimeModel, sureness
from fedet.errors import InputError
from fedet.plots.style import EDGE, INK, axes, emotion_colours

# Fonts with Japanese letters that systems bring along; the first that is there is used.
JAPANESE = ("Noto Sans CJK JP", "Noto Sans JP", "Hiragino Sans", "Yu Gothic", "Meiryo", "MS Gothic",
            "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic")  # fmt: skip

SHORT_H = 2.0  # shorter times are told in minutes
LETTER = 0.02  # share of the axis that a bar must have to carry a letter


class Brief:
    """Everything that the brief says, section by section.

    Args:
        survey: what was found. model: the assumptions on time. language: "en" or "ja".
        project_h: hours of video of the project that the pilot stands for.

    Raises:
        InputError: another language, or a project without hours.
    """

    def __init__(self, survey: Survey, model: TimeModel, language: str = "en", project_h: float = 100.0):
        if not project_h > 0:
            raise InputError(f"project_h={project_h!r}: hours of video, above 0")
        self.survey, self.model, self.words = survey, model, texts(language)
        self.project_h, self.sure = project_h, sureness(survey)
        self.hours = model.hours(survey.seconds, survey.lengths_s)

    def _say(self, name: str, **values) -> str:
        return self.words[name].format(**values)

    def title(self) -> str:
        """The heading, and what the faces are."""
        videos = self.survey.videos
        text = "## " + self._say("title", n_videos=len(videos), minutes=self.survey.seconds / 60)
        return text + (f"\n\n{self.words['synthetic']}" if self.survey.synthetic else "")

    def found(self) -> str:
        """What was found, and what could not be read."""
        s = self.survey
        videos = s.videos
        values = {
            "n": len(s.detections), "macro": int(videos["macro"].sum()), "micro": int(videos["micro"].sum()),
            "rate": 60 * len(s.detections) / s.seconds, "clear": s.clear, "margin": CLEAR,
            "threshold": s.threshold,
            "missing": float(videos["missing_s"].sum()), "total": s.seconds,
        }  # fmt: skip
        text = f"### {self.words['found']}\n\n"
        text += self._say("found_text" if values["n"] else "found_none", **values)
        if len(s.failed):
            names = "; ".join(f"{_plain(r.video)} ({_plain(r.reason)})" for r in s.failed.itertuples())
            text += "\n\n" + self._say("failed", names=names)
        return text

    def videos(self, most: int = 12) -> str:
        """A table of the videos, those with the most detections first."""
        table = self.survey.videos
        order = (table["macro"] + table["micro"]).sort_values(ascending=False, kind="stable").index[:most]
        columns = ["video", "seconds", "macro", "micro", "missing_s", "took_s"]
        rows = [
            [f"{i}. {_plain(r[0])}", f"{r[1]:.1f}", str(r[2]), str(r[3]), f"{r[4]:.1f}", f"{r[5]:.1f}"]
            for i, r in enumerate(table.loc[order, columns].itertuples(index=False), 1)
        ]
        more = len(table) - len(rows)
        rows += [[f"+ {more}", *[""] * 5]] if more else []
        return _table(self.words["video_columns"], rows)

    def figure_note(self) -> str:
        """What the picture of the detections shows."""
        return self.words["figure"]

    def way_names(self) -> dict[str, str]:
        """The ways of working for a figure; in English where no font can write the language."""
        return self._drawn("ways")

    def figure_words(self) -> dict[str, str]:
        """Axes and emotions for the figures; in English where no font can write the language."""
        return self._drawn("drawn")

    def _drawn(self, name: str) -> dict[str, str]:
        own = self.words[name]
        return own if all(map(writable, own.values())) else texts("en")[name]

    def how_sure(self) -> str:
        """Precision and recall with intervals, or what it takes to know them."""
        sure = self.sure
        text = f"### {self.words['sure']}\n\n"
        if sure.events is None:
            return text + self._say("sure_unknown", to_check=sure.to_check)
        shares = {"precision": self._share(sure.precision), "recall": self._share(sure.recall)}
        counts = {"n": len(self.survey.detections), "right": sure.right, "events": sure.events}
        return text + self._say("sure_known", **counts, **shares)

    def _share(self, share: tuple[float, float, float] | None) -> str:
        if share is None:
            return self.words["unknown"]
        return self.words["percent"].format(*(100 * value for value in share))

    def _time(self, hours: float) -> str:
        """A time in the unit that can be read: minutes below two hours."""
        value, unit = (60 * hours, "minutes") if hours < SHORT_H else (hours, "hours")
        return self.words[unit].format(_number(value))

    def cost(self) -> str:
        """Times and costs of the three ways, here and for the project, and what is assumed."""
        hours, scale = self.hours["hours"], 3600 * self.project_h / self.survey.seconds
        values = {
            "hand": self._time(hours["by_hand"]), "found": self._time(hours["detections"]),
            "scan": self._time(hours["with_scan"]),
            "project_hand": scale * hours["by_hand"], "project_found": scale * hours["detections"],
            "project_scan": scale * hours["with_scan"], "project_h": self.project_h,
            "machine_min": float(self.survey.videos["took_s"].sum()) / 60,
        }  # fmt: skip
        head = [t.format(project_h=self.project_h, currency=self.model.currency)
                for t in self.words["columns"].values()]  # fmt: skip
        rows = [
            [
                self.words["ways"][way],
                self._time(row["hours"]),
                f"{row['cost']:,.0f}",
                f"{scale * row['hours']:,.0f}",
            ]
            for way, row in self.hours.iterrows()
        ]
        text = f"### {self.words['cost']}\n\n{self._say('cost_text', **values)}\n\n{_table(head, rows)}\n\n"
        return text + self._say("assumed", **self.model.assumptions())

    def needs(self) -> str:
        """Data and consent."""
        return f"### {self.words['needs']}\n\n" + _items(self.words["needs_list"])

    def limits(self) -> str:
        """What not to read into it, and the next step."""
        text = f"### {self.words['limits']}\n\n" + _items(self.words["limits_list"])
        return f"{text}\n\n{self._say('next', to_check=self.sure.to_check)}"

    def whole(self) -> str:
        """All sections as one text."""
        parts = (self.title, self.found, self.videos, self.how_sure, self.cost, self.needs, self.limits)
        return "\n\n".join(part() for part in parts)


def _plain(text: str) -> str:
    """A name from the data inside Markdown: no markup of its own."""
    kept = escape(str(text))
    for sign in "|*_`[]$":
        kept = kept.replace(sign, f"&#{ord(sign)};")
    return kept


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _items(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


# ---------------------------------------------------------------- figures


def families() -> list[str]:
    """matplotlib's own font and, where one is installed, a Japanese one for the letters that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["sans-serif", *[name for name in JAPANESE if name in installed][:1]]


def writable(text: str) -> bool:
    """Whether the fonts at hand have all letters of a text: else empty boxes would be drawn."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    letters: set[int] = set()
    for name in families():
        letters |= set(get_font(findfont(FontProperties(family=[name]))).get_charmap())
    return all(ord(letter) in letters for letter in text)


def _write(ax: Axes, *others) -> None:
    """Gives the texts of a figure, and others in it, the fonts that have their letters."""
    legend = ax.get_legend()
    for text in [ax.xaxis.label, *ax.get_yticklabels(), *(legend.get_texts() if legend else []), *others]:
        if not text.get_text().isascii():
            text.set_fontfamily(families())


def plot_found(
    survey: Survey, most: int = 8, ax: Axes | None = None, words: dict[str, str] | None = None
) -> Axes:
    """Detections of the busiest videos along their time, by emotion; `words` of `Brief.figure_words`.

    What is wide enough carries the first letter of its emotion: colour is not all that tells.
    """
    words = words or texts("en")["drawn"]
    videos = survey.videos
    order = (videos["macro"] + videos["micro"]).sort_values(ascending=False, kind="stable").index[:most]
    shown = videos.loc[order]
    ax = axes(ax, (8.0, 0.9 + 0.32 * len(shown)))
    labels = survey.detections["emotion"].fillna("unknown").astype(str)
    colours = emotion_colours(labels)
    least_s, letters = LETTER * max(shown["seconds"], default=0.0), []
    initials = {name: words.get(name, name)[:1].upper() for name in colours}
    initials = {name: initial if writable(initial) else "" for name, initial in initials.items()}
    for row, video in enumerate(shown.itertuples()):
        ax.barh(row, video.seconds, 0.5, color="#EEEEEE")
        own = survey.detections[survey.detections["video"] == video.video].sort_values("onset")
        # From its start on the next one lies above.
        covers = (own["onset"] / own["fps"]).astype("Float64").shift(-1).fillna(math.inf)
        for event, cover in zip(own.itertuples(), covers, strict=True):
            left, right = event.onset / event.fps, (event.offset + 1) / event.fps
            name = "unknown" if pd.isna(event.emotion) else str(event.emotion)
            ax.barh(row, right - left, 0.62, left, color=colours[name], edgecolor=EDGE, linewidth=0.4)
            seen = min(right, cover)
            if seen - left > least_s:
                style = {"color": "white" if name == "negative" else "black", "fontsize": 7}
                place = ((left + seen) / 2, row, initials[name])
                letters.append(ax.text(*place, ha="center", va="center", **style))
    names = [f"{i}. {str(v)[:28]}" for i, v in enumerate(shown["video"], 1)]  # numbered as in the table
    names = [name if writable(name) else f"video {i}" for i, name in enumerate(names, 1)]
    ax.set_yticks(range(len(shown)), names)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(words["seconds"])
    title = ax.set_title(words["generated"] if survey.synthetic else "", loc="left", fontsize=8)
    handles = [Patch(color=colour, label=words.get(name, name)) for name, colour in colours.items()]
    if handles:
        place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
        ax.legend(handles=handles, frameon=False, ncols=4, fontsize=8, **place)
    _write(ax, title, *letters)
    return ax


def plot_hours(
    hours: pd.DataFrame,
    names: dict[str, str] | None = None,
    ax: Axes | None = None,
    words: dict[str, str] | None = None,
) -> Axes:
    """A person's time by way of working, of `TimeModel.hours`; names and words of a `Brief`."""
    ax = axes(ax, (8.0, 1.9))
    names, words = names or texts("en")["ways"], words or texts("en")["drawn"]
    values = hours["hours"].to_numpy(float)
    short = values.max() < SHORT_H
    values, unit = (60 * values, "min") if short else (values, "h")
    ax.barh(np.arange(len(values)), values, 0.6, color=["#777777", "#0072B2", "#56B4E9"])
    for row, value in enumerate(values):
        ax.text(value, row, f" {_number(value)} {unit}", va="center", color=INK, fontsize=9)
    ax.set_yticks(range(len(values)), [names[way] for way in hours.index])
    ax.invert_yaxis()
    ax.set_xlim(0, max(values.max() * 1.15, 1e-6))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(words["minutes" if short else "hours"])
    _write(ax)
    return ax


def calculator(survey: Survey, model: TimeModel):
    """Sliders over the assumptions, and the hours that follow, as a widget with its picture."""
    from dataclasses import replace

    from fedet.plots.live_figure import Live, drawing, slider

    def draw(ax, **assumed: float) -> None:
        plot_hours(replace(model, **assumed).hours(survey.seconds, survey.lengths_s), ax=ax)

    controls = {
        "manual_speed": slider("by hand, min/min", model.manual_speed, 1, 120),
        "decide_s": slider("to decide, s", model.decide_s, 0, 120),
        "scan_speed": slider("skimming speed", model.scan_speed, 1, 8, 0.5),
    }
    return Live(drawing((7.5, 1.9), draw), controls)


FOLDER = Path(__file__).parent
LANGUAGES = ("en", "ja")


@lru_cache
def texts(language: str) -> dict:
    """The words of a language. Raises InputError if it is not there."""
    if language not in LANGUAGES:
        raise InputError(f"language={language!r}: choose {' or '.join(LANGUAGES)}")
    return yaml.safe_load((FOLDER / f"pilot_{language}.yaml").read_text("utf-8"))
