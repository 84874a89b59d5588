"""The registry that ships: what every published checkpoint in it has to say, and what it must not."""

import gzip
import json
import re
from math import prod
from pathlib import Path

import pytest
import torch

from stemsplit import models, registry
from stemsplit.models import build
from stemsplit.registry import ModelEntry
from stemsplit.registry.choosing import choose
from stemsplit.registry.scores import score
from stemsplit.registry.wishes import Wish, wishes

PUBLISHED = {name: e for name, e in registry.read(registry.packaged_path()).items() if name != registry.DEFAULT_MODEL}
ROFORMERS = {name: entry for name, entry in PUBLISHED.items() if entry.architecture.endswith("roformer")}
SIZED = {name: entry for name, entry in PUBLISHED.items() if entry.size}

WITHOUT_DIGEST = {
    "mel-roformer-4stem-7.81",
    "mel-roformer-4stem-tiny",
    "mel-roformer-vocals-windowed",
    "fullsubnet-plus",
}
"""Nobody published one of these: whatever is got first is trusted. One more is a decision, to be made here."""

each = pytest.mark.parametrize("entry", PUBLISHED.values(), ids=PUBLISHED)
each_roformer = pytest.mark.parametrize("entry", ROFORMERS.values(), ids=ROFORMERS)


def test_there_are_at_least_thirty() -> None:
    assert len(PUBLISHED) >= 30


@each
def test_a_name_can_be_typed_anywhere(entry: ModelEntry) -> None:
    assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", entry.name)


@each
def test_a_description_fits_a_column(entry: ModelEntry) -> None:
    assert 0 < len(entry.description) <= 70
    assert not entry.description.endswith(".")


def test_the_two_plain_names_give_the_four_stems() -> None:
    for name in ("mel-roformer", "bs-roformer"):
        assert set(PUBLISHED[name].outputs) == {"vocals", "bass", "drums", "other"}


@each
def test_there_is_somewhere_to_get_it_from(entry: ModelEntry) -> None:
    assert entry.sources
    for source in entry.sources:
        assert re.fullmatch(r"hf://[\w.-]+/[\w.-]+(@[0-9a-f]{40})?(/[\w.-]+)+|https://[\w.-]+/\S+", source)


@each
def test_no_source_is_named_twice(entry: ModelEntry) -> None:
    assert len(set(entry.sources)) == len(entry.sources)


def test_no_file_is_listed_under_two_names() -> None:
    digests = [entry.sha256 or entry.git_sha1 for entry in PUBLISHED.values() if entry.name not in WITHOUT_DIGEST]
    assert len(set(digests)) == len(digests)


def test_every_file_is_known_by_its_digest_but_for_these() -> None:
    assert {name for name, e in PUBLISHED.items() if not e.sha256 and not e.git_sha1} == WITHOUT_DIGEST


@each
def test_weights_of_disputed_origin_are_not_here(entry: ModelEntry) -> None:
    told = " ".join((entry.name, entry.page, *entry.sources)).lower()
    assert not re.search(r"rof(ormer|o)?-sw|sw-fixed|gilliaa", told)


@each
def test_who_made_it_and_on_what_terms_is_said(entry: ModelEntry) -> None:
    assert entry.author
    assert entry.page.startswith("https://")
    assert entry.license or entry.license_note


@each
def test_stems_are_as_many_as_the_network_gives(entry: ModelEntry) -> None:
    models.check(entry.architecture, entry.config, outputs=len(entry.stems), channels=entry.channels)


@each
def test_a_single_stem_leaves_a_named_residual(entry: ModelEntry) -> None:
    assert entry.residual or len(entry.stems) > 1


@each
def test_nothing_is_left_of_a_mixture_by_stems_that_make_it_up(entry: ModelEntry) -> None:
    assert not (entry.mixture_consistency and entry.residual)


@each_roformer
def test_channels_are_those_of_the_network(entry: ModelEntry) -> None:
    assert entry.channels == (2 if entry.config["stereo"] else 1)


@each_roformer
def test_the_mel_bands_are_made_for_the_rate(entry: ModelEntry) -> None:
    assert entry.config.get("sample_rate", entry.sample_rate) == entry.sample_rate


@each_roformer
def test_what_differs_between_checkpoints_is_written_out(entry: ModelEntry) -> None:
    """A default that changes some day must not change a network that is published already."""
    written = {"dim", "depth", "num_stems", "stereo", "time_transformer_depth", "freq_transformer_depth", "dim_head"}
    written |= {"heads", "stft_n_fft", "stft_hop_length", "stft_win_length"}
    assert entry.config.keys() >= written | {"mask_estimator_depth", "mlp_expansion_factor"}


@each
def test_figures_say_what_they_measure_and_on_what(entry: ModelEntry) -> None:
    if entry.score:
        assert entry.score["measure"]
        assert entry.score["test_set"]
        assert entry.score.keys() - {"measure", "test_set"} <= {*entry.outputs, "mean"}


RECOMMENDED = {name: entry for name, entry in PUBLISHED.items() if entry.recommended}


def test_a_few_models_are_recommended_and_one_at_once() -> None:
    assert 5 <= len(RECOMMENDED) <= 15
    assert registry.find(registry.DEFAULT_MODEL).recommended


@pytest.mark.parametrize("entry", RECOMMENDED.values(), ids=RECOMMENDED)
def test_what_recommends_a_model_fits_beside_it_and_holds(entry: ModelEntry) -> None:
    assert len(entry.recommended) <= 40
    if "highest" in entry.recommended:
        ours = score(entry)
        assert ours is not None
        others = [score(other) for other in PUBLISHED.values() if other.outputs == entry.outputs]
        assert ours[1] == max(other[1] for other in others if other and other[0] == ours[0])


