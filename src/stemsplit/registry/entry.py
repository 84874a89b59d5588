"""Defines a registry entry: everything about a published model that can be written down."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stemsplit.choices import Estimates, WindowName

SCHEMES = ("package:", "file:", "hf://", "https://", "http://")
"""Where weights can come from: `package:FILE` of this package, `file:PATH` beside the registry that names it,
`hf://OWNER/REPO@REVISION/FILE` on the Hugging Face Hub (without @REVISION: its main branch), or a web address.
"""

MOST_SHIFTS = 64
"""Largest number of shifted passes over a song; each takes as long as the first."""

SHOWN = 200
"""Characters of a value that are shown in a message."""


def margin(chunk: int) -> int:
    """Return how far chunks of a length reach over a song's ends, in samples, where they are joined by `hann`."""
    return chunk // 12


def redacted(source: str) -> str:
    """Return a source as it may be shown: anything that may be a password or a token is replaced by `***`.

    That is the text before an @ in front of the host, and the text after a question mark or #.
    """
    if source.startswith(("package:", "file:")):
        return source[:SHOWN]
    scheme, slashes, rest = source.partition("://")
    if "@" in (scheme if slashes else source):
        return "***"
    address = re.split("[?#]", rest if slashes else source, maxsplit=1)[0]
    hidden = "?***" if len(address) < len(rest if slashes else source) else ""
    if not slashes:
        return address[:SHOWN] + hidden
    authority, slash, path = address.partition("/")
    _, at, host = authority.rpartition("@")
    # A password with a / or ? in it looks like a port at its beginning, and like a path at its end.
    if not re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host) or (":" in host and "@" in rest[len(authority) :]):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{host}{slash}{path}"[:SHOWN] + hidden


