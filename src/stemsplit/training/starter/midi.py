"""Knows how MIDI files become multitracks: which notes are whose stem, how a song is varied, how it comes to sound."""

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
"""Mean square up to which a stem is left out (-60 dB)."""

DRUMS = 9
"""General MIDI's channel for drums, counted from 0; its programs are kits."""
KITS = (0, 8, 16, 24, 25, 32, 40)
BASSES = range(32, 40)
CONTRABASS, TIMPANI, AGOGO = 43, 47, 113
LEADS = range(80, 88)
DISTORTED = (29, 30)
DROPPED = {52, 53, 54, 85, 91, TIMPANI, AGOGO, *range(115, 128)}
"""Imitated voices, which are neither vocals nor other; drums and noises that are not on the drums' channel."""
HIGHEST_BASS, LOWEST_OTHER = 55, 44
"""The note in the middle of all that a part plays: G3 and G#2."""
ALIKE = {
    0: (0, 1, 2, 4, 5),  # pianos
    1: (4, 5, 8, 11, 12),  # bells and vibraphones, like which electric pianos are
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
    13: (24, 25, 26, 27, 28),  # what is plucked elsewhere
}
"""Family of eight programs -> what may play instead: rather what pop and rock have."""

Event = tuple[float, mido.Message]
"""Seconds from the beginning, and what happens."""
Part = tuple[int, int]
"""Channel and program."""


@dataclass(frozen=True)
class Variation:
    """How a song is played.

    Args:
        semitones: how much higher than it was written, but for the drums.
        speed: how many times as fast.
        kit: the drums' program, None for the song's own.
        seed: which other instruments play, None for the song's own.
        rooms: size of the room that each stem sounds in, from 0 for none to 1.
    """

    semitones: int = 0
    speed: float = 1.0
    kit: int | None = None
    seed: str | None = None
    rooms: tuple[float, float, float] = (0.0, 0.0, 0.3)


def drawn(seed: str) -> Variation:
    """The variation that belongs to a seed."""
    rng = random.Random(seed)
    rooms = (rng.choice((0.0, rng.uniform(0.1, 0.8))), 0.0, rng.uniform(0.0, 0.7))
    return Variation(rng.randint(-5, 6), rng.uniform(0.85, 1.15), rng.choice(KITS), seed, rooms)


def read(path: Path) -> list[Event]:
    """A song's events, in order.

    Raises:
        AudioError: it is no MIDI file.
    """
    now, events = 0.0, []
    try:
        for message in mido.MidiFile(path, clip=True):
            now += message.time
            # Every sound font has banks of its own, every device its system messages.
            if not (message.is_meta or message.type == "sysex" or message.is_cc(0) or message.is_cc(32)):
                events.append((now, message))
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise AudioError(f"cannot read {path} ({error or 'it ends too early'}); is it a MIDI file?") from error
    return events


def begins(message: mido.Message) -> bool:
    """Whether a note does."""
    return message.type == "note_on" and message.velocity > 0


def notes(events: Iterable[Event]) -> Iterator[tuple[Part, int]]:
    """Every note that begins: its part and its pitch."""
    programs: dict[int, int] = defaultdict(int)
    for _, message in events:
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif begins(message):
            yield (message.channel, programs[message.channel]), message.note


