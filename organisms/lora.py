"""LoRA layers with fewer passes over memory, for training on CPUs.

PEFT runs a low-rank layer as a handful of operations, each of which reads and writes the whole activation,
with conversions between number types in between; on a CPU that costs as much as the matrix products. Here
forward and backward of `y = x W' + s (x A') B'` are written out, so that each side is one product with W
and three thin ones. The numbers are PEFT's up to rounding (a test holds gradients to it).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["fused_adapters"]


class _LowRankLinear(torch.autograd.Function):
    """A frozen linear layer without bias plus its low-rank change, in the input's number type."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "*batch d_in"],
        weight: Float[Tensor, "d_out d_in"],
        down: Float[Tensor, "rank d_in"],
        up: Float[Tensor, "d_out rank"],
        scale: float,
    ) -> Float[Tensor, "*batch d_out"]:
        flat = x.reshape(-1, x.shape[-1])
        a, b = down.to(x.dtype), (scale * up).to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):  # all operands have the wanted type already
            inner = flat @ a.T
            out = torch.addmm(flat @ weight.T, inner, b.T)
        ctx.save_for_backward(flat, weight, a, b, inner)
        ctx.scale, ctx.kinds = scale, (down.dtype, up.dtype)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, a, b, inner = ctx.saved_tensors
        (gradient,) = gradients
        shape = (*gradient.shape[:-1], flat.shape[-1])
        gradient = gradient.reshape(-1, gradient.shape[-1])
        inner_gradient = gradient @ b
        into = None
        if ctx.needs_input_grad[0]:
            into = torch.addmm(gradient @ weight, inner_gradient, a).view(shape)
        down = (inner_gradient.T @ flat).to(ctx.kinds[0])
        up = (gradient.T @ inner).to(ctx.kinds[1]) * ctx.scale
        return into, None, down, up, None


@contextmanager
def fused_adapters(model: Any) -> Iterator[int]:
    """Run the LoRA layers of a PEFT model fused while the context is open; gives how many of them.

    Layers with a bias, dropout, several active adapters or a LoRA variant keep PEFT's own way, as does any
    model on a GPU, where PEFT is fast.

    >>> with fused_adapters(torch.nn.Linear(2, 2)) as layers:
    ...     layers
    0
    """
    from peft.tuners.lora import Linear

    layers = [module for module in model.modules() if isinstance(module, Linear) and _plain(module)]
    try:
        for layer in layers:
            layer.forward = functools.partial(_forward, layer)
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def _plain(layer: Any) -> bool:
    (name, *others) = layer.active_adapters or [None]
    return (
        not others
        and name in layer.lora_A
        and not (layer.disable_adapters or layer.merged or layer.fan_in_fan_out)
        and name not in layer.lora_variant
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and type(layer.base_layer) is torch.nn.Linear
        and layer.base_layer.bias is None
        and layer.lora_B[name].bias is None
        and layer.base_layer.weight.device.type == "cpu"
    )


def _forward(layer: Any, x: Tensor) -> Tensor:
    (name,) = layer.active_adapters
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    weight = layer.base_layer.weight
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
    return _LowRankLinear.apply(x.to(dtype), weight.to(dtype), down, up, layer.scaling[name])  # pyright: ignore[reportReturnType]
