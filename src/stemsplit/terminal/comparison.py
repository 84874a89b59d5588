"""Shows what `compare` found: a table for people, data for scripts."""

from typing import TYPE_CHECKING, Any

from stemsplit.terminal.tables import aligned
from stemsplit.words import clock

if TYPE_CHECKING:
    from stemsplit.comparison.clips import Clip
    from stemsplit.comparison.comparison import Comparison


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)


def _clip_as_data(clip: "Clip") -> dict[str, Any]:
    levels = {"loudness": _rounded(clip.loudness), "gain": _rounded(clip.gain), "matched": clip.matched}
    return {"path": str(clip.path), **levels, **{name: _rounded(figure) for name, figure in clip.scores.items()}}


def comparison_as_data(comparison: "Comparison") -> dict[str, Any]:
    """Return a comparison as `compare --json` prints it and as it lies beside the clips, in dB, LUFS and seconds."""
    plan, names = comparison.plan, comparison.plan.labels
    speeds = [
        {"seconds": round(timing.seconds, 3), "real_time_factor": round(timing.speed, 3)}
        for timing in comparison.timings
    ]
    return {
        "song": str(plan.song.path),
        "start": round(plan.start, 6),
        "duration": round(plan.duration, 6),
        "folder": str(plan.folder),
        "models": [
            {"model": name, "name": entry.name, "settings": dict(own), **speed}
            for name, entry, own, speed in zip(names, plan.entries, plan.settings, speeds, strict=True)
        ],
        "mixture": _clip_as_data(comparison.mixture),
        "stems": {
            stem: {
                "clips": [
                    {"model": names[index], "sdr": None, "si_sdr": None, **_clip_as_data(clip)}
                    for index, clip in compared.clips.items()
                ],
                "reference": _clip_as_data(compared.reference) if compared.reference else None,
                "differences": [
                    {"models": [names[one], names[other]], "decibels": _rounded(figure)}
                    for (one, other), figure in compared.differences.items()
                ],
            }
            for stem, compared in comparison.stems.items()
        },
        "left_out": {stem: [names[index] for index in indices] for stem, indices in plan.left_out.items()},
    }


def _level(clip: "Clip") -> tuple[str, str]:
    """Return the cells of a clip's loudness and gain."""
    if clip.loudness is None:
        return "silent", ""
    return f"{clip.loudness:.1f} LUFS", f"{clip.gain:+.1f} dB" if clip.matched else "not matched"


def comparison_in_lines(comparison: "Comparison") -> list[str]:
    """Return a comparison as lines for people: one for each model, then one for each clip."""
    plan = comparison.plan
    names = [f"{number} {label}" for number, label in enumerate(plan.labels, 1)]
    models = [("model", "x real time", "whole song")]
    for name, timing in zip(names, comparison.timings, strict=True):
        models.append((name, f"{timing.speed:,.2f}", clock(plan.song.seconds / timing.speed)))
    scored = {"sdr": "SDR", "si_sdr": "SI-SDR"} if plan.references else {}
    others = range(len(names) - 1)
    clips = [("stem", "clip", "loudness", "gain", *scored.values(), *(f"vs {other + 1}" for other in others))]
    for stem, compared in comparison.stems.items():
        if compared.reference:
            clips.append((stem, "reference", *_level(compared.reference), *[""] * (len(scored) + len(others))))
        for index, clip in compared.clips.items():
            figures = [clip.scores.get(name) for name in scored]
            figures += [compared.differences.get((other, index)) for other in others]
            cells = ("" if figure is None else f"{figure:.1f} dB" for figure in figures)
            clips.append((stem, names[index], *_level(clip), *cells))
    return [*aligned(models, words=1), "", *aligned(clips, words=2)]
