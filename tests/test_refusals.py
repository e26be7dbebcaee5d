"""What has no proof, or lies outside a range, is refused by name wherever it comes in.

A bound that is evaluated outside its hypotheses is a false bound. Other tests refuse bad input
function by function; here stand the doors that were found unwatched when each check in turn was
taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from networks import CAUSAL, build
from strategies import generator

from collapse import Network, contraction_bound
from collapse.bounds import equilibria, floors, normalised, states
from collapse.bounds.contraction import diameter_recursion, double_exponential
from collapse.bounds.ladder import Sizes, State, identity_constant
from collapse.bounds.leading import leading_coefficient
from collapse.bounds.masked import averaging_error, walk_factors
from collapse.bounds.taylor import relative_tv_bound, taylor_error
from collapse.fast import taylor_features
from collapse.figures.data import Axis, Panel, series
from collapse.imitation import imitate
from collapse.inspection.substitution import margin
from collapse.layernorm import two_token_limits
from collapse.masks import causal, masked_diameters
from collapse.masks.reach import mask_graph
from collapse.norms import residual_lipschitz
from collapse.ssm import LTI, SelectiveSSM, SoftmaxAttention, discretise
from collapse.ssm.depth import at_rest, one_layer
from collapse.witnesses import layers as layer_witnesses
from collapse.witnesses import masks as mask_witnesses
from collapse.witnesses import skips as skip_witnesses

ONE, HALF = torch.ones(1, 1, dtype=torch.float64), Fraction(1, 2)
OTHER: Any = "bilinear"
X = torch.tensor([[-1.0, 0.5, 0.2], [1.0, 0.3, -0.4], [0.1, 0.2, 0.3], [0.7, -0.7, 0.0]]).double()
ROTARY, PLAIN = Sizes(ONE, ONE[0], ONE, "rope"), Sizes(ONE, ONE[0], ONE)
MASKED = build("causal", layers=2).replace(skip=0.0)
SCALAR = LTI(features=1, rate=ONE, step=ONE[0], write=ONE, read=ONE)
EQUAL = Network.random(2, 1, 3, 2, 0.1, generator(0))


def blind() -> torch.Tensor:
    mask = CAUSAL.clone()
    mask[2, 2] = False
    return mask


def selective(width: int, state: int) -> SelectiveSSM:
    return SelectiveSSM.random(width, state, generator(1))


Call = Callable[[], Any]
REFUSED: dict[str, tuple[Call, str]] = {
    # bounds
    "contraction_bound, depth": (lambda: contraction_bound(build(layers=2), X), "depth"),
    "contraction_bound, pre": (lambda: contraction_bound(build("pre", layers=1), X), "norm"),
    "contraction_bound, row": (lambda: contraction_bound(build("row", layers=1), X), "norm"),
    "diameter_recursion": (lambda: diameter_recursion(ROTARY, 1.0), "attention"),
    "double_exponential": (lambda: double_exponential(-1.0, 1.0, 2), "c"),
    "leading_coefficient": (lambda: leading_coefficient(build(), X, 4), "rung"),
    "averaging_error": (lambda: averaging_error(ROTARY, 0, ONE[0], ONE[0]), "attention"),
    "identity_constant": (lambda: identity_constant(-0.1, 2, 1, 2), "eta"),
    "walk_factors": (lambda: walk_factors([0.5, -0.1], 2), "weights"),
    "group_values, sizes": (lambda: equilibria.group_values([1, 0], 1.0), "groups"),
    "own_share": (lambda: equilibria.own_share(1.0, 0), "k"),
    "symmetric_multiplier": (lambda: equilibria.symmetric_multiplier(0.0, 2), "b"),
    "equilibrium_multipliers": (lambda: equilibria.equilibrium_multipliers(0.0, 2, 4), "b"),
    "projected_weight, weight": (lambda: normalised.projected_weight(-0.1, 0.5), "weight"),
    "projected_weight, height": (lambda: normalised.projected_weight(0.1, 0.0), "height"),
    "hemisphere_factors": (lambda: normalised.hemisphere_factors(1.0, 2, 0.5, -1), "layers"),
    "stretched_factor, beta": (lambda: normalised.stretched_factor(-1.0, 1.0), "beta"),
    "stretched_factor, diameter": (lambda: normalised.stretched_factor(1.0, -1.0), "diameter"),
    "preln_collapse, shortest": (
        lambda: normalised.preln_collapse(PLAIN, 2, 0 * ONE[0], ONE[0]), "shortest"
    ),
    "preln_collapse, positions": (
        lambda: normalised.preln_collapse(ROTARY, 2, ONE[0], ONE[0]), "attention"
    ),
    "postln_collapse": (lambda: normalised.postln_collapse(ROTARY, ONE[0]), "attention"),
    "taylor_error, size": (lambda: taylor_error(-0.1, 2), "size"),
    "taylor_error, degree": (lambda: taylor_error(0.1, -1), "degree"),
    "relative_tv_bound": (lambda: relative_tv_bound(-0.1), "r"),
    "taylor_features": (lambda: taylor_features(X, -1), "degree"),
    "residual_lipschitz": (lambda: residual_lipschitz(3, "median"), "centre"),
    **{
        f"{floor.__name__}, {what}": (lambda floor=floor, at=at: floor(*at), what)
        for floor in (floors.one_layer_floor, floors.one_layer_floor_with_biases,
                      floors.one_head_floor, floors.causal_floor)
        for what, at in (("eta", (-0.1, 1.0)), ("t", (0.1, -1.0)))
    },
    # masks, normalised tokens, state space models
    "masked_diameters, skip": (lambda: masked_diameters(MASKED.replace(skip=1.0), X), "skip"),
    "masked_diameters, norm": (lambda: masked_diameters(MASKED.replace(norm="row"), X), "norm"),
    "masked_diameters, rope": (lambda: masked_diameters(MASKED.replace(rope=9.0), X), "rope"),
    "masked_diameters, data": (lambda: masked_diameters(MASKED, X, data="guessed"), "data"),
    "mask_graph": (lambda: mask_graph(blind()), "mask"),
    "two_token_limits": (lambda: two_token_limits(ONE[0], ONE[0], ONE[0], 3), "w"),
    "discretise": (lambda: discretise(ONE, ONE, OTHER), "discretisation"),
    "LTI, rule": (lambda: SCALAR.replace(discretisation=OTHER), "discretisation"),
    "LTI, rate": (lambda: SCALAR.replace(rate=-ONE), "rate"),
    "at_rest, channels": (lambda: at_rest(selective(2, 1)), "mixer"),
    "at_rest, attention": (
        lambda: at_rest(SoftmaxAttention(query=ONE, key=ONE)), "mixer"
    ),
    "at_rest, decays": (lambda: at_rest(selective(1, 2)), "mixer"),
    "one_layer": (lambda: one_layer([[SCALAR], [SCALAR, SCALAR]]), "layers"),
    "pade": (lambda: states.pade(3, -1), "states"),
    "shallow_kernel": (lambda: states.shallow_kernel(3, 1, Fraction(1), HALF, 3), "eta"),
    "leading_constant": (lambda: states.leading_constant(3, -1), "states"),
    "state_floor": (lambda: states.state_floor([1.0, 1.0], -1), "states"),
    "deep_kernel": (lambda: states.deep_kernel(2, 0.1, 0.5, 0), "tokens"),
    "exchange_coefficient": (lambda: states.exchange_coefficient(0.5, 0.0, 0.0), "rate"),
    # networks side by side
    **{
        f"from_torch, {option}": (
            lambda option=option: Network.from_torch(
                torch.nn.MultiheadAttention(4, 2, bias=False, **{option: True})
            ),
            "modules",
        )
        for option in ("add_bias_kv", "add_zero_attn")
    },
    "skip of shape (1,)": (lambda: EQUAL.replace(skip=ONE[0]), "skip"),
    "Network.stack, none": (lambda: Network.stack([]), "networks"),
    "Network.stack, skip": (
        lambda: Network.stack([EQUAL, EQUAL.replace(skip=0.5)]), "skip"
    ),
    "Network.stack, mask": (
        lambda: Network.stack([EQUAL.replace(mask=causal(3)), EQUAL.replace(mask=causal(4))]),
        "mask",
    ),
    "Network.stack, shapes": (
        lambda: Network.stack([EQUAL, Network.random(2, 2, 3, 2, 0.1, generator(0))]), "query"
    ),
    "imitate, inputs": (lambda: imitate(build(batch=(1,)), X, 1, generator(0)), "X"),
    "imitate, heads": (lambda: imitate(build(batch=(1,)), X[None], 0, generator(0)), "heads"),
    "imitate, starts": (
        lambda: imitate(build(batch=(1,)), X[None], 1, generator(0), starts=0), "starts"
    ),
    # witnesses and figures
    "wide_pair": (lambda: layer_witnesses.wide_pair(1, -1), "low"),
    "lazy_walk": (lambda: mask_witnesses.lazy_walk(3, Fraction(-1, 9)), "epsilon"),
    "outward_drift": (lambda: mask_witnesses.outward_drift(0, Fraction(1, 9)), "radius"),
    "four_cells": (lambda: skip_witnesses.four_cells("1/2", 2), "skip"),
    "width_missing": (lambda: skip_witnesses.width_missing("1/2", 1, 0), "width"),
    "series, lengths": (lambda: series("line", [0, 1], [0, 1, 2]), "line"),
    "series, dimensions": (lambda: series("line", [[0, 1]], [[0, 1]]), "line"),
    "series, grid": (lambda: series("grid", [0, 1], [0, 1, 2], [[1, 2, 3]] * 2), "grid"),
    "panel": (lambda: Panel("", Axis("x"), Axis("y"), (series("a", [1], [1]),))["b"], "series"),
    "margin": (lambda: margin(lambda s: s, 0.0), "tolerance"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name: str) -> None:
    call, quantity = REFUSED[name]
    with pytest.raises(ValueError, match=rf"(?s)^{quantity}: expected .+, received"):
        call()


def test_the_same_calls_inside_their_ranges_are_answered() -> None:
    """The doors are not simply shut."""
    assert contraction_bound(build(layers=1), X).value > 0
    assert len(diameter_recursion(PLAIN, 1.0)) == 2
    assert averaging_error(PLAIN, 0, ONE[0], ONE[0]) > 0
    assert masked_diameters(MASKED, X).shape == (3,)
    assert Network.stack([EQUAL, EQUAL]).batch == (2,)
    assert at_rest(SCALAR)[1] > 0 and at_rest(selective(1, 1))[1].shape == ()
    assert states.shallow_kernel(3, 1, HALF, HALF, 2)
    assert State(*[ONE] * 4).phi is ONE
