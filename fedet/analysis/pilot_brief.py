"""The brief of a pilot: sections as Markdown and two figures, in English or Japanese; for notebook 09."""

import math
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from fedet.analysis.pilot import CLEAR, Survey, TimeModel, reliability
from fedet.errors import InputError
from fedet.plots.style import EDGE, INK, axes, emotion_colours

# Fonts with Japanese letters of common systems; the first installed one is used.
JAPANESE = ("Noto Sans CJK JP", "Noto Sans JP", "Hiragino Sans", "Yu Gothic", "Meiryo", "MS Gothic",
            "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic")  # fmt: skip

FOLDER = Path(__file__).parent  # of the texts
LANGUAGES = ("en", "ja")
SHORT_H = 2.0  # shorter times are given in minutes
LETTER = 0.02  # least share of the axis of a bar with a letter


class Brief:
    """The text of the brief, section by section.

    Args:
        survey: the detections.
        model: the assumptions on time.
        language: "en" or "ja".
        project_h: hours of video of the project that the pilot is for.

    Raises:
        InputError: another language, or a project without hours.
    """

    def __init__(self, survey: Survey, model: TimeModel, language: str = "en", project_h: float = 100.0):
        if not project_h > 0:
            raise InputError(f"project_h={project_h!r}: hours of video, above 0")
        self.survey, self.model, self.words = survey, model, texts(language)
        self.project_h, self.reliability = project_h, reliability(survey)
        self.hours = model.hours(survey.seconds, survey.lengths_s)

    def _say(self, name: str, **values) -> str:
        return self.words[name].format(**values)

    def title(self) -> str:
        """The heading, and whether the faces are generated."""
        videos = self.survey.videos
        text = "## " + self._say("title", n_videos=len(videos), minutes=self.survey.seconds / 60)
        return text + (f"\n\n{self.words['synthetic']}" if self.survey.synthetic else "")

    def detections(self) -> str:
        """Number and kinds of the detections, and the videos that could not be read."""
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
        """A table of the videos, most detections first."""
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
        """Caption of `plot_detections`."""
        return self.words["figure"]

    def workflow_names(self) -> dict[str, str]:
        """Names of the workflows for a figure; in English if no font has the letters of the language."""
        return self._for_figures("ways")

    def figure_words(self) -> dict[str, str]:
        """Axes and emotions for the figures; in English if no font has the letters of the language."""
        return self._for_figures("drawn")

    def _for_figures(self, name: str) -> dict[str, str]:
        words = self.words[name]
        return words if all(map(has_glyphs, words.values())) else texts("en")[name]

    def precision_and_recall(self) -> str:
        """Precision and recall with intervals, or how many detections to judge to know them."""
        known = self.reliability
        text = f"### {self.words['sure']}\n\n"
        if known.events is None:
            return text + self._say("sure_unknown", to_check=known.to_check)
        shares = {"precision": self._share(known.precision), "recall": self._share(known.recall)}
        counts = {"n": len(self.survey.detections), "right": known.correct, "events": known.events}
        return text + self._say("sure_known", **counts, **shares)

    def _share(self, share: tuple[float, float, float] | None) -> str:
        if share is None:
            return self.words["unknown"]
        return self.words["percent"].format(*(100 * value for value in share))

    def _time(self, hours: float) -> str:
        """A time in minutes below two hours, else in hours."""
        value, unit = (60 * hours, "minutes") if hours < SHORT_H else (hours, "hours")
        return self.words[unit].format(_number(value))

    def cost(self) -> str:
        """Times and costs of the three workflows, here and for the project, and the assumptions."""
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
                self.words["ways"][workflow],
                self._time(row["hours"]),
                f"{row['cost']:,.0f}",
                f"{scale * row['hours']:,.0f}",
            ]
            for workflow, row in self.hours.iterrows()
        ]
        text = f"### {self.words['cost']}\n\n{self._say('cost_text', **values)}\n\n{_table(head, rows)}\n\n"
        return text + self._say("assumed", **self.model.assumptions())

    def needs(self) -> str:
        """Data and consent."""
        return f"### {self.words['needs']}\n\n" + _items(self.words["needs_list"])

    def limits(self) -> str:
        """Limits of the detector, and the next step."""
        text = f"### {self.words['limits']}\n\n" + _items(self.words["limits_list"])
        return f"{text}\n\n{self._say('next', to_check=self.reliability.to_check)}"

    def whole(self) -> str:
        """All sections as one text."""
        sections = (self.title, self.detections, self.videos, self.precision_and_recall, self.cost,
                    self.needs, self.limits)  # fmt: skip
        return "\n\n".join(section() for section in sections)