def stem_of(part: Part, pitch: float) -> str:
    """The stem of a part that has half of its notes above a pitch; empty for one that is left out.

    Songs have their bass played by a synthesizer's lead, melodies by a bass, and a piano that doubles the bass: what
    may be either is nothing to learn from.
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
    """What each stem plays: its notes, and everything that is no note."""
    pitches: dict[Part, list[int]] = defaultdict(list)
    for part, pitch in notes(events):
        pitches[part].append(pitch)
    stems = {part: stem_of(part, median(heard)) for part, heard in pitches.items()}
    begun = (stems[part] for part, _ in notes(events))
    owners = [next(begun) if begins(message) else None for _, message in events]
    return {stem: [event for event, own in zip(events, owners, strict=True) if own in (stem, None)] for stem in STEMS}


def busiest(stems: Mapping[str, Iterable[Event]], seconds: int, rank: int) -> int:
    """The second from which on most is going on; of `rank` 1, 2 and so on in what is left of the song without that."""
    activity: dict[int, float] = defaultdict(float)
    for events in stems.values():
        for second, count in Counter(int(time) for time, message in events if begins(message)).items():
            activity[second] += math.sqrt(count)  # all stems count for more than many notes of one
    last = max(max(activity, default=0) + 1 - seconds, 0)
    score = {start: math.fsum(activity[start + i] for i in range(seconds)) for start in range(last + 1)}
    best: list[int] = []
    while score:
        best.append(max(score, key=score.__getitem__))
        score = {start: value for start, value in score.items() if abs(start - best[-1]) >= seconds}
    return best[rank % len(best)]


def played(stem: str, events: Iterable[Event], variation: Variation, start: float) -> Iterator[Event]:
    """A stem's events as a variation has them, from `start` seconds of the song on."""

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
    """The first seconds of some events, as a file."""
    track, now, end = mido.MidiTrack(), 0, round(seconds * 1000)
    for time, message in events:
        if time < seconds:
            track.append(message.copy(time=round(time * 1000) - now))
            now = round(time * 1000)
    for channel in range(16):  # silence: fluidsynth goes on for as long as any note does
        track.append(mido.Message("control_change", channel=channel, control=120, time=0 if channel else end - now))
    mido.MidiFile(type=0, tracks=[track], ticks_per_beat=500).save(path)  # a tick is a millisecond


def render(events: Iterable[Event], seconds: int, sound_font: Path, room: float) -> Block:
    """How events sound, (2, t).

    Raises:
        AudioError: fluidsynth is not there, or gives up.
    """
    if not (program := shutil.which("fluidsynth")):
        raise AudioError("fluidsynth plays MIDI files, and is not installed; try apt install fluidsynth")
    with tempfile.TemporaryDirectory() as folder:
        song, sound = Path(folder, "song.mid"), Path(folder, "sound.raw")
        write_midi(song, events, seconds)
        options = ["-o", "synth.dynamic-sample-loading=1", "-g", "0.5", "-C", "0", "-R", str(int(room > 0))]
        options += ["-o", f"synth.reverb.room-size={room}", "-r", str(SAMPLE_RATE), "-T", "raw", "-O", "float"]
        command = [program, "-q", "-n", "-i", *options, "-F", str(sound), str(sound_font), str(song)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        # For a sound font that is none, it renders silence and calls that a success.
        if ran.returncode or "error:" in ran.stderr or not sound.is_file():
            raise AudioError(f"fluidsynth cannot play with {sound_font} ({' '.join(ran.stderr.split())[:200]})")
        samples = np.fromfile(sound, np.float32).reshape(-1, 2).T[:, : seconds * SAMPLE_RATE]
    return np.pad(samples, ((0, 0), (0, seconds * SAMPLE_RATE - samples.shape[1])))


def render_song(path: Path, folder: Path, sound_font: Path, seconds: int, rank: int, variation: Variation) -> list[str]:
    """Write what can be heard of each stem in a busy part of a song; the loudest has its peak at -6 dB.

    Returns:
        The stems that were written.

    Raises:
        AudioError: the song cannot be read, or not be played.
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
    """`python -m stemsplit.training.midi`; the exit status is 1 if some song failed."""
    parser = argparse.ArgumentParser("python -m stemsplit.training.midi", description="Make multitracks of MIDI files.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="searched for .mid files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--sound-font", type=Path, action="append", required=True, help="of several, one is drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variations", type=int, default=1, help="of each song, besides how it was written")
    parser.add_argument("--seconds", type=int, default=20, help="of a song and of each variation")
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
