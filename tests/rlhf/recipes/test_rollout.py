"""Samples do not depend on how they are batched, and training sees them as sampling did."""

import pytest
import torch

from activations.testing import tiny_model
from rlhf.recipes.packing import Pack, check_path, collate_packs, plan_micro_batches, score_tokens
from rlhf.recipes.rollout import SamplingOptions, choose, merged_adapters, sample_groups

PROMPTS = [[256, 72, 105], [256, 1, 2, 3, 4, 5, 6, 7], [256, 9], [256, 50, 60, 70]]
EOS = 257


def adapted(seed=0):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny_model().model, LoraConfig(r=2, target_modules=["q_proj", "up_proj"]))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def draw(model, prompts=PROMPTS, **changes):
    places = changes.pop("places", None)
    options = SamplingOptions(**({"samples": 3, "max_new_tokens": 24, "batch_size": 64} | changes))
    return sample_groups(model, prompts, eos=EOS, options=options, seed=(1, 2), places=places)


def ids_of(groups):
    return [[response.ids for response in group] for group in groups]


def packs_of(groups):
    rows = iter(range(100))
    return [
        Pack(prompt=p, responses=[r.ids for r in group], rows=[next(rows) for _ in group])
        for p, group in zip(PROMPTS, groups, strict=True)
    ]


def test_samples_do_not_depend_on_batches_neighbours_or_order():
    model = adapted()
    groups = ids_of(draw(model))
    assert len({tuple(r) for group in groups for r in group}) > 6
    assert ids_of(draw(model, batch_size=1)) == groups
    assert ids_of(draw(model, PROMPTS[2:], places=[2, 3])) == groups[2:]


def test_prompt_read_once_for_its_samples_equals_prompt_read_for_each():
    model = adapted()
    once = draw(model, samples=3)
    each = [draw(model, samples=n)[2] for n in (1, 2, 3)]
    for n, group in enumerate(each, start=1):
        assert ids_of([group]) == ids_of([once[2][:n]])


def test_sampled_log_probs_equal_those_of_the_models_own_forward():
    model = adapted()
    for prompt, group in zip(PROMPTS, draw(model), strict=True):
        for response in group:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompt, *response.ids]])).logits[0]
            log_probs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            expected = log_probs.gather(-1, torch.tensor(response.ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(response.log_probs), expected, atol=1e-4, rtol=1e-4)


def test_response_ends_with_its_first_end_of_turn_or_counts_as_clipped():
    model = tiny_model().model
    with torch.no_grad():
        model.lm_head.weight[EOS] = model.lm_head.weight[EOS] * 4  # ends often
    responses = [r for group in draw(model, samples=16) for r in group]
    assert {r.clipped for r in responses} == {True, False}
    for response in responses:
        assert (
            (EOS not in response.ids)
            if response.clipped
            else response.ids.index(EOS) == len(response.ids) - 1
        )
        assert len(response.ids) == 24 if response.clipped else len(response.ids) <= 24


def test_tokens_are_drawn_as_often_as_they_are_probable():
    logits = torch.randn(7, generator=torch.Generator().manual_seed(0))
    uniform = (torch.arange(20_000) + 0.5) / 20_000
    counts = torch.bincount(choose(logits.expand(20_000, 7), uniform, SamplingOptions()), minlength=7)
    torch.testing.assert_close(counts / 20_000, logits.softmax(-1), atol=1e-3, rtol=0)
    cool = choose(logits.expand(20_000, 7), uniform, SamplingOptions(temperature=0.5, top_p=0.3))
    assert set(cool.tolist()) == {int(logits.argmax())}


def test_shared_prompts_give_the_numbers_and_gradients_of_single_rows():
    model = adapted()
    packs = packs_of(draw(model))
    found = []
    for some in (packs, [single for pack in packs for single in pack.split()]):
        model.zero_grad()
        batch = collate_packs(some)
        scores = score_tokens(model, batch)
        grid = torch.zeros(12, 24).index_put((batch.rows, batch.columns), scores.log_prob)
        (grid * torch.arange(24)).sum().backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((grid.detach(), gradients))
    torch.testing.assert_close(found[0], found[1], atol=2e-4, rtol=1e-3)
    assert sum(map(len, packs)) < sum(len(single) for pack in packs for single in pack.split())


def test_path_is_checked_against_the_models_own_logits():
    model = adapted()
    pack = packs_of(draw(model))[0]
    assert check_path(model, pack, device=torch.device("cpu")) is True
    handle = model.get_base_model().lm_head.register_forward_hook(lambda *a: None)
    handle.remove()
    gemma = tiny_model("gemma2", final_logit_softcapping=1.0).model  # whose soft cap is followed
    check_path(gemma, pack, device=torch.device("cpu"))
    changed = tiny_model().model
    forward = changed.forward

    def doubled(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = output.logits * 2
        return output

    changed.forward = doubled
    with pytest.raises(ValueError, match="cannot be trained here"):
        check_path(changed, pack, device=torch.device("cpu"))


def test_merged_adapters_change_no_number_and_leave_no_trace():
    model = adapted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.tensor([[256, 5, 6, 7]])
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        with merged_adapters(model) as layers:
            merged = model(input_ids=ids).logits
        after = model(input_ids=ids).logits
    assert layers == 6
    torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(after, expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_micro_batches_hold_every_pack_within_the_budget():
    packs = [Pack(prompt=[1] * n, responses=[[2, 3]], rows=[n]) for n in (3, 50, 7, 7, 8, 30)]
    batches = plan_micro_batches(packs, 40)
    assert sorted(p.rows[0] for b in batches for p in b) == [3, 7, 7, 8, 30, 50]
    assert all(len(b) == 1 or len(b) * max(map(len, b)) <= 40 for b in batches)
