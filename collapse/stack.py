"""Floor 4. The weights and options of a network, checked and frozen; nothing here runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from collapse.checks import check_alike, check_finite, check_floats, check_mask, is_whole
from collapse.numeric import Number, is_finite, is_number, require

NORMS = (None, "pre", "row")
_WEIGHTS = ("query", "key", "value", "output")
_SCALES = ("skip", "mixer_scale")


class Stack:
    """What a network is made of. See :class:`~collapse.attention.Network` for the arguments."""

    query: Number
    key: Number
    value: Number
    output: Number | None
    skip: Number
    mask: Tensor | None
    rope: float | None
    norm: str | None
    mixer_scale: Number | None

    def __init__(
        self,
        query: Number,
        key: Number,
        value: Number,
        output: Number | None = None,
        skip: Number = 1.0,
        mask: Tensor | None = None,
        rope: float | None = None,
        norm: str | None = None,
        mixer_scale: Number | None = None,
    ) -> None:
        """Check the arguments, which the class describes, and freeze them."""
        fields = dict(zip(_WEIGHTS, (query, key, value, output), strict=True))
        fields |= {"skip": skip, "mixer_scale": mixer_scale, "rope": rope, "norm": norm}
        if mask is not None:
            mask = check_mask(mask)
        for name in (*_SCALES, "rope"):
            scale = fields[name]
            if isinstance(scale, np.generic):
                fields[name] = scale.item()  # a scalar of numpy's would not load again
            if isinstance(scale, Tensor) and isinstance(query, Tensor) and name != "rope":
                require(not scale.is_complex(), name, "a real number or a tensor", scale.dtype)
                fields[name] = scale.to(query)
        self.__dict__.update(fields, mask=mask)
        self._check()

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse assignment: a Network is a value."""
        raise AttributeError(f"a Network is immutable; use network.replace({name}=...)")

    # Structure

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch dimensions."""
        return tuple(self.query.shape[:-4])

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return self.query.shape[-4]

    @property
    def heads(self) -> int:
        """Number of heads H per layer."""
        return self.query.shape[-3]

    @property
    def width(self) -> int:
        """Width d of the tokens."""
        return self.query.shape[-2]

    @property
    def key_width(self) -> int:
        """Width k of queries and keys."""
        return self.query.shape[-1]

    @property
    def query_key(self) -> Number:
        r"""M = W_Q W_Kᵀ of every head, shape (\*batch, L, H, d, d)."""
        return self.query @ self.key.swapaxes(-1, -2)

    @property
    def value_output(self) -> Number:
        r"""V of every head with output and mixer scale folded in, shape (\*batch, L, H, d, d)."""
        V = self.value if self.output is None else self.value @ self.output
        return V if self.mixer_scale is None else V * column(self.mixer_scale, 4)

    def replace(self, **changes: Any) -> Self:
        """The same network with some of the constructor's arguments changed.

        >>> from collapse.attention import Network
        >>> n = Network.random(1, 1, 2, 2, eta=1.0, generator=torch.Generator().manual_seed(0))
        >>> n.replace(skip=0.0).skip
        0.0
        """
        return type(self)(**{**self.__dict__, **changes})

    def layers(self, start: int, stop: int) -> Self:
        """The network of layers start, …, stop − 1, counted from 0.

        Raises:
            ValueError: Unless 0 ≤ start ≤ stop ≤ L, integers.

        >>> from collapse.attention import Network
        >>> n = Network.random(3, 1, 2, 2, eta=1.0, generator=torch.Generator().manual_seed(0))
        >>> n.layers(1, 3).depth
        2
        """
        require(
            is_whole(start) and is_whole(stop) and 0 <= start <= stop <= self.depth,
            "layers",
            f"integers, 0 <= start <= stop <= {self.depth}",
            (start, stop),
        )
        weights = {name: getattr(self, name) for name in _WEIGHTS}
        return self.replace(
            **{
                name: None if w is None else w[..., start:stop, :, :, :]
                for name, w in weights.items()
            }
        )

    @classmethod
    def stack(cls, networks: Sequence[Self]) -> Self:
        """Several networks of equal shapes and options as one, with a new first batch dimension.

        Raises:
            ValueError: If there is none, or shapes or options differ.

        >>> from collapse.attention import Network
        >>> g = torch.Generator().manual_seed(0)
        >>> Network.stack([Network.random(2, 1, 3, 2, 0.1, g) for _ in range(5)]).batch
        (5,)
        """
        require(len(networks) > 0, "networks", "at least one", networks)
        first, options = networks[0], ("skip", "mask", "rope", "norm", "mixer_scale")
        for other in networks[1:]:
            for name in options:
                a, b = getattr(first, name), getattr(other, name)
                tensors = isinstance(a, Tensor) and isinstance(b, Tensor)
                require(torch.equal(a, b) if tensors else a is b or a == b, name, f"{a} in all", b)
            for name in _WEIGHTS:
                a, b = (getattr(network, name) for network in (first, other))
                same = (a is None) == (b is None) and (a is None or a.shape == b.shape)
                require(same, name, "one shape in all networks", other)
                if a is not None:
                    check_alike(b, a, name, "in the first network")
        parts = {name: [getattr(network, name) for network in networks] for name in _WEIGHTS}
        return first.replace(
            **{name: None if part[0] is None else stacked(part, 0) for name, part in parts.items()}
        )

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The same network on another device or in another dtype; arguments as ``Tensor.to``.

        >>> from collapse.attention import Network
        >>> n = Network.random(1, 1, 2, 2, eta=1.0, generator=torch.Generator().manual_seed(0))
        >>> n.to(torch.float32).query.dtype
        torch.float32
        """
        moved = {
            name: getattr(self, name).to(*args, **kwargs)
            for name in _WEIGHTS + _SCALES
            if isinstance(getattr(self, name), Tensor)
        }
        return self.replace(**moved)

    def save(self, path: str | Path) -> None:
        """Write the network to a file that :meth:`load` reads."""
        torch.save(dict(self.__dict__), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a network that :meth:`save` wrote.

        Raises:
            ValueError: If the file holds something else.
        """
        where = None if torch.cuda.is_available() else "cpu"
        try:
            fields = torch.load(path, map_location=where, weights_only=True)
        except OSError:
            raise
        except Exception as error:  # foreign bytes may stumble anywhere while they are read
            raise ValueError(f"file: expected a Network, received {path}") from error
        known = set(_WEIGHTS + _SCALES) | {"mask", "rope", "norm"}
        require(isinstance(fields, dict) and set(fields) == known, "file", "a Network", path)
        return cls(**fields)

    def __repr__(self) -> str:
        """Shapes and the options that differ from their defaults."""
        parts = [f"batch={self.batch}"] if self.batch else []
        parts += [
            f"{name}={getattr(self, name)}" for name in ("depth", "heads", "width", "key_width")
        ]
        if self.output is not None:
            parts.append(f"value_width={self.value.shape[-1]}")
        for name, default in (("skip", 1.0), ("mixer_scale", None), ("rope", None), ("norm", None)):
            option = getattr(self, name)
            if isinstance(option, Tensor):
                parts.append(f"{name}=tensor{tuple(option.shape)}")
            elif option != default:
                parts.append(f"{name}={option!r}")
        if self.mask is not None:
            parts.append(f"mask={tuple(self.mask.shape)}")
        if isinstance(self.query, Tensor):
            parts.append(f"dtype={self.query.dtype}, device={str(self.query.device)!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    # Checks

    def _check_weight(self, weight: Number, name: str) -> None:
        require(isinstance(weight, Tensor), name, "a torch tensor", type(weight))
        check_floats(weight, name, "weights")
        check_alike(weight, self.query, name, "query")
        check_finite(weight, name)

    def _check_scale(self, scale: Number, name: str) -> None:
        require(isinstance(scale, int | float | Tensor), name, "a real number or a tensor", scale)

    def _check(self) -> None:
        weights = [(name, getattr(self, name)) for name in _WEIGHTS]
        for name, weight in weights:
            if weight is None and name == "output":
                continue
            require(len(getattr(weight, "shape", ())) >= 4, name, "≥ 4 dimensions", weight)
            self._check_weight(weight, name)
        d, k = self.width, self.key_width
        require(d >= 1 and k >= 1, "query", "width d >= 1 and key width k >= 1", (d, k))
        v = d if self.output is None else self.value.shape[-1]
        tails = {"query": (d, k), "key": (d, k), "value": (d, v), "output": (v, d)}
        for name, weight in weights:
            if weight is not None:
                shape = self.batch + (self.depth, self.heads, *tails[name])
                require(tuple(weight.shape) == shape, name, f"shape {shape}", tuple(weight.shape))
        for name in _SCALES:
            scale = getattr(self, name)
            if scale is None and name != "skip":
                continue
            self._check_scale(scale, name)
            if isinstance(scale, Tensor):
                fits = tuple(scale.shape) in ((), self.batch)
                require(fits, name, f"shape {self.batch} or ()", tuple(scale.shape))
            check_finite(scale, name)
        require(self.norm in NORMS, "norm", 'None, "pre" or "row"', self.norm)
        if self.rope is not None:
            base = is_number(self.rope) and not isinstance(self.rope, bool)
            base = base and self.rope > 0 and is_finite(self.rope)
            require(base, "rope", "a base > 0, finite", repr(self.rope))
            require(k % 2 == 0, "key width", "an even width with rope", k)


def stacked(parts: list[Number], axis: int) -> Number:
    """Tensors, or arrays of exact numbers, along a new axis."""
    return torch.stack(parts, axis) if isinstance(parts[0], Tensor) else np.stack(parts, axis)


def column(scale: Number, dimensions: int) -> Number:
    """A scale per batch entry, with trailing dimensions of size 1 to multiply what it scales."""
    return scale.reshape(*scale.shape, *[1] * dimensions) if isinstance(scale, Tensor) else scale
