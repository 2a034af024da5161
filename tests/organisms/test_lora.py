"""Fused LoRA layers give PEFT's numbers, and only where they may."""

import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.lora import fused_adapters

SPEC = FineTuneSpec(rank=3, alpha=6)


@pytest.fixture
def adapted():
    torch.manual_seed(0)
    model = add_adapter(tiny_model().model, SPEC)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # starts at zero, which would hide the gradient of A
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def loss_and_gradients(model):
    ids = torch.arange(24).reshape(2, 12) + 3
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_loss_and_every_gradient_equal_those_of_peft(adapted):
    loss, expected = loss_and_gradients(adapted)
    with fused_adapters(adapted) as layers:
        fused_loss, found = loss_and_gradients(adapted)
    assert layers == 3 * 7
    torch.testing.assert_close(fused_loss, loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("base", [torch.bfloat16, torch.float32])
def test_low_precision_differs_from_peft_no_more_than_peft_from_full_precision(adapted, base):
    _, exact = loss_and_gradients(adapted)
    adapted.get_base_model().to(base)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, peft = loss_and_gradients(adapted)
        with fused_adapters(adapted):
            _, fused = loss_and_gradients(adapted)

    def apart(one, other):
        both = [torch.cat([g[n].float().flatten() for n in exact if "lora_" in n]) for g in (one, other)]
        return float((both[0] - both[1]).norm() / both[1].norm())

    assert apart(fused, exact) < 1.5 * apart(peft, exact)


def test_layers_that_need_more_keep_pefts_own_way(adapted):
    with adapted.disable_adapter(), fused_adapters(adapted) as layers:
        assert layers == 0


def test_nothing_is_left_behind_after_an_error(adapted):
    with pytest.raises(KeyError), fused_adapters(adapted):
        raise KeyError
    assert not any("forward" in vars(module) for module in adapted.modules())
