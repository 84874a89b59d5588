"""How multitracks are found in folders and lists."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import Multitrack, manifest, multitracks, song_folders
from stemsplit.evaluation.stem_mp4 import PLACES


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder to put files into."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def put(folder: Path, *names: str) -> None:
    """Make empty files: songs are found without reading any."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_song_is_a_folder_with_a_file_for_each_stem(data: Path) -> None:
    put(data, "song/vocals.flac", "song/bass.OGG", "song/mixture.wav", "song/cover.png", "song/stemsplit.json")
    stems = {"bass": data / "song" / "bass.OGG", "vocals": data / "song" / "vocals.flac"}
    assert song_folders(data) == [Multitrack("song", stems, data / "song" / "mixture.wav")]


def test_songs_are_named_and_sorted_by_their_paths(data: Path) -> None:
    put(data, "test/song 10/vocals.wav", "test/song 2/vocals.wav", "train/a/vocals.wav")
    assert [song.name for song in song_folders(data)] == ["test/song 2", "test/song 10", "train/a"]


def test_the_folder_itself_is_a_song_if_there_is_none_below(data: Path) -> None:
    put(data, "vocals.wav")
    (song,) = song_folders(data)
    assert (song.name, song.title) == (".", "data")
    put(data, "song/vocals.wav")
    (song,) = song_folders(data)
    assert (song.name, song.title) == ("song", "song")


def test_a_folder_with_only_a_mixture_is_not_a_song(data: Path) -> None:
    put(data, "song/mixture.wav")
    assert song_folders(data) == []


def test_hidden_files_are_left_out(data: Path) -> None:
    put(data, "song/._vocals.wav", ".stemsplit-1/song/vocals.wav", "song/bass.wav")
    assert [list(song.stems) for song in song_folders(data)] == [["bass"]]


def test_links_are_followed_once(data: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "song/vocals.wav")
    (data / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "song" / "back").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [song.name for song in song_folders(data)] == ["linked/song"]


def test_two_files_for_one_stem_are_refused(data: Path) -> None:
    put(data, "song/vocals.wav", "song/vocals.flac")
    with pytest.raises(AudioError, match=r"vocals\.flac and vocals\.wav are the same stem; keep one of them$"):
        song_folders(data)


def test_stems_are_found_in_any_letter_case(data: Path) -> None:
    put(data, "song/Vocals.WAV", "song/DRUMS.flac", "song/Mixture.wav")
    (song,) = song_folders(data)
    assert ([*song.stems], song.mixture) == (["drums", "vocals"], data / "song/Mixture.wav")


def test_a_missing_folder_is_an_error(data: Path) -> None:
    with pytest.raises(AudioError, match=r"cannot look into .*nowhere \(no such file or directory\)$"):
        song_folders(data / "nowhere")


def test_a_stem_mp4_holds_a_whole_song(data: Path, ffmpeg: Path) -> None:
    """Its five streams are tones, each higher than the one before."""
    inputs, maps = [], []
    for number in range(len(PLACES)):
        tone = f"sine=frequency={500 * (number + 1)}:duration=1:sample_rate=44100"
        inputs += ["-f", "lavfi", "-i", tone]
        maps += ["-map", str(number)]
    subprocess.run([ffmpeg, "-loglevel", "error", *inputs, *maps, data / "A - B.stem.mp4"], check=True)
    (song,) = song_folders(data)
    assert (song.name, list(song.stems)) == ("A - B", ["bass", "drums", "other", "vocals"])
    for number, stem in enumerate(PLACES):
        with song.open(stem) as reader:
            samples = np.concatenate(list(reader), 1)[0]
        spectrum = np.abs(np.fft.rfft(samples[:44_100]))
        assert abs(int(spectrum.argmax()) - 500 * (number + 1)) <= 1


def test_an_excerpt_of_a_stem_can_be_read(data: Path) -> None:
    (data / "song").mkdir()
    samples = np.arange(1_000, dtype=np.float32) / 1_000
    soundfile.write(data / "song" / "vocals.wav", samples, 1_000, subtype="FLOAT")
    (song,) = song_folders(data)
    with song.open("vocals", 0.5, 0.25) as reader:
        assert np.array_equal(np.concatenate(list(reader), 1)[0], samples[500:750])
    with pytest.raises(KeyError):
        song.open("bass")


