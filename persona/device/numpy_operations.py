"""ONNX operations in numpy: inputs (None where one is left out) and attributes → the first output, or all in a list."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]
Given = Sequence[Any]
Attributes = Mapping[str, Any]
Operation = Callable[[Given, Attributes], Tensor | list[Tensor]]


def conv(given: Given, attributes: Attributes) -> Tensor:
    """Convolve x (N, C, H, W) with kernels (O, C/g, h, w) by im2col and a product, plus a bias (O,), if any."""
    x, kernel = given[0], given[1]
    groups, strides = attributes.get("group", 1), attributes.get("strides", [1, 1])
    windows = _windows(x, kernel.shape[2:], strides, attributes, 0.0)  # (N, C, H', W', h, w)
    n, _, high, wide = windows.shape[:4]
    columns = windows.reshape(n, groups, -1, *windows.shape[2:]).transpose(1, 0, 3, 4, 2, 5, 6)
    rows = columns.reshape(groups, n * high * wide, -1)  # (g, N·H'·W', C/g·h·w)
    weights = kernel.reshape(groups, len(kernel) // groups, -1).transpose(0, 2, 1)
    out = np.matmul(rows, weights).reshape(groups, n, high, wide, -1).transpose(1, 0, 4, 2, 3)
    whole = np.ascontiguousarray(out).reshape(n, len(kernel), high, wide)
    return whole + given[2].reshape(-1, 1, 1) if len(given) > 2 and given[2] is not None else whole


def max_pool(given: Given, attributes: Attributes) -> Tensor:
    """Return the largest of every window."""
    size = attributes["kernel_shape"]
    windows = _windows(given[0], size, attributes.get("strides", [1, 1]), attributes, -np.inf)
    return np.asarray(windows.max(axis=(4, 5)))


def average_pool(given: Given, attributes: Attributes) -> Tensor:
    """Return the mean of every window; the padding counts where `count_include_pad` says so."""
    size, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    sums = _windows(given[0], size, strides, attributes, 0.0).sum(axis=(4, 5))
    if attributes.get("count_include_pad", 0):
        return np.asarray(sums / np.float32(math.prod(size)))
    ones = np.ones((1, 1, *given[0].shape[2:]), np.float32)
    return np.asarray(sums / _windows(ones, size, strides, attributes, 0.0).sum(axis=(4, 5)))


def batch_norm(given: Given, attributes: Attributes) -> Tensor:
    """Normalise by statistics of training, folded into one product and one sum."""
    x, scale, shift, mean, variance = given[:5]
    factor = scale / np.sqrt(variance + np.float32(attributes.get("epsilon", 1e-5)))
    shape = (-1, *[1] * (x.ndim - 2))
    return np.asarray(x * factor.reshape(shape) + (shift - mean * factor).reshape(shape))


def instance_norm(given: Given, attributes: Attributes) -> Tensor:
    """Normalise every channel of every sample by itself."""
    x, scale, shift = given
    axes = tuple(range(2, x.ndim))
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    shape = (-1, *[1] * (x.ndim - 2))
    normal = (x - mean) / np.sqrt(variance + np.float32(attributes.get("epsilon", 1e-5)))
    return np.asarray(normal * scale.reshape(shape) + shift.reshape(shape))


def layer_norm(given: Given, attributes: Attributes) -> Tensor:
    """Normalise over the axes from `axis` on."""
    x = given[0]
    axes = tuple(range(attributes.get("axis", -1) % x.ndim, x.ndim))
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    normal = (x - mean) / np.sqrt(variance + np.float32(attributes.get("epsilon", 1e-5)))
    return np.asarray(normal * given[1] + (given[2] if len(given) > 2 and given[2] is not None else 0))


def gemm(given: Given, attributes: Attributes) -> Tensor:
    """Return α A B + β C, either matrix perhaps transposed."""
    a = given[0].T if attributes.get("transA", 0) else given[0]
    b = given[1].T if attributes.get("transB", 0) else given[1]
    out = np.float32(attributes.get("alpha", 1.0)) * (a @ b)
    if len(given) > 2 and given[2] is not None:
        out = out + np.float32(attributes.get("beta", 1.0)) * given[2]
    return np.asarray(out, a.dtype)


def reshape(given: Given, attributes: Attributes) -> Tensor:
    """Reshape; 0 keeps an axis of the input, −1 takes what is left."""
    x = given[0]
    keep = not attributes.get("allowzero", 0)
    shape = [x.shape[axis] if size == 0 and keep else int(size) for axis, size in enumerate(given[1])]
    return np.asarray(x.reshape(shape))


def reduced(how: Callable[..., Any]) -> Operation:
    """Return the reduction of that function, over the axes that the second input or the attribute names."""

    def reduce(given: Given, attributes: Attributes) -> Tensor:
        axes = given[1] if len(given) > 1 and given[1] is not None else attributes.get("axes")
        if axes is None or not len(axes):
            if attributes.get("noop_with_empty_axes", 0):
                return np.asarray(given[0])
            axes = range(given[0].ndim)
        return np.asarray(how(given[0], axis=tuple(int(a) for a in axes), keepdims=bool(attributes.get("keepdims", 1))))

    return reduce


def _unsqueeze(given: Given, attributes: Attributes) -> Tensor:
    return np.asarray(np.expand_dims(given[0], tuple(int(axis) for axis in given[1])))


def _squeeze(given: Given, attributes: Attributes) -> Tensor:
    return np.asarray(np.squeeze(given[0], tuple(int(axis) for axis in given[1]) if len(given) > 1 else None))


def _flatten(given: Given, attributes: Attributes) -> Tensor:
    axis = attributes.get("axis", 1)
    return np.asarray(given[0].reshape(math.prod(given[0].shape[:axis]), -1))


def _softmax(given: Given, attributes: Attributes) -> Tensor:
    axis = attributes.get("axis", -1)
    raised = np.exp(given[0] - given[0].max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def _slice(given: Given, attributes: Attributes) -> Tensor:
    x, starts, ends = given[:3]
    axes = given[3] if len(given) > 3 and given[3] is not None else range(len(starts))
    steps = given[4] if len(given) > 4 and given[4] is not None else [1] * len(starts)
    where: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[int(axis)] = slice(int(start), int(end), int(step))
    return np.asarray(x[tuple(where)])


def _split(given: Given, attributes: Attributes) -> list[Tensor]:
    axis = attributes.get("axis", 0)
    if len(given) > 1 and given[1] is not None:
        return np.split(given[0], np.cumsum(given[1])[:-1], axis=axis)
    size = -(-given[0].shape[axis] // attributes["num_outputs"])  # the last one may be smaller
    return np.split(given[0], range(size, given[0].shape[axis], size), axis=axis)


def _filled(given: Given, attributes: Attributes) -> Tensor:
    value = attributes.get("value")
    shape = tuple(int(size) for size in given[0])
    return np.zeros(shape, np.float32) if value is None else np.full(shape, value.reshape(-1)[0], value.dtype)


def _expand(given: Given, attributes: Attributes) -> Tensor:
    wanted = tuple(int(size) for size in given[1])
    return np.asarray(np.broadcast_to(given[0], np.broadcast_shapes(given[0].shape, wanted)))


def _clip(given: Given, attributes: Attributes) -> Tensor:
    low, high = (given[i] if len(given) > i else None for i in (1, 2))
    return np.asarray(given[0] if low is None and high is None else np.clip(given[0], low, high))


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return np.asarray(np.clip(np.float32(alpha) * x + np.float32(beta), np.float32(0), np.float32(1)))


def _sigmoid(x: Tensor) -> Tensor:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), x.dtype)


def _windows(x: Tensor, size: Sequence[int], strides: Sequence[int], attributes: Attributes, fill: float) -> Tensor:
    """Return a view (N, C, H', W', h, w) of every window of the padded input."""
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or set(attributes.get("dilations", [1])) != {1}:
        raise ValueError("padding by name, or dilation")
    if attributes.get("ceil_mode", 0):
        raise ValueError("windows that reach beyond the input")
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if any((top, left, bottom, right)):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    every = np.lib.stride_tricks.sliding_window_view(x, tuple(size), axis=(2, 3))
    return np.asarray(every[:, :, :: strides[0], :: strides[1]])


OPERATIONS: Mapping[str, Operation] = {
    "Abs": lambda given, _: np.abs(given[0]),
    "Add": lambda given, _: given[0] + given[1],
    "And": lambda given, _: np.logical_and(given[0], given[1]),
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Clip": _clip,
    "Concat": lambda given, attributes: np.concatenate(given, axis=attributes["axis"]),
    "Constant": lambda _, attributes: np.asarray(attributes["value"]),
    "ConstantOfShape": _filled,
    "Conv": conv,
    "Div": lambda given, _: given[0] / given[1],
    "Exp": lambda given, _: np.exp(given[0]),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": lambda given, attributes: np.take(given[0], given[1], axis=attributes.get("axis", 0)),
    "Gemm": gemm,
    "GlobalAveragePool": lambda given, _: given[0].mean(axis=(2, 3), keepdims=True),
    "Greater": lambda given, _: given[0] > given[1],
    "HardSigmoid": lambda given, a: _hard_sigmoid(given[0], a.get("alpha", 0.2), a.get("beta", 0.5)),
    "HardSwish": lambda given, _: given[0] * _hard_sigmoid(given[0], 1 / 6, 0.5),
    "Identity": lambda given, _: given[0],
    "InstanceNormalization": instance_norm,
    "IsInf": lambda given, _: np.isinf(given[0]),
    "IsNaN": lambda given, _: np.isnan(given[0]),
    "LayerNormalization": layer_norm,
    "Less": lambda given, _: given[0] < given[1],
    "Log": lambda given, _: np.log(given[0]),
    "MatMul": lambda given, _: given[0] @ given[1],
    "Max": lambda given, _: functools.reduce(np.maximum, given),
    "MaxPool": max_pool,
    "Min": lambda given, _: functools.reduce(np.minimum, given),
    "Mul": lambda given, _: given[0] * given[1],
    "Neg": lambda given, _: -given[0],
    "Pow": lambda given, _: np.asarray(np.power(given[0], given[1]), given[0].dtype),
    "Reciprocal": lambda given, _: 1 / given[0],
    "ReduceMean": reduced(np.mean),
    "ReduceSum": reduced(np.sum),
    "Relu": lambda given, _: np.maximum(given[0], 0),
    "Reshape": reshape,
    "Shape": lambda given, a: np.array(given[0].shape[a.get("start", 0) : a.get("end")], np.int64),
    "Sigmoid": lambda given, _: _sigmoid(given[0]),
    "Sign": lambda given, _: np.sign(given[0]),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": lambda given, _: np.sqrt(given[0]),
    "Squeeze": _squeeze,
    "Sub": lambda given, _: given[0] - given[1],
    "Tanh": lambda given, _: np.tanh(given[0]),
    "Transpose": lambda given, attributes: np.transpose(given[0], attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": lambda given, _: np.asarray(np.where(given[0], given[1], given[2])),
}
