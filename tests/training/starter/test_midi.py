"""Multitracks out of MIDI files: what goes into which stem, how songs are varied, and that they come to sound."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.errors import AudioError

mido = pytest.importorskip("mido", reason="mido is not installed")
from stemsplit.training.starter import midi  # noqa: E402  # without mido it cannot be imported
from stemsplit.training.starter.midi import DRUMS, Event, Variation  # noqa: E402

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
FINGERED, DISTORTION, GRAND, LEAD, CHOIR, TAIKO, VIOLIN = 33, 30, 0, 81, 52, 116, 40
SONG = {DRUMS: (0, 38), 0: (FINGERED, 33), 1: (GRAND, 60), 2: (DISTORTION, 40), 3: (CHOIR, 65), 4: (TAIKO, 60)}
"""Channel -> program and pitch, of which each is played on every beat."""


def write(path: Path, parts: dict[int, tuple[int, int]] = SONG, beats: range = range(8)) -> Path:
    """A song of two beats a second."""
    song = mido.MidiFile(ticks_per_beat=96)
    for channel, (program, pitch) in parts.items():
        track = mido.MidiTrack([mido.Message("program_change", channel=channel, program=program)])
        for beat in beats:
            wait = 96 * beats.start if beat == beats.start else 48
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=100, time=wait))
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=48))
        song.tracks.append(track)
    song.save(path)
    return path


@pytest.fixture
def song(tmp_path: Path) -> list[Event]:
    return midi.read(write(tmp_path / "song.mid"))


def heard(events: Iterable[Event]) -> set[tuple[int, int, int]]:
    """Channel, program and pitch of everything that is played."""
    return {(*part, pitch) for part, pitch in midi.notes(events)}


def test_channel_and_program_tell_the_stem(song: list[Event]) -> None:
    stems = midi.split(song)
    assert heard(stems["drums"]) == {(DRUMS, 0, 38)}
    assert heard(stems["bass"]) == {(0, FINGERED, 33)}
    assert {part[1] for part in heard(stems["other"])} == {GRAND, DISTORTION}


@pytest.mark.parametrize("program", [52, 53, 54, 85, 91])
def test_imitated_voices_are_in_no_stem(tmp_path: Path, program: int) -> None:
    stems = midi.split(midi.read(write(tmp_path / "song.mid", {0: (program, 65)})))
    assert not any(map(heard, stems.values()))


@pytest.mark.parametrize(
    ("program", "pitch", "stem"),
    [(LEAD, 33, "bass"), (LEAD, 72, "other"), (FINGERED, 79, ""), (GRAND, 33, ""), (DISTORTION, 33, "other")],
)
def test_what_may_be_a_bass_or_not_is_told_by_its_pitch_or_left_out(program: int, pitch: int, stem: str) -> None:
    assert midi.stem_of((0, program), pitch) == stem


def test_one_channel_may_serve_two_stems(tmp_path: Path) -> None:
    first = mido.MidiFile(write(tmp_path / "first.mid", {0: (FINGERED, 33)}))
    first.tracks[0].extend(mido.MidiFile(write(tmp_path / "then.mid", {0: (GRAND, 60)})).tracks[0])
    first.save(tmp_path / "both.mid")
    stems = midi.split(midi.read(tmp_path / "both.mid"))
    assert heard(stems["bass"]) == {(0, FINGERED, 33)}
    assert heard(stems["other"]) == {(0, GRAND, 60)}


def test_transposition_leaves_drums_alone(song: list[Event]) -> None:
    stems = midi.split(song)
    higher = {stem: heard(midi.played(stem, stems[stem], Variation(semitones=3), 0)) for stem in midi.STEMS}
    assert higher["drums"] == heard(stems["drums"])
    assert higher["bass"] == {(0, FINGERED, 36)}
    assert {pitch for *_, pitch in higher["other"]} == {63, 43}


def test_what_goes_up_also_ends(song: list[Event]) -> None:
    bass = list(midi.played("bass", midi.split(song)["bass"], Variation(semitones=3), 0))
    ended = {message.note for _, message in bass if message.type == "note_off" and message.channel == 0}
    assert ended == {36}


def test_all_stems_go_at_the_same_speed(song: list[Event]) -> None:
    for stem, events in midi.split(song).items():
        times = [time for time, message in midi.played(stem, events, Variation(speed=1.25), 0) if midi.begins(message)]
        assert sorted(set(times)) == pytest.approx(np.arange(8) * 0.5 / 1.25)


@pytest.mark.parametrize("seed", range(20))
def test_other_instruments_are_of_the_same_stem(song: list[Event], seed: int) -> None:
    variation = midi.drawn(str(seed))
    for stem, events in midi.split(song).items():
        parts = {(channel, program) for channel, program, _ in heard(midi.played(stem, events, variation, 0))}
        middle = {"drums": 38, "bass": 40, "other": 60}[stem]
        assert {midi.stem_of(part, middle) for part in parts} == {stem}


def test_families_hold_nothing_that_would_be_left_out() -> None:
    for family in midi.ALIKE.values():
        assert {midi.stem_of((0, program), 60) for program in family} == {"other"}


def test_a_part_of_a_song_begins_with_the_instruments_it_then_has(song: list[Event]) -> None:
    bass = list(midi.played("bass", midi.split(song)["bass"], Variation(), 2.25))
    assert heard(bass) == {(0, FINGERED, 33)}
    assert min(time for time, message in bass if midi.begins(message)) == pytest.approx(0.25)


def test_the_busiest_part_comes_first_and_then_others(tmp_path: Path) -> None:
    """Drums alone for 10 seconds, then a bass as well."""
    drums = midi.read(write(tmp_path / "drums.mid", {DRUMS: (0, 38)}, range(40)))
    bass = midi.read(write(tmp_path / "bass.mid", {0: (FINGERED, 33)}, range(20, 40)))
    starts = [midi.busiest(midi.split(drums + bass), 5, rank) for rank in range(3)]
    assert sorted(starts[:2]) == [10, 15]
    assert starts[2] <= 5


def test_the_same_seed_gives_the_same_variation() -> None:
    assert midi.drawn("a") == midi.drawn("a")
    assert midi.drawn("a") != midi.drawn("b")


def test_a_file_that_is_no_midi_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "song.mid").write_bytes(b"MThd, or so it says")
    with pytest.raises(AudioError, match="is it a MIDI file"):
        midi.read(tmp_path / "song.mid")


def test_a_missing_fluidsynth_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path / "song.mid")
    status = midi.main([str(tmp_path), "-o", str(tmp_path / "out"), "--sound-font", "any.sf2", "--variations", "0"])
    assert status == 1
    assert (
        capsys.readouterr().err == "fluidsynth, which plays MIDI files, is not installed; try apt install fluidsynth\n"
    )


@pytest.fixture
def sound_font() -> Path:
    if not shutil.which("fluidsynth"):
        pytest.skip("needs fluidsynth")
    if not SOUND_FONT.is_file():
        pytest.skip(f"needs {SOUND_FONT}")
    return SOUND_FONT


def test_the_same_seed_gives_the_same_files(tmp_path: Path, sound_font: Path) -> None:
    write(tmp_path / "song.mid", {DRUMS: (0, 38), 0: (FINGERED, 33)})

    def rendered(output: Path, seed: int) -> dict[str, bytes]:
        options = ["--sound-font", str(sound_font), "--seed", str(seed), "--seconds", "1"]
        assert midi.main([str(tmp_path), "-o", str(output), *options]) == 0
        return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*.flac")}

    once, again, other = (rendered(tmp_path / name, seed) for name, seed in [("one", 1), ("again", 1), ("two", 2)])
    varied = {"song-1/drums.flac", "song-1/bass.flac"}
    assert set(once) == {"song/drums.flac", "song/bass.flac", *varied}
    assert once == again
    assert {name for name in once if once[name] != other[name]} == varied


def test_stems_are_aligned_and_the_loudest_peaks_at_minus_six_decibels(tmp_path: Path, sound_font: Path) -> None:
    write(tmp_path / "song.mid", beats=range(2, 8))
    assert midi.render_song(tmp_path / "song.mid", tmp_path / "out", sound_font, 4, 0, Variation()) == list(midi.STEMS)
    stems = [soundfile.read(tmp_path / "out" / f"{stem}.flac")[0] for stem in midi.STEMS]
    assert [stem.shape for stem in stems] == [(4 * midi.SAMPLE_RATE, 2)] * 3
    assert max(np.abs(stem).max() for stem in stems) == pytest.approx(0.5, abs=1e-3)
    for stem in stems:
        assert np.argmax(np.abs(stem).max(1) > 0.01) == pytest.approx(midi.SAMPLE_RATE, abs=0.02 * midi.SAMPLE_RATE)


def test_a_stem_without_notes_gets_no_file(tmp_path: Path, sound_font: Path) -> None:
    write(tmp_path / "song.mid", {DRUMS: (0, 38), 1: (CHOIR, 65)})
    assert midi.render_song(tmp_path / "song.mid", tmp_path / "out", sound_font, 1, 0, Variation()) == ["drums"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["drums.flac"]


@pytest.mark.usefixtures("sound_font")
def test_what_is_no_sound_font_is_said_to_be_none(tmp_path: Path) -> None:
    """Of which fluidsynth itself makes silence."""
    (tmp_path / "junk.sf2").write_bytes(b"junk")
    song = write(tmp_path / "song.mid")
    with pytest.raises(AudioError, match=r"cannot play with .*junk\.sf2"):
        midi.render_song(song, tmp_path / "out", tmp_path / "junk.sf2", 1, 0, Variation())
