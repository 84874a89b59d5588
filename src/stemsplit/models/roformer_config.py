"""Defines the hyperparameters of the RoFormers, and what makes a published variant of them."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from stemsplit.models.keys import Shapes
from stemsplit.models.network import Network

IGNORED = frozenset(
    {
        "attn_dropout",
        "dim_freqs_in",
        "ff_dropout",
        "flash_attn",
        "match_input_audio_length",  # the stems are always as long as the mixture
        "multi_stft_hop_size",
        "multi_stft_normalized",
        "multi_stft_resolution_loss_weight",
        "multi_stft_resolutions_window_sizes",
        "sage_attention",
        "use_torch_checkpoint",
        # Other programs' switches for variants; the weights themselves show the variant.
        "backbone_variant",
        "mask_estimator_variant",
        "n_wsa_sinks",
        "use_flex_attention",
        "use_shared_bias",
        "use_value_residual_learning",
        "window_size",
    }
)
"""Published keywords without effect on inference."""


MAX_LAYERS = 1_000
"""Largest allowed depth or number of stems; building a network with more would take too long."""

MAX_CHANNELS = 10_000
"""Largest allowed number of channels of an image network's level."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Hyperparameters of both RoFormers, under the names of the published configs.

    Args:
        dim: features of a token.
        depth: number of blocks, each with a time and a frequency transformer.
        stereo: whether channels are processed in pairs; otherwise each is processed separately.
        num_stems: number of estimates.
        time_transformer_depth: number of layers along time in a block.
        freq_transformer_depth: number of layers across bands in a block.
        linear_transformer_depth: number of layers of linear attention over all tokens at the start of a block.
        dim_head: features of an attention head.
        heads: number of attention heads.
        stft_n_fft: STFT size, in samples.
        stft_hop_length: samples between frames.
        stft_win_length: length of the periodic Hann window, in samples.
        stft_normalized: whether to scale the spectrogram by 1 / sqrt(stft_n_fft).
        mask_estimator_depth: number of layers of a mask's network, as each architecture's published code counts them.
        mlp_expansion_factor: width of a mask's hidden layers, in multiples of dim.
        skip_connection: whether to add the outputs of all earlier blocks to a block's input.
        use_pope: whether to use polar instead of rotary positions.
        zero_dc: whether to silence the estimates' DC bin.
        variant: name of a published variant, one of those in `roformer_variants`; empty for the plain network. What
            follows matters only for the variant that its name, or this text, says.
        refiner_depth: large_inst_v2: number of pairs of a time and a frequency transformer in each mask's network.
        refiner_heads: large_inst_v2: number of attention heads there.
        refiner_dim_head: large_inst_v2: features of an attention head there.
        hyperace_channels: channels of the stem and of the four levels of the image network.
        hyperace_depth: number of bottlenecks in its first and last level; those between have twice as many.
        hyperace_hyperedges: number of hyperedges; 0 for the published number, 32, or 16 in version 1.
        hyperace_num_heads: number of heads that hyperedges are found with.
        n_modes: fno: number of Fourier modes along time, of which the first n_modes // 2 + 1 are stored.
        fno_layers: fno: number of blocks.
        wsa_window_len: windowed: frames that a frame attends to, half of them (rounded down) on each side.
        num_sink_tokens: windowed: number of learned frames before the first, which attend to all and are seen by all.

    Raises:
        ValueError: a value that no network can be built from.
    """

    dim: int
    depth: int
    stereo: bool = False
    num_stems: int = 1
    time_transformer_depth: int = 2
    freq_transformer_depth: int = 2
    linear_transformer_depth: int = 0
    dim_head: int = 64
    heads: int = 8
    stft_n_fft: int = 2048
    stft_hop_length: int = 512
    stft_win_length: int = 2048
    stft_normalized: bool = False
    mask_estimator_depth: int = 2
    mlp_expansion_factor: int = 4
    skip_connection: bool = False
    use_pope: bool = False
    zero_dc: bool = True
    variant: str = ""
    refiner_depth: int = 4
    refiner_heads: int = 8
    refiner_dim_head: int = 64
    hyperace_channels: tuple[int, ...] = (64, 256, 384, 512, 768)
    hyperace_depth: int = 2
    hyperace_hyperedges: int = 0
    hyperace_num_heads: int = 8
    n_modes: int = 64
    fno_layers: int = 3
    wsa_window_len: int = 10
    num_sink_tokens: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name in ("linear_transformer_depth", "hyperace_hyperedges") else 1
            if isinstance(value, int) and value < least and not isinstance(value, bool):
                raise ValueError(f"{name} must be at least {least}, not {value}")
        for name, value in vars(self).items():
            if (name.endswith(("depth", "layers")) or name == "num_stems") and value > MAX_LAYERS:
                raise ValueError(f"{name} must be at most {MAX_LAYERS}, not {value}")
        for name in ("dim_head", "refiner_dim_head"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} must be even, not {getattr(self, name)}")
        channels = self.hyperace_channels
        if not isinstance(channels, list | tuple) or not all(
            type(c) is int and 0 < c <= MAX_CHANNELS for c in channels
        ):
            raise ValueError(f"hyperace_channels must be whole numbers from 1 to {MAX_CHANNELS}, not {channels!r}")
        if not 2 * self.stft_hop_length <= self.stft_win_length <= self.stft_n_fft:
            raise ValueError(
                f"stft_win_length must be at least twice stft_hop_length and at most stft_n_fft {self.stft_n_fft}, "
                f"not {self.stft_win_length} with hop {self.stft_hop_length}"
            )

    @property
    def outputs(self) -> int:
        """Number of estimates."""
        return self.num_stems

    @property
    def channels(self) -> int:
        """Number of channels taken at once."""
        return 2 if self.stereo else 1

    @property
    def band_count(self) -> int:
        """Number of bands."""
        raise NotImplementedError  # each architecture says it

    @property
    def bins(self) -> int:
        """Number of STFT bins."""
        return self.stft_n_fft // 2 + 1


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A published variant of a RoFormer: how a file shows it, and how its network is built.

    Args:
        name: value of the hyperparameter `variant`.
        title: what distinguishes it, for messages; it follows "a RoFormer with".
        architecture: the only architecture of which such checkpoints were published; empty for both.
        mark: pattern of keys that the plain network does not have.
        needs: pattern of keys of which it has some too; empty if the mark is enough.
        unless: pattern of keys of which it has none; empty if the mark is enough.
        network: the network, called as `RoFormer` is.
        own: hyperparameters that only it has.
        adapt: returns a checkpoint's tensors with those of this variant as the network has them; None to leave them as
            they are. It is called for every checkpoint. ValueError means that they contradict each other.
        infer: returns those of its own hyperparameters that shapes determine; None if it has none. KeyError, IndexError
            and ZeroDivisionError mean that the checkpoint is incomplete.
        check: raises ValueError if no network can be built from the hyperparameters; None if nothing can be wrong.
        defaults: usual values of hyperparameters that shapes do not determine, where they are not those of `Config`.
        usual_hop: usual samples between frames of an STFT of 2048.
        changes_attention: whether its attention layers differ, so that linear attention beside them is not defined.
        has_mlps: whether each band's mask comes from linear layers with tanh, as in the plain network.
        tensors: returns about how many tensors a network has beyond those of the plain one; None if there are few.
    """

    name: str
    title: str
    network: Callable[[Any, Sequence[range], int, bool], Network]
    architecture: str = ""
    mark: str = r"(?!)"
    needs: str = ""
    unless: str = ""
    own: tuple[str, ...] = ()
    adapt: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    infer: Callable[[Shapes], dict[str, Any]] | None = None
    check: Callable[[Any], None] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    usual_hop: int = 512
    changes_attention: bool = False
    has_mlps: bool = True
    tensors: Callable[[Any], int] | None = None

    def is_in(self, keys: Collection[str]) -> bool:
        """Return whether a checkpoint with these keys is of this variant."""

        def has(pattern: str) -> bool:
            return any(map(re.compile(pattern).search, keys))

        return has(self.mark) and has(self.needs) and not (self.unless and has(self.unless))
