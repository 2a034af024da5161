"""Sites mean the same on every architecture, and hooks see what transformers itself reports."""

from dataclasses import replace

import pytest
import torch

from activations.capture import hooked, run_hooked
from activations.sites import SITES, SiteError, find_points, find_trunk, resolve_layers, resolve_sites

IDS = torch.arange(12).reshape(2, 6) * 7 % 250


def read(model, sites, layers=(0, 1, 2), ids=IDS):
    """{(site, layer): tensor} of whole activations."""
    trunk = find_trunk(model.model)
    points, seen = find_points(trunk, sites, layers), {}
    with torch.inference_mode(), hooked(points, lambda i, hidden: seen.__setitem__(i, hidden.clone())):
        run_hooked(trunk.module, input_ids=ids, use_cache=False)
    return {(point.site, point.layer): seen[i] for i, point in enumerate(points)}


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_residual_sites_equal_hidden_states(any_model):
    with torch.inference_mode():
        states = any_model.model(IDS, output_hidden_states=True).hidden_states
    got = read(any_model, ("embed", "resid_pre", "resid_post"))
    assert torch.equal(got["embed", 0], states[0])
    for layer in range(3):
        assert torch.equal(got["resid_pre", layer], states[layer])
    for layer in range(2):
        assert torch.equal(got["resid_post", layer], states[layer + 1])


def test_last_block_is_read_before_the_final_norm(any_model):
    with torch.inference_mode():
        normed = any_model.model(IDS, output_hidden_states=True).hidden_states[-1]
    raw = read(any_model, ("resid_post",))["resid_post", 2]
    norm = find_final_norm(any_model)
    with torch.inference_mode():
        assert relative(norm(raw), normed) < 1e-6
    assert relative(raw, normed) > 1e-3


def find_final_norm(model):
    trunk = find_trunk(model.model).module
    return next(
        getattr(trunk, n)
        for n in ("norm", "ln_f", "final_layernorm", "final_layer_norm")
        if hasattr(trunk, n)
    )


def test_sites_add_up_to_the_residual_stream(any_model):
    parallel = find_trunk(any_model.model).parallel
    sites = tuple(s for s in SITES if not (parallel and s == "resid_mid"))
    if any_model.config.model_type == "bloom":
        with pytest.raises(SiteError, match="adds the residual stream inside"):
            read(any_model, sites)
        return
    got = read(any_model, sites)
    for layer in range(3):
        pre, post = got["resid_pre", layer], got["resid_post", layer]
        attention, mlp = got["attn_out", layer], got["mlp_out", layer]
        assert relative(pre + attention + mlp, post) < 1e-5
        if not parallel:
            assert relative(pre + attention, got["resid_mid", layer]) < 1e-5


def test_parallel_blocks_refuse_resid_mid(models):
    with pytest.raises(SiteError, match="nothing lies between"):
        read(models("gpt_neox"), ("resid_mid",))


def test_pass_stops_after_the_last_wanted_block(models):
    model = models("llama")
    trunk = find_trunk(model.model)
    reached = []
    handles = [b.register_forward_hook(lambda *_, i=i: reached.append(i)) for i, b in enumerate(trunk.blocks)]
    try:
        read(model, ("resid_post",), (0,))
        assert reached == [0]
        read(model, ("resid_pre",), (1,))
        assert reached == [0, 0]
    finally:
        [h.remove() for h in handles]


def count_hooks(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_no_hook_remains_after_success_or_error(models):
    model = models("llama")
    trunk = find_trunk(model.model)
    before, hooks = model.model(IDS).logits, count_hooks(model.model)

    def explode(index, hidden):
        raise RuntimeError("in a hook")

    read(model, SITES)
    with pytest.raises(RuntimeError, match="in a hook"), hooked(find_points(trunk, SITES, (0, 1)), explode):
        run_hooked(trunk.module, input_ids=IDS)
    assert count_hooks(model.model) == hooks
    assert torch.equal(model.model(IDS).logits, before)


def test_a_failing_registration_removes_the_hooks_before_it(models):
    trunk = find_trunk(models("llama").model)
    points, hooks = find_points(trunk, ("resid_post",), (0,)), count_hooks(trunk.module)

    class Unhookable(torch.nn.Module):
        def register_forward_hook(self, *_, **__):
            raise AttributeError("no hooks here")

    broken = replace(points[0], module=Unhookable())
    with pytest.raises(AttributeError, match="no hooks here"), hooked([*points, broken], lambda *_: None):
        pass
    assert count_hooks(trunk.module) == hooks


@pytest.mark.parametrize("layers", [3, -4, [0, 5], [], "some", [True, 9], 1.0])
def test_unknown_layers_are_refused(layers):
    with pytest.raises(SiteError, match="layers 0 to 2"):
        resolve_layers(layers, 3)


@pytest.mark.parametrize("sites", ["resid", [], ["resid_post", "logits"]])
def test_unknown_sites_are_refused(sites):
    with pytest.raises(SiteError, match="known sites"):
        resolve_sites(sites)