@dataclass(frozen=True)
class ModelEntry:
    """One table of models.toml.

    Args:
        name: name that a user types.
        description: one line on what the model is for.
        architecture: key of `stemsplit.models.ARCHITECTURES`.
        config: hyperparameters of the network.
        stems: names of the network's outputs, in its order.
        sample_rate: sample rate in Hz that the network was trained at.
        channels: channels that the network takes together.
        chunk: samples given to the network at once.
        hop: samples between two chunks' starts.
        sources: places to get the weights from, in order of preference, each of one of the `SCHEMES`.
        author: person or group who trained the model.
        sha256: digest of the weights; empty if none was published. The first download's is then pinned on this machine.
        git_sha1: digest of the weights as a git blob, if that is the published one.
        size: bytes of the weights; 0 if unknown.
        license: SPDX name of the weights' licence; empty if their author states none.
        license_note: note on a licence that is not stated, or was changed.
        license_url: address of the licence.
        page: address of the page where the checkpoint is published.
        window: how overlapping estimates are joined, one of `WindowName`.
        mixture_consistency: whether its stems should add up to the mixture; the remainder is then divided evenly among
            them.
        residual: name of the stem "mixture minus all estimates"; empty if there is none.
        training_data: data that the model was trained on.
        score: published scores, and how they were measured.
        part: where the network lies in a file that holds several, such as "ema"; empty for the likeliest.
        recommended: one line on why a user should try it before others of its stems; empty for most.
        tta: whether each chunk is also estimated transformed (test-time augmentation, see `augmentations`), and the
            mean of all estimates taken.
        shifts: number of passes over a song, each with its chunks at other places, of which the mean is taken.
        from_weights: hyperparameters that the config leaves out because only the file of the weights says them.
        cost: billions of floating-point operations for a second of audio, without overlaps; 0 if unknown.
        shortest: samples that the network needs at least, so that a short song, and the end of any, costs less; 0 for
            whole chunks, where nobody measured how short they may be.
        longest: samples of the longest song that is best given to the network as one chunk; 0 for the chunk's.
        bfloat16: whether its stems are as good in bfloat16, and computed in it on CPUs with instructions for it.
        earlier_chunks: chunks that the model had in earlier versions; stems made with them need not be made again.
        earlier_hops: hop of each of these versions.
    """

    name: str
    description: str
    architecture: str
    config: Mapping[str, Any]
    stems: tuple[str, ...]
    sample_rate: int
    channels: int
    chunk: int
    hop: int
    sources: tuple[str, ...]
    author: str
    sha256: str = ""
    git_sha1: str = ""
    size: int = 0
    license: str = ""
    license_note: str = ""
    license_url: str = ""
    page: str = ""
    window: str = "hann"
    mixture_consistency: bool = False
    residual: str = ""
    training_data: str = ""
    score: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    recommended: str = ""
    tta: bool = False
    shifts: int = 1
    from_weights: tuple[str, ...] = ()
    cost: float = 0.0
    shortest: int = 0
    longest: int = 0
    bfloat16: bool = False
    earlier_chunks: tuple[int, ...] = ()
    earlier_hops: tuple[int, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all stems that can be written."""
        return (*self.stems, self.residual) if self.residual else self.stems

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the mixture."""
        return self.mixture_consistency or bool(self.residual)

    @property
    def work(self) -> float:
        """Billions of floating-point operations for a second of a song, with overlaps; 0 if unknown."""
        return self.cost * self.chunk / self.hop

    @property
    def ends(self) -> tuple[int, int]:
        """Samples that a chunk at a song's ends has at least, and those of the longest song that is one chunk."""
        return min(self.shortest or self.chunk, self.chunk), max(self.longest, self.chunk)

    @property
    def augmentations(self) -> tuple[str, ...]:
        """How chunks are transformed for more estimates of them: their polarity, their channels' order, mid and side.

        A network that takes single channels does not notice that two were swapped. One that itself turns them into mid
        and side would be given left and right in their place, which it was not trained on.
        """
        if not self.tta:
            return ()
        members = self.config.get("members", ())
        turns = any(isinstance(member, Mapping) and member.get("mid_side") for member in members)
        return ("polarity", *(() if self.channels == 1 else ("swap",)), *(() if turns else ("mid_side",)))

    def with_chunks(
        self, chunk_seconds: float | None = None, overlap: float | None = None, window: str | None = None
    ) -> "ModelEntry":
        """Return the entry with other chunks.

        Args:
            chunk_seconds: length of a chunk; None for the entry's own.
            overlap: share of a chunk that the next one covers too, at least 0 and below 1; None for the entry's own.
            window: how overlapping estimates are joined, one of `WindowName`; None for the entry's own.

        Raises:
            ValueError: an impossible chunk or overlap.
        """
        if chunk_seconds is not None and not 1 <= chunk_seconds * self.sample_rate < math.inf:
            raise ValueError(f"chunk_seconds must be positive and finite, not {chunk_seconds}")
        chunk = self.chunk if chunk_seconds is None else round(chunk_seconds * self.sample_rate)
        longest = self.longest if chunk_seconds is None else 0
        share = 1 - self.hop / self.chunk if overlap is None else overlap
        if not 0 <= share < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, not {overlap}")
        changed = replace(self, chunk=chunk, hop=max(round(chunk * (1 - share)), 1), window=window or self.window)
        changed = replace(changed, longest=longest)
        earlier = [self._chunks_before(version, chunk_seconds, overlap) for version in range(len(self.earlier_chunks))]
        return replace(
            changed, earlier_chunks=tuple(each[0] for each in earlier), earlier_hops=tuple(each[1] for each in earlier)
        )

    def _chunks_before(self, version: int, chunk_seconds: float | None, overlap: float | None) -> tuple[int, int]:
        """Return the chunk and the hop that an earlier version had with the same choices."""
        before = self.as_earlier(version).with_chunks(chunk_seconds, overlap)
        return before.chunk, before.hop

    def as_earlier(self, version: int) -> "ModelEntry":
        """Return the entry as it was in an earlier version, by its place in `earlier_hops`; as it is if it was not."""
        if version >= len(self.earlier_hops):
            return self
        chunk, hop = self.earlier_chunks[version], self.earlier_hops[version]
        # Then, all chunks were whole.
        return replace(self, chunk=chunk, hop=hop, shortest=0, longest=0, earlier_chunks=(), earlier_hops=())

    def with_passes(self, tta: bool | None = None, shifts: int | None = None) -> "ModelEntry":
        """Return the entry with other passes over a song; see `ModelEntry` for both. None keeps the entry's own.

        Raises:
            ValueError: `shifts` is not a whole number from 1 to `MOST_SHIFTS`.
        """
        count = self.shifts if shifts is None else shifts
        if type(count) is not int or not 1 <= count <= MOST_SHIFTS:
            raise ValueError(f"shifts must be from 1 to {MOST_SHIFTS}, not {count!r}")
        return replace(self, tta=self.tta if tta is None else tta, shifts=count)

    def with_estimates(self, estimates: str = Estimates.consistent) -> "ModelEntry":
        """Return the entry with another choice of what becomes of the network's estimates. A residual stays one.

        Args:
            estimates: one of `Estimates`; `consistent` changes nothing.

        Raises:
            ValueError: there is no such choice.
        """
        if Estimates(estimates) == Estimates.consistent or self.residual:
            return self
        return replace(self, mixture_consistency=False)

    def chunks_in(self, seconds: float, channels: int = 2) -> float:
        """Return how many chunks' work the network has with a song, with what reaches over its ends.

        Args:
            seconds: length of the song.
            channels: number of channels of the song; the network takes its own number of them at once.
        """
        length, overlap = math.ceil(round(seconds * self.sample_rate, 3)), self.chunk - self.hop
        if self.window == WindowName.hann:
            chunks = self._closely(length)
        else:
            if self.window == WindowName.mean:
                length -= overlap
            elif length > 2 * overlap:
                length += overlap
            chunks = max(math.ceil(length / self.hop), 1)
        return chunks * max(math.ceil(channels / self.channels), 1) * self.shifts * (1 + len(self.augmentations))

    def _closely(self, length: int) -> float:
        """Return how many chunks' work as few chunks as cover a song are; see `stemsplit.engine.cutting`."""
        padded = length + 2 * margin(self.chunk)
        least, most = self.ends
        if length <= most:
            return min(max(padded, most if least == self.chunk < length else least), most) / self.chunk
        # All but the last two, which share what is left.
        whole = math.ceil((padded - self.chunk) / self.hop) - 1
        rest = padded - whole * self.hop
        return whole + 2 * max((rest + self.chunk - self.hop + 1) // 2, least) / self.chunk

    def identity(self, digest: str, precision: str = "auto") -> dict[str, Any]:
        """Return everything that decides what the model makes of a song.

        Args:
            digest: digest of the weights.
            precision: precision that the user chose. "auto" is left out, because its meaning depends on the device.
        """
        names = ("architecture", "config", "stems", "sample_rate", "channels", "chunk", "hop", "window")
        # Records call it complete: stems that were split before it had its present name must not be split again.
        sums = {"complete": self.mixture_consistency, "residual": self.residual}
        chosen: dict[str, Any] = {} if precision == "auto" else {"precision": precision}
        chosen |= {"part": self.part} if self.part else {}
        chosen |= {"tta": True} if self.tta else {}
        chosen |= {"shifts": self.shifts} if self.shifts > 1 else {}
        if self.window == WindowName.hann:  # the others have whole chunks
            ends = dict(zip(("shortest", "longest"), self.ends, strict=True))
            chosen |= {key: length for key, length in ends.items() if length != self.chunk}
        return {"name": self.name, "weights": digest, **{name: getattr(self, name) for name in names}, **sums, **chosen}

    @property
    def license_notice(self) -> str:
        """What to know before publishing or selling what this model made; empty for a free licence."""
        if not self.license:
            note = f" ({self.license_note})" if self.license_note else ""
            return f"the author of {self.name} states no licence for its weights{note}: no use is expressly allowed"
        if "NC" in self.license.split("-"):
            return f"the weights of {self.name} are under {self.license}: not for commercial use"
        return ""
