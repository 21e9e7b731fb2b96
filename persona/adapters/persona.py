"""The Persona adapter: recent data → context → normalised code → bounded deltas (method §2 and §3)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from persona.adapters.decoders import DecoderKind, DeltaDecoder
from persona.adapters.encoders import BothEncoder, ContextName, ImageSetEncoder, SketchEncoder
from persona.adapters.transfer import TRANSFERS, Transfer
from persona.errors import SpecError
from persona.spec import ModelSpec

Encoder = SketchEncoder | ImageSetEncoder | BothEncoder
# Sketch features (B, F), samples (B, S, …), or the pair of them.
Context = Tensor | tuple[Tensor, Tensor]


class PersonaAdapter(nn.Module):
    """Encoder, cross-layer transfer and decoder.

    `encoder` maps a context to u (B, h) and says its `width`; `code` is d; `transfer` one of "shared" (one
    code for all layers), "autoregressive", "stacked", "attention" and "none" (a code a layer); `decoder` "kernel" (rank
    `rank`) or "basis". At step 0 every delta is zero. SpecError for an unknown transfer or decoder, or a width or rank
    that leaves no room for an edit.
    """

    def __init__(
        self,
        spec: ModelSpec,
        encoder: Encoder,
        *,
        code: int = 16,
        transfer: Transfer = "shared",
        decoder: DecoderKind = "kernel",
        rank: int = 4,
    ) -> None:
        super().__init__()
        if transfer not in TRANSFERS:
            raise SpecError(f"transfer {transfer!r} is unknown; wanted one of {', '.join(TRANSFERS)}")
        self.encoder = encoder
        self.transfer = TRANSFERS[transfer](spec, encoder.width, code)
        self.decoder = DeltaDecoder(spec, self.transfer.code_shape, decoder, rank)

    @property
    def context(self) -> ContextName:
        """What the adapter reads: "sketch", "samples" or "both"."""
        return self.encoder.context

    @property
    def code_shape(self) -> tuple[int, int]:
        """(n, d)."""
        return self.transfer.code_shape

    def codes(self, context: Context, mask: Tensor | None = None) -> Float[Tensor, "b n d"]:
        """Return normalised codes for sketch features (B, F), for samples (B, S, …) with mask (B, S), or for a pair.

        They are finite whatever the context holds: NaN in a sketch counts as 0, broken samples are left out.
        """
        codes: Tensor = self.transfer(self.encoder(context, mask))
        return codes

    def forward(self, context: Context, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Return the deltas {tensor name: (B, *shape)} for a context."""
        deltas: dict[str, Tensor] = self.decoder(self.codes(context, mask))
        return deltas
