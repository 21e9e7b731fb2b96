"""ONNX files without the onnx package: the few fields of the protobuf that running a graph needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.errors import BundleError

Tensor = npt.NDArray[Any]
Attribute = float | int | str | Tensor | list[float] | list[int] | None

# TensorProto.DataType → numpy; what a device's graph may hold.
_DTYPES = {1: "<f4", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
_NAMES = {1: "tensor(float)", 6: "tensor(int32)", 7: "tensor(int64)", 10: "tensor(float16)", 11: "tensor(double)"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Node:
    """One operation; an empty name among its inputs stands for one that is left out."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class Value:
    """An input or output of the graph: its type in onnxruntime's words, and its shape; None for a free axis."""

    name: str
    kind: str
    shape: tuple[int | str | None, ...]


@dataclass
class OnnxFile:
    """A graph: nodes in an order in which they can run, constants by name, what goes in and what comes out."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)


def read_onnx(data: bytes) -> OnnxFile:
    """Return the graph of an ONNX file; BundleError where it is none, or holds what a device does not read."""
    try:
        graphs = [value for number, value in _fields(memoryview(data)) if number == 7]
        return _graph(graphs[-1])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise BundleError(
            f"a graph of {len(data):,} bytes is not an ONNX file that numpy can run ({error!r}); export it anew"
        ) from error


def _graph(data: memoryview) -> OnnxFile:
    found = OnnxFile()
    for number, value in _fields(data):
        if number == 1:
            found.nodes.append(_node(value))
        elif number == 5:
            name, tensor = _tensor(value)
            found.constants[name] = tensor
        elif number == 11:
            found.inputs.append(_value(value))
        elif number == 12:
            found.outputs.append(_value(value))
    return found


def _node(data: memoryview) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    kind = domain = ""
    for number, value in _fields(data):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            kind = _text(value)
        elif number == 5:
            name, attribute = _attribute(value)
            attributes[name] = attribute
        elif number == 7:
            domain = _text(value)
    return Node(f"{domain}.{kind}" if domain else kind, tuple(inputs), tuple(outputs), attributes)


def _attribute(data: memoryview) -> tuple[str, Attribute]:
    name = ""
    value: Attribute = None
    floats: list[float] = []
    integers: list[int] = []
    for number, found in _fields(data):
        if number == 1:
            name = _text(found)
        elif number == 2:
            value = struct.unpack("<f", found)[0]
        elif number == 3:
            value = _signed(found)
        elif number == 4:
            value = _text(found)
        elif number == 5:
            value = _tensor(found)[1]
        elif number == 7:
            floats += struct.unpack(f"<{len(found) // 4}f", found)
        elif number == 8:
            integers += _packed(found)
    return name, floats or integers or value


def _tensor(data: memoryview) -> tuple[str, Tensor]:
    shape: list[int] = []
    numbers: list[int] = []
    name, dtype, raw = "", "<f4", b""
    for number, value in _fields(data):
        if number == 1:
            shape += _packed(value)
        elif number == 2:
            dtype = _DTYPES[value]
        elif number in (4, 9, 10):  # floats one by one or in one, raw bytes, doubles
            raw += value
        elif number in (5, 7):
            numbers += _packed(value)
        elif number == 8:
            name = _text(value)
        elif number == 13:
            raise ValueError("a tensor lies in another file")
    values = np.array(numbers, dtype) if numbers else np.frombuffer(raw, dtype)
    return name, values.reshape(shape)


def _value(data: memoryview) -> Value:
    name = kind = ""
    shape: tuple[int | str | None, ...] = ()
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            tensor = dict(_fields(dict(_fields(value))[1]))
            kind = _NAMES.get(tensor[1], f"type {tensor[1]}")
            shape = tuple(_axis(axis) for n, axis in _fields(tensor[2]) if n == 1) if 2 in tensor else ()
    return Value(name, kind, shape)


def _axis(data: memoryview) -> int | str | None:
    for number, value in _fields(data):
        if number == 1:
            return _signed(value)
        if number == 2:
            return _text(value)
    return None


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield number and value of every field: an int for a varint, bytes for all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("it is cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")


def _packed(value: Any) -> list[int]:
    """Return the integers of a repeated field, which come one by one or all in one."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: memoryview) -> str:
    return str(value, "utf-8", "replace")  # not `bytes(value)`: of a number that lies here it makes so many zeros
