"""Defines the public functions: split a file, list the models, load a network.

The first call that needs PyTorch imports it.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsplit import registry as registries
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.registry import ModelEntry

if TYPE_CHECKING:
    from torch import nn

    from stemsplit.audio import Format
    from stemsplit.checkpoints.resolve import Model
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome

AnyPath = str | os.PathLike[str]


def list_models(registry: AnyPath | None = None) -> list[ModelEntry]:
    """Return all models, as `stemsplit list --json` has them: the package's, your own, and those of a file.

    Args:
        registry: file with more models, in the format of models.toml.

    Raises:
        RegistryError: a registry cannot be read.

    >>> from stemsplit import list_models
    >>> starter, *others = list_models()
    >>> starter.name, starter.stems, starter.sample_rate
    ('starter', ('drums', 'bass', 'other', 'vocals'), 44100)
    >>> [model.name for model in others if "vocals" in model.outputs and model.license == "MIT"]
    ['mel-roformer-vocals', 'mel-roformer-vocals-syhft-v3', 'mel-roformer-vocals-windowed']
    """
    return list(registries.entries(_path(registry)).values())


def load_network(
    name_or_path: "Model",
    config: AnyPath | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    registry: AnyPath | None = None,
) -> "nn.Module":
    """Return a model's network with its weights, downloaded once if they are not on this machine.

    The network takes mixtures (b, c, t) and gives estimates (b, n, c, t), float32, of a whole excerpt at once: b
    excerpts, c channels and t samples at the sample rate of the model's entry, n stems in the entry's order. It is on
    the CPU and in eval mode, and raises ValueError for anything but (b, c, t). For whole songs, at any rate, see
    `Separator`.

    Args:
        name_or_path: a name from the registry, the path of a checkpoint of your own, or an entry.
        config: the YAML file that the checkpoint was published with.
        settings: values that the checkpoint does not contain, such as {"stft_hop_length": 512}.
        registry: file with more models, in the format of models.toml.

    Raises:
        RegistryError: the model does not exist, or no network can be built from its config.
        WeightsError: the weights cannot be downloaded or read, or do not fit the network.
        ValueError: a setting contradicts the weights, or config or settings are given for a model of the registry.

    >>> import torch
    >>> from stemsplit import load_network
    >>> network = load_network("starter")
    >>> with torch.inference_mode():
    ...     network(torch.zeros(1, 2, 44_100)).shape
    torch.Size([1, 4, 2, 44100])
    """
    from stemsplit.checkpoints import loading
    from stemsplit.checkpoints.resolve import find
    from stemsplit.engine.arrays import check_mixtures

    network = loading.load_network(find(name_or_path, registry, config, settings))
    if remark := loading.remark_on(network):
        warnings.warn(remark, stacklevel=2)
    network.register_forward_pre_hook(check_mixtures)
    return network


def split(
    path: AnyPath,
    out: AnyPath = "stems",
    model: "Model | None" = None,
    *,
    ensemble: "str | Sequence[Model] | Mapping[str, float] | None" = None,
    combine: str | None = None,
    route: str | Sequence[str] | Mapping[str, str] | None = None,
    stems: str | Sequence[str] | None = None,
    format: str = "wav",  # noqa: A002  # the command line's word for it
    bit_depth: str | None = None,
    track: str | int = "",
    bitrate: str | int | None = None,
    then: Sequence[tuple[str, "Model"]] = (),
    estimates: str = "consistent",
    device: str = "auto",
    tta: bool = False,
    shifts: int | None = None,
    fit_memory: int | str | None = None,
    force: bool = False,
    config: AnyPath | None = None,
    settings: Mapping[str, Any] | None = None,
    registry: AnyPath | None = None,
    tell: Callable[[str], object] = warnings.warn,
) -> dict[str, Path]:
    """Split a song into files, as the command `stemsplit PATH -o OUT --model MODEL` does, byte for byte.

    A song that was already split, with the same model and options, is not split again; its files are returned.

    Args:
        path: file of the song, of any format that libsndfile or ffmpeg reads, with any sample rate and channels.
        out: output folder, in which the song gets a folder of its own; both are made if needed.
        model: a name from the registry, the path of a checkpoint of your own, an entry, or "auto": the recommended
            model for `stems`; a preset; or several models whose stems are combined: "a+b", "a:0.6+b:0.4". None for the
            built-in model.
        ensemble: several models instead: "a,b" or "a:0.6,b:0.4"; names, paths and entries; or name -> weight.
        combine: how several estimates of a stem become one: "mean", "median", "max-magnitude" or "min-magnitude"; None
            for their mean, or a preset's own way.
        route: the model of each stem instead: "vocals=a,rest=b", or {"vocals": "a", "rest": "b"}.
        stems: names of the stems to write, in a list or separated by commas; None for all.
        format: "wav", "flac", "aiff", "ogg", "opus", "mp3"; or "m4a" or "stem.mp4", which need ffmpeg. A "stem.mp4" is
            one file with the song and its drums, bass, other and vocals, for DJ programs.
        bit_depth: "16", "24" or "32f" (floating point); None for 32f in wav and 24 in flac and aiff. With 16 or 24, m4a
            and stem.mp4 are lossless (ALAC), without AAC.
        track: audio track of a video, or of another file that has several: its number from 1 on, its language or its
            title; empty for the default one.
        bitrate: kbit/s of ogg, opus, mp3, m4a or each track of stem.mp4, such as "192k" or 192, or a quality of mp3
            from "V0" to "V9"; None for 320 in mp3, about 270 in ogg, 192 in opus and 256 in m4a and stem.mp4.
        then: stems to split further, in order, each with the model that does it; see `Chain`.
        estimates: "consistent" for stems that add up to the song where the model's should, "raw" for those that its
            network gives, as they are.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        tta: whether to take the mean with the stems of the song with its polarity inverted and so on, which takes up to
            four times as long; see `Separator`.
        shifts: number of times to split the song, with chunks at other places, for the mean.
        fit_memory: largest memory for the networks' weights, in bytes or as "6G"; several models that do not fit take
            turns. None for no limit.
        force: whether to split the song again, and overwrite existing files.
        config: the YAML file that your own checkpoint was published with.
        settings: values that the checkpoint does not contain, such as {"stft_hop_length": 512}.
        registry: file with more models, in the format of models.toml.
        tell: called with a message that a user should see besides errors.

    Returns:
        Name of each stem -> its file, which has the song's sample rate, channels and length; but an opus has 48 kHz,
        and a stem.mp4 is stereo with at most 48 kHz. That one file is the file of "mixture", the song, too.

    Raises:
        AudioError: the song cannot be read, or its stems cannot be written.
        RegistryError: the model does not exist, or no network can be built from its config.
        WeightsError: the weights cannot be downloaded or read, or do not fit the network.
        DeviceError: the device does not exist, or ran out of memory.
        StemsplitError: the network gave NaN or infinity. All errors above are of this type too.
        ValueError: an argument makes no sense, such as a stem that the model does not give, or a folder for a song.

    >>> import stemsplit
    >>> written = stemsplit.split("song.wav", out="stems", stems="vocals,drums", format="flac")
    >>> {stem: path.as_posix() for stem, path in written.items()}
    {'drums': 'stems/song/drums.flac', 'vocals': 'stems/song/vocals.flac'}
    """
    from stemsplit.engine.choosing import chain_of
    from stemsplit.songs import plan, whole
    from stemsplit.words import bytes_in

    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; split its songs one by one")
    if model == registries.AUTO and registries.AUTO not in registries.entries(_path(registry)):
        if then:
            raise ValueError('model="auto" chooses by the stems asked for; with then, name the first model')
        model = _recommended("drums,bass,other,vocals" if format == "stem.mp4" else stems, registry, tell)
    chain = chain_of(
        model,
        ensemble=ensemble,
        combine=combine,
        route=route,
        then=then,
        estimates=estimates,
        tta=tta,
        shifts=shifts,
        config=config,
        settings=settings,
        registry=registry,
        tell=tell,
    )
    limit = None if fit_memory is None else bytes_in(str(fit_memory))
    job = _job(Path(path), Path(out), chain, stems, _format(format, bit_depth, bitrate), str(track), force)
    if job.problem:
        raise AudioError(job.problem)
    told = whole.remarks(job.format, job.options.outputs, chain.stems, chain.sums) if job.format.holds_all else []
    for text in (*told, *([f"{job.path}: {job.conversion}"] if job.conversion and not job.done else [])):
        tell(text)
    plan.check_room([job])
    outcome = _split(job, chain, tell, device=device, fit_memory=limit)
    if isinstance(outcome.cause, StemsplitError):
        raise outcome.cause
    if outcome.error or not outcome.record:
        raise AudioError(outcome.error) from outcome.cause
    return {name: target for name, target in job.targets.items() if outcome.record.stems[name]["file"] is not None}


def _path(registry: AnyPath | None) -> Path | None:
    return None if registry is None else Path(registry)


def _recommended(stems: str | Sequence[str] | None, registry: AnyPath | None, tell: Callable[[str], object]) -> str:
    """Return the name of the recommended model for these stems, and tell which it is, and why."""
    from stemsplit.registry.choosing import licence_in_words, recommended, size_in_words

    names = stems.split(",") if isinstance(stems, str) else stems or ()
    choice = recommended([name for name in names if name.strip().casefold() != "none"], _path(registry))
    facts = f"{size_in_words(choice.entry)}, {licence_in_words(choice.entry)}"
    tell(f"auto means {choice.entry.name} ({choice.why}): {facts}")
    return choice.entry.name


def _format(name: str, bit_depth: str | None, bitrate: str | int | None) -> "Format":
    """Return the format of the files; ValueError if there is none of this name, bit depth or bitrate."""
    from stemsplit.audio import Format, bitrates
    from stemsplit.choices import BitDepth, FormatName, format_meant

    if name not in list(FormatName):
        raise ValueError(f"format must be one of {', '.join(FormatName)}, not {name!r}{format_meant(str(name))}")
    if bit_depth is not None and bit_depth not in list(BitDepth):
        raise ValueError(f"bit_depth must be one of {', '.join(BitDepth)}, not {bit_depth!r}")
    return Format(name, bit_depth, None if bitrate is None else bitrates.parsed(str(bitrate)))


def _job(
    path: Path,
    out: Path,
    chain: "ChainEntry",
    stems: str | Sequence[str] | None,
    file_format: "Format",
    track: str,
    force: bool,
) -> "Job":
    """Return the job of a song.

    Raises:
        WeightsError: weights without a published digest cannot be downloaded.
        ValueError: the stems or the format make no sense.
    """
    from stemsplit.fetch import digests, download
    from stemsplit.songs import outputs, plan, whole
    from stemsplit.songs.found import Found
    from stemsplit.songs.job import Options
    from stemsplit.songs.naming import Template

    wanted = [name for name in stems.split(",") if name.strip()] if isinstance(stems, str) else stems
    if file_format.holds_all:
        whole.check_choices(file_format, stems=wanted)
        chosen = whole.whole_outputs(file_format, chain.stems, chain.sums, chain.adds_up)
    else:
        chosen = outputs.chosen(chain.stems, wanted, [], None, chain.sums)
    for entry in chain.entries:
        if not digests.identity(entry):
            # Without a digest, nobody knows which stems were made with these weights before.
            download.fetch(entry)
    options = Options(
        out=out,
        outputs=chosen,
        model=chain.identity(),
        earlier_models=chain.earlier_identities(),
        adds_up=chain.adds_up,
        format=file_format,
        track=track,
        force=force,
    )
    (job,) = plan.plan([Found(path)], options, Template("{track}/{stem}"), chain.short_name)
    return job


def _split(job: "Job", chain: "ChainEntry", tell: Callable[[str], object], **settings: Any) -> "Outcome":
    """Split one song, in this thread.

    Raises:
        WeightsError, RegistryError, DeviceError: a model cannot be loaded.
    """
    from stemsplit.engine.chain import load
    from stemsplit.fast.cpu.pool import torch_threads
    from stemsplit.songs import pipeline

    outcomes: list[Outcome] = []
    # As the command does: the network has threads of its own, and would wait for PyTorch's.
    with torch_threads(1):
        pipeline.run([job], partial(load, chain, tell=tell, **settings), lambda *_: None, outcomes.append, tell)
    return outcomes[0]
