"""Songs divided among machines that know nothing of each other."""

import random
import unicodedata
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stemsplit.songs.found import Found
from stemsplit.songs.sharing.shards import Shard, automatic, keys, own, parsed

SLURM = {"ID": "5", "MIN": "3", "COUNT": "3", "STEP": "2", "MAX": "7"}


def library(root: str = "lib", count: int = 400) -> list[Found]:
    folders = [Path(f"artist {number % 7}") for number in range(count)]
    return [Found(Path(root, folder, f"söng {number}.flac"), folder) for number, folder in enumerate(folders)]


def slurm(**changed: str | None) -> dict[str, str]:
    """The variables of the second of three tasks, with changes."""
    values = {**SLURM, **changed}
    return {f"SLURM_ARRAY_TASK_{name}": value for name, value in values.items() if value is not None}


@pytest.mark.parametrize("count", [1, 3, 16])
def test_every_song_belongs_to_one_shard_whatever_its_place_in_the_list(count: int) -> None:
    songs = library()
    shuffled = random.Random(0).sample(songs, len(songs))
    for order in (songs, shuffled):
        parts = [{order[place].path for place in own(order, Shard(number, count))} for number in range(1, count + 1)]
        assert Counter(path for part in parts for path in part) == Counter(song.path for song in songs)
        if order is songs:
            before = parts
    assert parts == before


def test_neither_other_songs_nor_the_root_nor_the_form_of_accents_change_a_songs_shard() -> None:
    """So a song that is added while machines work moves no other one, and a Mac agrees with Linux."""
    shard, songs = Shard(2, 5), library()
    mine = {songs[place].path.name for place in own(songs, shard)}
    fewer = songs[::3]
    assert {fewer[place].path.name for place in own(fewer, shard)} == mine & {song.path.name for song in fewer}
    decomposed = [(unicodedata.normalize("NFD", str(song.path)), song.below) for song in library("/mnt/lib")]
    moved = [Found(Path(path), below) for path, below in decomposed]
    assert own(moved, shard) == own(songs, shard)


def test_every_version_divides_songs_alike() -> None:
    """Machines may not all be updated at the same time."""
    shares = {"song.flac": 1, "artist/album/01 Öffnung.flac": 15, "mixture.wav": 8}
    found = [Found(Path("lib", name), Path(name).parent) for name in shares]
    assert {key: number for key in keys(found) for number in range(1, 17) if Shard(number, 16).holds(key)} == shares


def test_shards_are_of_about_one_size() -> None:
    songs = library(count=2_000)
    sizes = [len(own(songs, Shard(number, 10))) for number in range(1, 11)]
    assert min(sizes) > 150
    assert max(sizes) < 250


def test_songs_of_one_name_are_not_all_in_one_shard() -> None:
    """As where a shell names `*/mixture.wav`; wherever the folders lie."""
    for root in ("lib", "/mnt/lib"):
        songs = [Found(Path(root, f"{number}", "mixture.wav")) for number in range(100)]
        assert len(set(keys(songs))) == 100
        assert keys(songs)[7] == "7/mixture.wav"
    assert keys([Found(Path("a/x.wav")), Found(Path("b/y.wav"))]) == ["x.wav", "y.wav"]


def stored(number: int) -> Any:
    """A song at an address, as far as shards ask for it."""
    return SimpleNamespace(song=f"s3://b/{number}/mixture.wav")


def test_songs_of_one_name_at_addresses_go_by_these() -> None:
    """Not by the paths of files that are staged, which are others on each machine."""
    for staging in ("/tmp/here", "/scratch/there"):
        songs = [
            Found(Path(staging, f"{number}{len(staging)}", "mixture.wav"), elsewhere=stored(number))
            for number in range(9)
        ]
        assert keys(songs)[:2] == ["0/mixture.wav", "1/mixture.wav"]


@pytest.mark.parametrize("text", ["", "3", "x", "0/3", "4/3", "1/0", "-1/3", "1/3/3", "1.5/3", "1/9999999", "٣/16"])
def test_what_is_not_a_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="shard"):
        parsed(text)


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        (slurm(), "2/3"),
        (slurm(STEP=None, MAX=None, ID="3"), "1/3"),
        (slurm(MIN="0", ID="15", COUNT="16", STEP="1", MAX="15"), "16/16"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, "1/4"),
        ({"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "4", "SLURM_ARRAY_TASK_ID": ""}, "4/4"),
        ({"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "3", **slurm()}, "2/3"),
    ],
)
def test_schedulers_say_which_shard_it_is(variables: dict[str, str], shard: str) -> None:
    found, told = automatic(variables)
    assert str(found) == shard
    assert all(part.partition("=")[0] in variables for part in told.split(", "))


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "JOB_COMPLETION_INDEX"),
        (slurm(COUNT=None), "SLURM_ARRAY_TASK_COUNT is not set"),
        (slurm(ID="x"), "SLURM_ARRAY_TASK_ID is 'x'"),
        (slurm(ID="4"), "SLURM_ARRAY_TASK_ID=4"),
        (slurm(ID="9"), "SLURM_ARRAY_TASK_ID=9"),
        (slurm(MAX="9"), "evenly"),
        (slurm(STEP="0"), "evenly"),
        ({"JOB_COMPLETION_INDEX": "1"}, "JOB_COMPLETIONS is not set"),
        ({"JOB_COMPLETION_INDEX": "4", "JOB_COMPLETIONS": "4"}, "JOB_COMPLETION_INDEX=4"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "3", **slurm()}, "contradict"),
    ],
)
def test_variables_that_say_of_no_shard_are_named(variables: dict[str, str], named: str) -> None:
    """Rather than splitting all songs, or none, or those of another machine."""
    with pytest.raises(ValueError, match=named):
        automatic(variables)
