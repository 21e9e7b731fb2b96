"""Which decoder a bundle can afford: the richest one whose size, a byte a number, stays within a budget (method §3)."""

from __future__ import annotations

from persona.adapters.decoders import DENSE_LIMIT, DecoderKind
from persona.errors import SpecError
from persona.spec import ModelSpec, TensorSpec


def decoder_bytes(spec: ModelSpec, code: int, kind: DecoderKind, rank: int = 4) -> int:
    """Return the size in bytes of a decoder for codes of width `code`, with every number as int8, scales left out.

    Per tensor of m entries and o rows: full weights take (d + 1)·m, a kernel (d + 1)·r·(o + m / o).
    """
    return sum((code + 1) * _columns(tensor, kind, rank) for tensor in spec.tensors)


def choose_decoder(spec: ModelSpec, code: int, budget_bytes: int) -> tuple[DecoderKind, int]:
    """Return kind and rank of the richest decoder for codes of width `code` that fits the budget, as int8.

    Full weights first, then the kernel of the highest rank that is still smaller; of full weights the rank says
    nothing. SpecError where not even a kernel of rank 1 fits.
    """
    full = decoder_bytes(spec, code, "basis")
    if full <= budget_bytes:
        return "basis", 1
    first, second = (decoder_bytes(spec, code, "kernel", rank) for rank in (1, 2))
    if first > budget_bytes:
        raise SpecError(
            f"no decoder for codes of width {code} fits {budget_bytes:,} bytes: full weights take {full:,}, a kernel "
            f"of rank 1 {first:,}; allow more, edit fewer layers or make the code narrower"
        )
    rank = 1 + (budget_bytes - first) // (second - first)
    return "kernel", min(rank, max(min(_sides(t)) for t in spec.tensors if _has_kernel(t)))


def _columns(tensor: TensorSpec, kind: DecoderKind, rank: int) -> int:
    return rank * sum(_sides(tensor)) if kind == "kernel" and _has_kernel(tensor) else tensor.size


def _has_kernel(tensor: TensorSpec) -> bool:
    return len(tensor.shape) > 1 and tensor.size > DENSE_LIMIT


def _sides(tensor: TensorSpec) -> tuple[int, int]:
    return tensor.shape[0], tensor.size // tensor.shape[0]
