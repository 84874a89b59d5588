"""What `compare` tells of models' clips."""

from typing import TYPE_CHECKING, Any

from stemsplit.terminal.tables import aligned
from stemsplit.words import minutes

if TYPE_CHECKING:
    from stemsplit.comparison.clips import Clip
    from stemsplit.comparison.comparison import Comparison


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)


def _clip_as_data(clip: "Clip") -> dict[str, Any]:
    levels = {"loudness": _rounded(clip.loudness), "gain": _rounded(clip.gain), "matched": clip.matched}
    return {"path": str(clip.path), **levels, **{name: _rounded(figure) for name, figure in clip.scores.items()}}


def comparison_as_data(comparison: "Comparison") -> dict[str, Any]:
    """What a comparison found, as `compare --json` tells it and as it lies beside the clips: dB, LUFS and seconds."""
    plan, names = comparison.plan, [entry.name for entry in comparison.plan.entries]
    speeds = [{"seconds": round(run.seconds, 3), "real_time_factor": round(run.speed, 3)} for run in comparison.runs]
    return {
        "song": str(plan.song.path),
        "start": round(plan.start, 6),
        "duration": round(plan.duration, 6),
        "folder": str(plan.folder),
        "models": [{"model": name, **speed} for name, speed in zip(names, speeds, strict=True)],
        "mixture": _clip_as_data(comparison.mixture),
        "stems": {
            stem: {
                "clips": [
                    {"model": names[place], "sdr": None, "si_sdr": None, **_clip_as_data(clip)}
                    for place, clip in group.clips.items()
                ],
                "reference": _clip_as_data(group.reference) if group.reference else None,
                "differences": [
                    {"models": [names[one], names[other]], "decibels": _rounded(figure)}
                    for (one, other), figure in group.differences.items()
                ],
            }
            for stem, group in comparison.groups.items()
        },
        "left_out": {stem: [names[place] for place in places] for stem, places in plan.left_out.items()},
    }


def _level(clip: "Clip") -> tuple[str, str]:
    """A clip's loudness, and by how much it is written louder."""
    if clip.loudness is None:
        return "silent", ""
    return f"{clip.loudness:.1f} LUFS", f"{clip.gain:+.1f} dB" if clip.matched else "not matched"


def comparison_in_lines(comparison: "Comparison") -> list[str]:
    """The same for people: a line for each model, then one for each clip."""
    plan = comparison.plan
    names = [f"{number} {entry.name}" for number, entry in enumerate(plan.entries, 1)]
    models = [("model", "x real time", "whole song")]
    for name, run in zip(names, comparison.runs, strict=True):
        models.append((name, f"{run.speed:,.2f}", minutes(plan.song.seconds / run.speed)))
    scored = {"sdr": "SDR", "si_sdr": "SI-SDR"} if plan.references else {}
    others = range(len(names) - 1)
    clips = [("stem", "clip", "loudness", "gain", *scored.values(), *(f"vs {place + 1}" for place in others))]
    for stem, group in comparison.groups.items():
        if group.reference:
            clips.append((stem, "reference", *_level(group.reference), *[""] * (len(scored) + len(others))))
        for place, clip in group.clips.items():
            figures = [clip.scores.get(name) for name in scored]
            figures += [group.differences.get((other, place)) for other in others]
            cells = ("" if figure is None else f"{figure:.1f} dB" for figure in figures)
            clips.append((stem, names[place], *_level(clip), *cells))
    return [*aligned(models, words=1), "", *aligned(clips, words=2)]