# A list of songs


def written(data: Path, text: str) -> Path:
    """Write a list beside some files."""
    put(data, "a/vocals.wav", "a/bass.ogg", "drums b.flac", "b.stem.mp4")
    path = data / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_names_a_stem_in_each_line(data: Path) -> None:
    """A song's lines may be apart; other columns, empty lines and spaces around values are ignored."""
    text = (
        '\ufeffstem,year,path , song\nvocals,1999,a/vocals.wav,Ä\n\ndrums,,"drums b.flac",2, two\nbass,1,a/bass.ogg,Ä\n'
    )
    a = {"bass": data / "a" / "bass.ogg", "vocals": data / "a" / "vocals.wav"}
    assert multitracks(written(data, text)) == [Multitrack("Ä", a), Multitrack("2", {"drums": data / "drums b.flac"})]


def test_a_list_may_hold_any_paths_and_its_mixture_is_not_a_stem(data: Path, tmp_path: Path) -> None:
    put(tmp_path / "else", "where.wav")
    text = (
        f"song,stem,path\na,mixture,../else/where.wav\na,bass,{tmp_path / 'else' / 'where.wav'}\nb,mixture,a/bass.ogg\n"
    )
    mixture, bass = data / ".." / "else" / "where.wav", tmp_path / "else" / "where.wav"
    assert manifest(written(data, text)) == [Multitrack("a", {"bass": bass}, mixture)]


def test_a_list_may_name_stems_inside_a_stem_mp4(data: Path) -> None:
    (song,) = manifest(written(data, "song,stem,path\nb,vocals,b.stem.mp4\nb,bass,a/bass.ogg\n"))
    assert song.tracks == {"vocals": str(PLACES.index("vocals") + 1)}


def test_a_folder_may_be_given_instead_of_a_list(data: Path) -> None:
    put(data, "song/vocals.wav")
    assert multitracks(data) == song_folders(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column song; its first line should be song,stem,path$"),
        ("song,path\na,a/vocals.wav\n", "has no column stem; its first line should be song,stem,path$"),
        ("song,stem,path\na,bass,a/bass.ogg\na,vocals\n", r"list\.csv, line 3: the path is missing$"),
        ("song,stem,path\n,bass,a/bass.ogg\n", r"list\.csv, line 2: the song is missing$"),
        ("song,stem,path\na,bass,gone.wav\n", r"list\.csv, line 2: .*gone\.wav does not exist$"),
        ("song,stem,path\na,bass,a\n", r"list\.csv, line 2: .*a does not exist$"),
        (
            "song,stem,path\na,bass,a/bass.ogg\na,bass,a/vocals.wav\n",
            r"list\.csv, line 3: a already has bass: .*bass\.ogg$",
        ),
        (
            "song,stem,path\nb,piano,b.stem.mp4\n",
            "b.stem.mp4 holds mixture, drums, bass, other, vocals, but not piano$",
        ),
        ('song,stem,path\na,"bass,a/bass.ogg', "line 2: the path is missing$"),
        ("song,stem,path\na," + 200_000 * "b" + ",a/bass.ogg\n", r"\(it is not a CSV with song, stem, path\)$"),
    ],
)
def test_an_invalid_list_is_an_error(data: Path, text: str, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        manifest(written(data, text))


def test_a_file_that_is_not_a_list_is_an_error(data: Path) -> None:
    (data / "song.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVE")
    with pytest.raises(
        AudioError, match=r"cannot read the list .*song\.wav \(it is not a CSV with song, stem, path\)$"
    ):
        multitracks(data / "song.wav")
    with pytest.raises(AudioError, match=r"cannot read the list .*gone\.csv \(no such file or directory\)$"):
        multitracks(data / "gone.csv")


def test_finding_no_songs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("song,stem,path\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(AudioError, match=r"^no song with stems in .*list.csv; it should have a line for each stem$"):
        multitracks(tmp_path / "list.csv")
    with pytest.raises(AudioError, match=r"^no song with stems in .*folder; it should have a folder for each song"):
        multitracks(tmp_path / "folder")
