"""Named arrays that are views on one flat vector."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minivae.checks import refuse


class Params(Mapping):
    """A model's parameters, or their gradient: `params["decoder.1.weight"]` is a view on `params.flat`.

    The model reads arrays by name; Adam updates `flat`; the gradient check moves one number of `flat` at a time. Write into
    a view, or into `flat`: both are the same memory. `shapes` has the shape of every array, in order; a single number has
    the shape `()`. `flat`, (size,), is not copied; all arrays have its dtype.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], flat: NDArray):
        size = sum(map(math.prod, shapes.values()))
        if np.shape(flat) != (size,) or not isinstance(flat, np.ndarray):
            got = f"{type(flat).__name__} of shape {np.shape(flat)}"
            refuse("flat", f"an ndarray of shape ({size},) to hold these arrays", got, "Use `like` or `zeros_like`.")
        self.shapes, self.flat = dict(shapes), flat
        self._views: dict[str, NDArray] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            self._views[name] = flat[start:stop].reshape(shape)
            start = stop

    def __getitem__(self, name: str) -> NDArray:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __reduce__(self):
        return Params, (self.shapes, self.flat)             # a deep copy gets views on its own copy of `flat`

    @functools.cached_property
    def layers(self) -> dict[str, list[tuple[NDArray, NDArray]]]:
        """The (weight, bias) pairs of every layer, first to last: {"encoder": [...], "decoder": [...]}."""
        layers: dict[str, list] = {}                        # cached: used four times per step
        for name in self:
            if name.endswith(".weight"):
                pair = self[name], self[name.removesuffix("weight") + "bias"]
                layers.setdefault(name.partition(".")[0], []).append(pair)
        return layers

    @classmethod
    def zeros(cls, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike) -> "Params":
        """Arrays of these shapes, all zero."""
        return cls(shapes, np.zeros(sum(map(math.prod, shapes.values())), dtype))

    def like(self, flat: NDArray) -> "Params":
        """Parameters with the same names and shapes; their arrays are views on `flat`."""
        return Params(self.shapes, flat)

    def zeros_like(self) -> "Params":
        """Parameters with the same names and shapes, all zero."""
        return Params.zeros(self.shapes, self.flat.dtype)

    def copy(self) -> "Params":
        """A copy that shares no memory."""
        return self.like(self.flat.copy())

    def astype(self, dtype: DTypeLike) -> "Params":
        """A copy in another dtype."""
        return self.like(self.flat.astype(dtype))


def mlp_shapes(part: str, widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """{name: shape} for the weights and biases of a network whose layers have these widths."""
    shapes = {}
    for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:]), start=1):
        shapes[f"{part}.{i}.weight"] = (fan_in, fan_out)
        shapes[f"{part}.{i}.bias"] = (fan_out,)
    return shapes


def shapes_of(features: int, latent: int, hidden: Sequence[int], scale: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
    """{name: shape} for all parameters of a model with these sizes. `scale`: name of the likelihood's parameter, if any."""
    encoder = mlp_shapes("encoder", [features, *hidden, 2 * latent])
    decoder = mlp_shapes("decoder", [latent, *reversed(hidden), features])
    return encoder | decoder | dict.fromkeys(scale, ())
