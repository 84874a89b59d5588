"""How the files of a song are named."""

from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemsplit.songs.naming import DEFAULT, Template, folded, track_of

NAMES = {"track": "song", "model": "starter", "parent": "album", "ext": "flac", "artist": "Band", "title": "Tune"}

# Anything that a tag or a file's name may hold, and the characters that are most likely to do harm.
value = st.text(st.characters(exclude_categories=())) | st.text("./\\ \0\n~aé\udcff日𝄞", max_size=400)
template = st.lists(
    st.lists(
        st.sampled_from(
            ["{track}", "{model}", "{parent}", "{ext}", "{artist}", "{title}", "{{", "}}", " - ", ".", "é"]
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=3,
).map(lambda parts: "/".join(["x" + "".join(part) for part in parts] + ["{track}{stem}"]))
values = st.fixed_dictionaries({**dict.fromkeys(NAMES, value), "artist": st.none() | value, "title": st.none() | value})


def path(text: str, stem: str = "vocals", **changes: str | None) -> str:
    return Template(text).path(stem=stem, **{**NAMES, **changes}).as_posix()  # type: ignore[arg-type]


def record_path(text: str) -> str:
    return Template(text).of_song(**NAMES).record


def test_the_default_is_a_folder_for_each_song() -> None:
    assert (path(DEFAULT), record_path(DEFAULT), Template()) == (
        "song/vocals",
        "song/stemsplit.json",
        Template(DEFAULT),
    )


def test_every_field_is_filled_in() -> None:
    text = "{parent}/{artist} - {title} [{model}]/{track}.{ext} ({stem})"
    assert path(text) == "album/Band - Tune [starter]/song.flac (vocals)"


def test_literal_text_stays_unchanged() -> None:
    assert path("./a b//.{{x}}/{stem}.wav") == "a b/.{x}/vocals.wav"


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("{stem}/{track}", "stemsplit/song.json"),
        ("{track} {stem}", "song stemsplit.json"),
        ("{stem}.wav", "stemsplit.wav.json"),
    ],
)
def test_the_record_is_named_like_a_stem(text: str, record: str) -> None:
    assert record_path(text) == record


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "gives the file no name"),
        ("{stem}/", "gives the file no name"),
        ("{track}", "no {stem}"),
        ("{{stem}}", "no {stem}"),
        ("{tracks}/{stem}", "did you mean '{track}'"),
        ("{ARTIST}/{stem}", "did you mean '{artist}'"),
        ("{year}/{stem}", "use {track}, {stem}"),
        ("{}/{stem}", "{} is not a field"),
        ("{0}/{stem}", "{0} is not a field"),
        ("{track.stem}/{stem}", "did you mean"),
        ("{track[0]}/{stem}", "did you mean"),
        ("{track:>9}/{stem}", "without : or !"),
        ("{track!r}/{stem}", "without : or !"),
        ("{track:{stem}}", "without : or !"),
        ("{track/{stem}", "braces"),
        ("{track}}/{stem}", "braces"),
        ("{track!}/{stem}", "braces"),
        ("{stem}{", "braces"),
        ("/tmp/{stem}", "leads out of the output folder"),
        ("../{stem}", "leads out of the output folder"),
        ("a/../../{stem}", "leads out of the output folder"),
        ("{stem}/..", "leads out of the output folder"),
        (".../{stem}", "leads out of the output folder"),
        ("{track}\\{stem}", "with /"),
        ("{stem}\0", "character"),
        ("x" * 240 + "{stem}", "too long"),
    ],
)
def test_a_template_that_cannot_name_stems_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("{", r"\{").replace("[", r"\[")):
        Template(text)


def test_tags_are_needed_only_if_the_template_names_them() -> None:
    needs = [Template(text).needs_tags for text in ("{artist}/{stem}", "{stem} {title}", DEFAULT, "{{title}}{stem}")]
    assert needs == [True, True, False, False]


@pytest.mark.parametrize("missing", [None, "", " \t"])
def test_missing_tags_have_a_default(missing: str | None) -> None:
    assert path("{artist}/{title}/{stem}", artist=missing, title=missing) == "unknown artist/song/vocals"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("AC/DC", "AC_DC"),
        ("a\\b\0c\nd\x7fe", "a_b_c_d_e"),
        ("...And Justice", "_..And Justice"),
        ("R.E.M. ", "R.E.M"),
        (".", "_"),
        ("..", "_"),
        ("../..", "_._"),
        ('What? <"*|:>', 'What? <"*|:>'),
        ("\udcff", "\udcff"),
        ("\ud800", "_"),
    ],
)
def test_values_are_made_safe(title: str, name: str) -> None:
    assert path("{title}/{stem}", title=title) == f"{name}/vocals"


