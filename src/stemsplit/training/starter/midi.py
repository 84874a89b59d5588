"""Renders MIDI files as multitracks: `python -m stemsplit.training.starter.midi FOLDER ... -o OUT --sound-font FILE`.

It sorts the notes of a song by stem, varies the song, and plays each stem with fluidsynth.
"""

import argparse
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import mido
import numpy as np

from stemsplit.audio import Block, Format, Writer
from stemsplit.choices import BitDepth, FormatName
from stemsplit.errors import AudioError, StemsplitError

SAMPLE_RATE = 44_100
STEMS = ("drums", "bass", "other")
SILENT = 1e-6
"""Mean square up to which a stem counts as silent and is left out (-60 dB)."""

DRUMS = 9
"""General MIDI's channel for drums, counted from 0; its programs are drum kits."""
KITS = (0, 8, 16, 24, 25, 32, 40)
BASSES = range(32, 40)
CONTRABASS, TIMPANI, AGOGO = 43, 47, 113
LEADS = range(80, 88)
DISTORTED = (29, 30)
DROPPED = {52, 53, 54, 85, 91, TIMPANI, AGOGO, *range(115, 128)}
"""Programs that are left out: imitated voices, and drums and noises outside the drums' channel."""
HIGHEST_BASS, LOWEST_OTHER = 55, 44
"""Limits of a part's median note: a bass plays G3 or lower, an instrument of `other` G#2 or higher."""
ALIKE = {
    0: (0, 1, 2, 4, 5),  # pianos
    1: (4, 5, 8, 11, 12),  # bells and vibraphones; electric pianos sound alike
    2: (16, 17, 18, 19),  # organs
    3: (24, 25, 26, 27, 28, 29, 30),  # guitars
    5: (40, 42, 44, 48, 49, 50, 51),  # strings
    6: (48, 49, 50, 51, 88, 89),  # ensembles
    7: (18, 27, 29, 30, 61, 62, 63, 81),  # brass
    8: (18, 27, 29, 30, 65, 66, 81),  # reeds
    9: (4, 5, 27, 28, 80, 81, 82, 84),  # pipes
    10: (29, 30, 80, 81, 82, 83, 84, 86),  # synthesizers' leads
    11: (48, 50, 88, 89, 90, 92, 93, 94, 95),  # pads
    12: (88, 89, 90, 92, 94, 95, 96, 98),  # effects
    13: (24, 25, 26, 27, 28),  # plucked instruments of the world
}
"""Family of eight programs -> programs that may play instead, mostly those of pop and rock."""

Event = tuple[float, mido.Message]
"""Seconds from the beginning, and the message."""
Part = tuple[int, int]
"""Channel and program."""


@dataclass(frozen=True)
class Variation:
    """The way in which a song is played.

    Args:
        semitones: transposition of all parts but the drums.
        speed: factor of the tempo.
        kit: program of the drums; None for the song's own.
        seed: seed for the choice of other instruments; None for the song's own.
        rooms: size of each stem's reverberation room, from 0 (none) to 1.
    """

    semitones: int = 0
    speed: float = 1.0
    kit: int | None = None
    seed: str | None = None
    rooms: tuple[float, float, float] = (0.0, 0.0, 0.3)


def drawn(seed: str) -> Variation:
    """Return the variation for a seed."""
    rng = random.Random(seed)
    rooms = (rng.choice((0.0, rng.uniform(0.1, 0.8))), 0.0, rng.uniform(0.0, 0.7))
    return Variation(rng.randint(-5, 6), rng.uniform(0.85, 1.15), rng.choice(KITS), seed, rooms)


def read(path: Path) -> list[Event]:
    """Return a song's events in order.

    Raises:
        AudioError: it is not a MIDI file.
    """
    now, events = 0.0, []
    try:
        for message in mido.MidiFile(path, clip=True):
            now += message.time
            # Banks differ between sound fonts, system messages between devices.
            if not (message.is_meta or message.type == "sysex" or message.is_cc(0) or message.is_cc(32)):
                events.append((now, message))
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise AudioError(f"cannot read {path} ({error or 'it ends too early'}); is it a MIDI file?") from error
    return events