@each
def test_every_chunk_touches_the_next(entry: ModelEntry) -> None:
    assert 0 < entry.hop <= entry.chunk


def unsaid(entry: ModelEntry) -> dict[str, object]:
    """What only an entry's weights say, made up: 90 bands have as many numbers whatever their widths are."""
    assert set(entry.from_weights) <= {"freqs_per_bands"}
    return {"freqs_per_bands": [11] * 89 + [46]} if entry.from_weights else {}


@pytest.mark.parametrize("entry", SIZED.values(), ids=SIZED)
def test_a_network_has_as_many_numbers_as_the_published_file(entry: ModelEntry) -> None:
    """In single or in half precision, and a few hundred bytes more a tensor for the container around it."""
    with torch.device("meta"):
        tensors = build(entry.architecture, {**entry.config, **unsaid(entry)}).state_dict().values()
    # What layers share counts once a key; whether the file holds it so or once is a few bytes a tensor.
    numbers = sum(tensor.numel() * (2 if tensor.is_complex() else 1) for tensor in tensors)
    overheads = [(entry.size - width * numbers) / len(tensors) for width in (2, 4)]
    assert any(300 <= overhead <= 600 for overhead in overheads)


@each
def test_digest_and_size_are_the_facts(entry: ModelEntry, shared: Path) -> None:
    facts = shared / "facts"
    newer = (facts / "variants.md").read_text(encoding="utf-8")
    listed = {file["sha256"]: file["size"] for file in json.loads((facts / "checkpoints.json").read_bytes())}
    prose = (facts / "checkpoints.md").read_text(encoding="utf-8") + newer
    assert entry.sha256 in prose
    assert entry.git_sha1 in prose
    if entry.sha256 in listed:
        assert entry.size == (listed[entry.sha256] or 0)
    elif entry.size:
        lines = [line.replace(",", "") for line in prose.splitlines() if entry.sha256 in line]
        assert any(str(entry.size) in line for line in lines)


KEY_LISTS = {
    "mel_kim_vocals": "mel-roformer-vocals",
    "mel_viperx_ep3005": "mel-roformer-vocals-viperx",
    "bs_viperx_ep317": "bs-roformer-vocals-viperx",
    "bs_viperx_ep937": "bs-roformer-no-drum-bass",
    "bs_zfturbo_4stem_384_8_2": "bs-roformer",
    "sudo_groupcomm_u8_b512_wsj0": "sudormrf-2speakers-small",
    "sudo_improved_u16_b512_wsj0": "sudormrf-2speakers",
    "sudo_improved_u36_b2048_wsj0": "sudormrf-2speakers-large",
    "sudo_improved_u16_b2048_whamr": "sudormrf-2speakers-noisy",
    "sudo_improved_u36_b4096_whamr": "sudormrf-2speakers-noisy-large",
    "fsnplus_real": "fullsubnet-plus",
    "bs_leap": "bs-roformer-vocals-leap",
    "bs_large_inst_v2": "bs-roformer-instrumental-large-v2",
    "bs_hyperace1": "bs-roformer-instrumental-hyperace-v1",
    "bs_hyperace2": "bs-roformer-vocals-hyperace-v2",
    "bs_fno": "bs-roformer-instrumental-fno",
    "bs_value_residual": "bs-roformer-instrumental-value-residual",
    "bs_polarformer": "bs-roformer-vocals-polarformer",
    "mel_windowed_sink8": "mel-roformer-vocals-windowed",
}
"""Recorded list of a published checkpoint's keys and shapes -> its entry."""


@pytest.mark.parametrize("listing", KEY_LISTS)
def test_the_network_has_the_published_keys_and_shapes(shared: Path, listing: str) -> None:
    entry = PUBLISHED[KEY_LISTS[listing]]
    with torch.device("meta"):
        network = build(entry.architecture, entry.config)
    published = json.loads(gzip.decompress((shared / "golden" / f"keys_{listing}.json.gz").read_bytes()))["tensors"]
    found = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert found == {key: tensor["shape"] for key, tensor in published.items()}


@pytest.mark.parametrize("name", ["bs-roformer-vocals-leap-xe", "bs-roformer-instrumental-leap-xe"])
def test_a_network_of_unknown_bands_has_the_published_keys(shared: Path, name: str) -> None:
    entry = PUBLISHED[name]
    listing = shared / "golden" / "keys_bs_leap_xe_90bands_widths_unknown.json.gz"
    published = json.loads(gzip.decompress(listing.read_bytes()))["tensors"]
    with torch.device("meta"):
        found = build(entry.architecture, {**entry.config, **unsaid(entry)}).state_dict()
    assert found.keys() == published.keys()
    assert sum(value.numel() for value in found.values()) == sum(prod(value["shape"]) for value in published.values())


WISHES = wishes()


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
def test_every_wish_has_a_recommended_model_with_a_known_file(wish: Wish) -> None:
    choice = choose(wish.stems, registry.entries(), WISHES)
    assert choice
    assert choice.entry.sha256 or choice.entry.git_sha1
    assert wish.model or choice.scale
    assert not wish.test_set or (choice.scale and choice.scale[2] == wish.test_set)


def test_what_is_recommended_for_a_wish_says_why_beside_its_name() -> None:
    """So one opinion is held in one place, and not another one in another."""
    models = registry.entries()
    choices = [choose(wish.stems, models, WISHES) for wish in WISHES.values()]
    shown = {entry.name for choice in choices if choice for entry in (choice.entry, *choice.instead.values())}
    assert all(models[name].recommended for name in shown)


@each
def test_how_much_work_a_model_is_is_known(entry: ModelEntry) -> None:
    assert entry.cost > 0