def test_an_empty_name_becomes_an_underscore() -> None:
    assert path("{parent}/{track}.{ext}/{stem}", parent="", ext="") == "_/song/vocals"


def test_a_long_name_is_cut_alike_for_all_stems_and_between_characters() -> None:
    names = [
        path("{artist} - {track} - {stem}", stem=stem, track="é" * 200, artist="A" * 20) for stem in ("b", "vocals")
    ]
    shared = {name.rpartition(" - ")[0] for name in names}
    assert len(shared) == 1
    assert shared.pop().strip("é") == "A" * 20 + " - "
    assert [name.rpartition(" - ")[2] for name in names] == ["b", "vocals"]


def test_a_name_that_fits_is_never_cut() -> None:
    """The longest name of a song that a file system allows is also a folder's name."""
    assert path(DEFAULT, track="x" * 247) == "x" * 247 + "/vocals"


@given(template, values)
def test_a_path_never_leaves_its_folder(text: str, values: dict[str, str | None]) -> None:
    below = Template(text).path(stem="vocals", **values)  # type: ignore[arg-type]
    record = Path(Template(text).of_song(**values).record)  # type: ignore[arg-type]
    for whole in (below.with_name(below.name + ".flac"), record):
        assert not whole.is_absolute()
        assert len(whole.parts) == text.count("/") + 1
        assert not {"", ".", ".."} & set(whole.parts)
        assert max(len(part.encode("utf-8", "surrogateescape")) for part in whole.parts) <= 255
        assert not any(character < " " for part in whole.parts for character in part)


@given(values, st.sampled_from([DEFAULT, "{track} - {stem}", "{stem}{title}", "{artist}{stem}/{track}"]))
def test_stems_never_share_a_file(values: dict[str, str | None], text: str) -> None:
    names = {Template(text).path(stem=stem, **values) for stem in ("bass", "drums", "lead vocals")}  # type: ignore[arg-type]
    assert len(names) == 3


@pytest.mark.parametrize(
    ("song", "track"),
    [
        ("a/song.wav", "song"),
        ("1. song.live.flac", "1. song.live"),
        ("song", "song"),
        (".wav", ".wav"),
        ("...mp3", "...mp3"),
        (". .mp3", ". .mp3"),
    ],
)
def test_a_track_is_named_after_its_file(song: str, track: str) -> None:
    assert track_of(Path(song)) == track
    assert PurePath(path(DEFAULT, track=track)).parts[1:] == ("vocals",)


RESERVED = ["CON", "con", "Prn", "AUX", "NUL", "COM1", "lpt9", "COM\u00b9", "CONOUT$", "con .x", "nul.tar.gz"]


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_windows_reserves_are_changed_on_every_system(name: str) -> None:
    """With any suffix, for folders and files, in values and in the template itself."""
    assert path(DEFAULT, track=name) == f"_{name}/vocals"
    assert path("{track}/{stem}", stem=name) == f"song/_{name}"
    assert path(f"{name}/{{stem}}") == f"_{name}/vocals"


@pytest.mark.parametrize("name", ["CONE", "COM", "COM10", "LPT", "my CON", "AUXILIARY", "nul_", "c.on"])
def test_names_that_only_look_reserved_are_kept(name: str) -> None:
    assert path(DEFAULT, track=name) == f"{name}/vocals"


@pytest.mark.parametrize(
    ("name", "altered"),
    [("song", False), ("so.ng", False), ("a/b", True), ("x.", True), ("CON", True), ("y" * 300, True)],
)
def test_a_changed_name_can_be_recognised(name: str, altered: bool) -> None:
    names = Template().of_song(**{**NAMES, "track": name})
    assert (names.path("vocals") != names.meant("vocals")) == altered


def test_names_that_are_equal_on_some_file_system_are_folded_alike() -> None:
    one = {folded(text) for text in ("out/\u00c9t\u00e9", "OUT/E\u0301te\u0301", "out/e\u0301T\u00c9")}
    assert len(one) == 1
    assert folded("out/a") != folded("out/b")