def begins(message: mido.Message) -> bool:
    """Return whether a message begins a note."""
    return message.type == "note_on" and message.velocity > 0


def notes(events: Iterable[Event]) -> Iterator[tuple[Part, int]]:
    """Yield the part and the pitch of every note that begins."""
    programs: dict[int, int] = defaultdict(int)
    for _, message in events:
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif begins(message):
            yield (message.channel, programs[message.channel]), message.note


def stem_of(part: Part, pitch: float) -> str:
    """Return the stem of a part with this median pitch; empty if the part is left out.

    In some songs, a synthesizer's lead plays the bass, a bass plays a melody, or a piano doubles the bass. Parts that
    may belong to either stem are left out.
    """
    channel, program = part
    if channel == DRUMS:
        return "drums"
    if program in (*BASSES, CONTRABASS):
        return "bass" if pitch <= HIGHEST_BASS else ""
    if pitch < LOWEST_OTHER and program not in DISTORTED:
        return "bass" if program in LEADS else ""
    return "" if program in DROPPED else "other"


def split(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the events of each stem: its notes, and all events that are not notes."""
    pitches: dict[Part, list[int]] = defaultdict(list)
    for part, pitch in notes(events):
        pitches[part].append(pitch)
    stems = {part: stem_of(part, median(heard)) for part, heard in pitches.items()}
    begun = (stems[part] for part, _ in notes(events))
    owners = [next(begun) if begins(message) else None for _, message in events]
    return {stem: [event for event, own in zip(events, owners, strict=True) if own in (stem, None)] for stem in STEMS}


def busiest(stems: Mapping[str, Iterable[Event]], seconds: int, rank: int) -> int:
    """Return the start of the busiest excerpt, in seconds; with `rank` 1, 2 ..., of the next busiest apart from it."""
    activity: dict[int, float] = defaultdict(float)
    for events in stems.values():
        for second, count in Counter(int(time) for time, message in events if begins(message)).items():
            activity[second] += math.sqrt(count)  # so that notes in all stems count more than many notes in one
    last = max(max(activity, default=0) + 1 - seconds, 0)
    score = {start: math.fsum(activity[start + i] for i in range(seconds)) for start in range(last + 1)}
    best: list[int] = []
    while score:
        best.append(max(score, key=score.__getitem__))
        score = {start: value for start, value in score.items() if abs(start - best[-1]) >= seconds}
    return best[rank % len(best)]


def played(stem: str, events: Iterable[Event], variation: Variation, start: float) -> Iterator[Event]:
    """Yield a stem's events as the variation plays them, from `start` seconds into the song on."""

    def instead(channel: int, program: int) -> int:
        if channel == DRUMS:
            return program if variation.kit is None else variation.kit
        if variation.seed is None:
            return program
        rng = random.Random(f"{variation.seed} {stem} {channel} {program}")
        return rng.choice(BASSES if stem == "bass" else ALIKE.get(program // 8, (program,)))

    for channel in range(16):
        yield 0.0, mido.Message("program_change", channel=channel, program=instead(channel, 0))
    for time, message in events:
        changes = {}
        if message.type == "program_change":
            changes["program"] = instead(message.channel, message.program)
        elif message.type in ("note_on", "note_off") and message.channel != DRUMS:
            changes["note"] = min(max(message.note + variation.semitones, 0), 127)
        if time >= start or not begins(message):
            yield max(time - start, 0) / variation.speed, message.copy(**changes)


def write_midi(path: Path, events: Iterable[Event], seconds: float) -> None:
    """Write the first seconds of some events as a MIDI file."""
    track, now, end = mido.MidiTrack(), 0, round(seconds * 1000)
    for time, message in events:
        if time < seconds:
            track.append(message.copy(time=round(time * 1000) - now))
            now = round(time * 1000)
    for channel in range(16):  # all sound off: fluidsynth plays until the last note ends
        track.append(mido.Message("control_change", channel=channel, control=120, time=0 if channel else end - now))
    mido.MidiFile(type=0, tracks=[track], ticks_per_beat=500).save(path)  # a tick is a millisecond


def render(events: Iterable[Event], seconds: int, sound_font: Path, room: float) -> Block:
    """Play events with fluidsynth.

    Args:
        events: events of one stem.
        seconds: length of the result.
        sound_font: file with the instruments.
        room: size of the reverberation room, from 0 (none) to 1.

    Returns:
        (2, t).

    Raises:
        AudioError: fluidsynth is not installed, or fails.
    """
    if not (program := shutil.which("fluidsynth")):
        raise AudioError("fluidsynth, which plays MIDI files, is not installed; try apt install fluidsynth")
    with tempfile.TemporaryDirectory() as folder:
        song, sound = Path(folder, "song.mid"), Path(folder, "sound.raw")
        write_midi(song, events, seconds)
        options = ["-o", "synth.dynamic-sample-loading=1", "-g", "0.5", "-C", "0", "-R", str(int(room > 0))]
        options += ["-o", f"synth.reverb.room-size={room}", "-r", str(SAMPLE_RATE), "-T", "raw", "-O", "float"]
        command = [program, "-q", "-n", "-i", *options, "-F", str(sound), str(sound_font), str(song)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        # Given a file that is not a sound font, it renders silence and exits with status 0.
        if ran.returncode or "error:" in ran.stderr or not sound.is_file():
            raise AudioError(f"fluidsynth cannot play with {sound_font} ({' '.join(ran.stderr.split())[:200]})")
        samples = np.fromfile(sound, np.float32).reshape(-1, 2).T[:, : seconds * SAMPLE_RATE]
    return np.pad(samples, ((0, 0), (0, seconds * SAMPLE_RATE - samples.shape[1])))


def render_song(path: Path, folder: Path, sound_font: Path, seconds: int, rank: int, variation: Variation) -> list[str]:
    """Write the audible stems of a busy excerpt of a song; the loudest peaks at -6 dB.

    Args:
        path: MIDI file.
        folder: folder to write into, made if needed.
        sound_font: file with the instruments.
        seconds: length of the excerpt, as played.
        rank: 0 for the busiest excerpt, 1 for the next, and so on.
        variation: the way in which the song is played.

    Returns:
        The stems that were written.

    Raises:
        AudioError: the song cannot be read or played.
    """
    stems = split(read(path))
    start = busiest(stems, math.ceil(seconds * variation.speed), rank)
    blocks = {
        stem: render(played(stem, events, variation, start), seconds, sound_font, room)
        for (stem, events), room in zip(stems.items(), variation.rooms, strict=True)
        if any(notes(events))
    }
    peak = max((float(np.abs(block).max()) for block in blocks.values()), default=0) or 1
    blocks = {stem: block * np.float32(0.5 / peak) for stem, block in blocks.items()}
    audible = [stem for stem, block in blocks.items() if np.square(block).mean() > SILENT]
    flac = Format(FormatName.flac, BitDepth.b16)
    for stem in audible:
        folder.mkdir(parents=True, exist_ok=True)
        writer = Writer(folder / f"{stem}{flac.suffix}", flac, SAMPLE_RATE, 2, seconds * SAMPLE_RATE)
        writer.write(blocks[stem])
        writer.close()
    return audible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.midi`; the exit status is 1 if some song failed."""
    program = "python -m stemsplit.training.starter.midi"
    parser = argparse.ArgumentParser(program, description="Render MIDI files as multitracks.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folder to search for .mid files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--sound-font", type=Path, action="append", required=True, help="one of several is drawn per song"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variations", type=int, default=1, help="variations of each song, besides the original")
    parser.add_argument("--seconds", type=int, default=20, help="seconds to render of each song and variation")
    args = parser.parse_args(arguments)
    songs = sorted((path, root) for root in args.folders for path in root.rglob("*") if path.suffix.lower() == ".mid")
    if not songs:
        parser.error("there are no .mid files")
    failed = False
    for path, root in songs:
        name = path.relative_to(root).with_suffix("")
        for rank in range(args.variations + 1):
            seed = f"{args.seed} {name.as_posix()} {rank}"
            font = random.Random(f"font {seed}").choice(args.sound_font)
            folder = args.output / (f"{name}-{rank}" if rank else name)
            try:
                stems = render_song(path, folder, font, args.seconds, rank, drawn(seed) if rank else Variation())
                print(f"{folder}: {', '.join(stems) or 'silent'}", flush=True)
            except StemsplitError as error:
                failed = True
                print(error, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