def _plain(text: str) -> str:
    """A name from the data for Markdown, with its markup escaped."""
    escaped = escape(str(text))
    for sign in "|*_`[]$":
        escaped = escaped.replace(sign, f"&#{ord(sign)};")
    return escaped


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _items(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


# ---------------------------------------------------------------- figures


def families() -> list[str]:
    """matplotlib's default font and an installed Japanese one, if any, for the letters that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["sans-serif", *[name for name in JAPANESE if name in installed][:1]]


def has_glyphs(text: str) -> bool:
    """Whether the installed fonts have all letters of a text; else empty boxes would be drawn."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    letters: set[int] = set()
    for name in families():
        letters |= set(get_font(findfont(FontProperties(family=[name]))).get_charmap())
    return all(ord(letter) in letters for letter in text)


def _set_fonts(ax: Axes, *others) -> None:
    """Gives the texts of a figure, and others in it, fonts with their letters."""
    legend = ax.get_legend()
    for text in [ax.xaxis.label, *ax.get_yticklabels(), *(legend.get_texts() if legend else []), *others]:
        if not text.get_text().isascii():
            text.set_fontfamily(families())


def plot_detections(
    survey: Survey, most: int = 8, ax: Axes | None = None, words: dict[str, str] | None = None
) -> Axes:
    """Detections over time in the videos that have most of them, by emotion; `words` of `Brief.figure_words`.

    Bars that are wide enough carry the first letter of their emotion, for readers who do not see colours.
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
    initials = {name: initial if has_glyphs(initial) else "" for name, initial in initials.items()}
    for row, video in enumerate(shown.itertuples()):
        ax.barh(row, video.seconds, 0.5, color="#EEEEEE")
        table = survey.detections[survey.detections["video"] == video.video].sort_values("onset")
        # The next bar is drawn over this one from its start on.
        covers = (table["onset"] / table["fps"]).astype("Float64").shift(-1).fillna(math.inf)
        for event, cover in zip(table.itertuples(), covers, strict=True):
            left, right = event.onset / event.fps, (event.offset + 1) / event.fps
            name = "unknown" if pd.isna(event.emotion) else str(event.emotion)
            ax.barh(row, right - left, 0.62, left, color=colours[name], edgecolor=EDGE, linewidth=0.4)
            visible = min(right, cover)
            if visible - left > least_s:
                style = {"color": "white" if name == "negative" else "black", "fontsize": 7}
                letter = ax.text((left + visible) / 2, row, initials[name], ha="center", va="center", **style)
                letters.append(letter)
    names = [f"{i}. {str(v)[:28]}" for i, v in enumerate(shown["video"], 1)]  # numbered as in the table
    names = [name if has_glyphs(name) else f"video {i}" for i, name in enumerate(names, 1)]
    ax.set_yticks(range(len(shown)), names)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(words["seconds"])
    title = ax.set_title(words["generated"] if survey.synthetic else "", loc="left", fontsize=8)
    handles = [Patch(color=colour, label=words.get(name, name)) for name, colour in colours.items()]
    if handles:
        position = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
        ax.legend(handles=handles, frameon=False, ncols=4, fontsize=8, **position)
    _set_fonts(ax, title, *letters)
    return ax


def plot_hours(
    hours: pd.DataFrame,
    names: dict[str, str] | None = None,
    ax: Axes | None = None,
    words: dict[str, str] | None = None,
) -> Axes:
    """A person's time by workflow, of `TimeModel.hours`; names and words of a `Brief`."""
    ax = axes(ax, (8.0, 1.9))
    names, words = names or texts("en")["ways"], words or texts("en")["drawn"]
    values = hours["hours"].to_numpy(float)
    short = values.max() < SHORT_H
    values, unit = (60 * values, "min") if short else (values, "h")
    ax.barh(np.arange(len(values)), values, 0.6, color=["#777777", "#0072B2", "#56B4E9"])
    for row, value in enumerate(values):
        ax.text(value, row, f" {_number(value)} {unit}", va="center", color=INK, fontsize=9)
    ax.set_yticks(range(len(values)), [names[workflow] for workflow in hours.index])
    ax.invert_yaxis()
    ax.set_xlim(0, max(values.max() * 1.15, 1e-6))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(words["minutes" if short else "hours"])
    _set_fonts(ax)
    return ax


def calculator(survey: Survey, model: TimeModel):
    """A widget with sliders for the assumptions and a figure of the hours that follow from them."""
    from dataclasses import replace

    from fedet.plots.live_figure import LiveFigure, png_painter, slider

    def draw(ax: Axes, **assumed: float) -> None:
        plot_hours(replace(model, **assumed).hours(survey.seconds, survey.lengths_s), ax=ax)

    controls = {
        "manual_speed": slider("by hand, min/min", model.manual_speed, 1, 120),
        "decide_s": slider("to decide, s", model.decide_s, 0, 120),
        "scan_speed": slider("skimming speed", model.scan_speed, 1, 8, 0.5),
    }
    return LiveFigure(png_painter((7.5, 1.9), draw), controls)


@lru_cache
def texts(language: str) -> dict:
    """The words of a language. Raises InputError if there are none."""
    if language not in LANGUAGES:
        raise InputError(f"language={language!r}: choose {' or '.join(LANGUAGES)}")
    return yaml.safe_load((FOLDER / f"pilot_{language}.yaml").read_text("utf-8"))
