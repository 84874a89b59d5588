"""What stems say of the song they come from."""

from pathlib import Path

import pytest

from stemsplit import Separator
from stemsplit.audio import Format, Writer
from stemsplit.audio.tagging.values import LARGEST_PICTURE
from stemsplit.audio.tags import Tags, read_all
from stemsplit.choices import FormatName
from stemsplit.songs import pipeline, preparing
from tests.conftest import noise
from tests.songs.test_pipeline import ignore, ran
from tests.songs.test_plan import STARTER, options, planned

ART = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator(STARTER, "cpu")


def tagged(path: Path, picture: bytes = ART, **tags: str | tuple[str, ...]) -> Path:
    samples = noise(22_050).T
    writer = Writer(path, Format(path.suffix[1:]), 44_100, 2, samples.shape[1], tags, picture=picture)
    writer.write(samples)
    writer.close()
    return path


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("format_", [each for each in FormatName if each != FormatName.stem_mp4])
def test_stems_say_all_that_the_song_says(tmp_path: Path, separator: Separator, format_: str) -> None:
    """But for the title, which says which stem it is."""
    told = {
        "title": ("Song",),
        "artist": ("A", "B"),
        "albumartist": ("C",),
        "discnumber": ("1/2",),
        "genre": ("X", "Y"),
    }
    path = tagged(tmp_path / "a.flac", **told)
    (outcome,) = ran([path], options(tmp_path, format=Format(format_)), separator)
    assert read_all(outcome.paths[0]) == Tags({**told, "title": ("Song (drums)",)}, ART)
    assert outcome.record is not None
    assert outcome.record.files == {each.name: each.stat().st_size for each in outcome.paths}
    assert ran([path], options(tmp_path, format=Format(format_)), separator)[0].skipped


def test_names_have_the_first_of_several_artists(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.flac", artist=("A", "B"), title=("T", "U"))
    (job,) = planned([path], options(tmp_path), "{artist}/{title} {stem}")
    assert job.targets["drums"] == tmp_path / "out/A/T drums.wav"


def test_people_are_told_of_cover_art_that_is_left_out(tmp_path: Path, separator: Separator) -> None:
    path = tagged(tmp_path / "a.mp3", bytes(LARGEST_PICTURE + 1), artist="A")
    told: list[str] = []
    jobs = planned([path], options(tmp_path))
    pipeline.run(jobs, lambda: separator, ignore, lambda outcome: told.append(outcome.error), told.append)
    assert told == [f"{path}: its cover art of 16.0 MB is left out, as it is larger than 16.0 MB", ""]


def test_cover_art_counts_as_room_that_the_disk_must_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(preparing, "check_space", lambda _, needed: asked.append(needed))
    for name, picture in (("a.flac", b""), ("b.flac", ART)):
        (job,) = planned([tagged(tmp_path / name, picture)], options(tmp_path))
        found = preparing.prepare(job, preparing.Course(pytest.fail))
        assert isinstance(found, preparing.StemFiles)
        found.close()
    assert asked[1] - asked[0] >= 2 * len(ART)
