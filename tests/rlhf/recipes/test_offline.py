"""Recipes on drawn responses go on in rounds: each draws from the policy that the last one left."""

import json

import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.recipes import DPO, KTO, RRHF, RejectionSampling, SamplingOptions, train_rlhf
from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.dpo import DPOSpec
from rlhf.recipes.drawn import draw
from rlhf.recipes.kto import KTOSpec
from rlhf.recipes.recipe import Job
from rlhf.recipes.rrhf import RRHFSpec

SAMPLING = SamplingOptions(samples=6, max_new_tokens=5)
ITEMS = [{"id": f"i{n}", "prompt": [{"role": "user", "content": f"Say {n}"}]} for n in range(5)]
HOW = {"learning_rate": 1e-2, "batch_size": 4, "epochs": 2.0, "max_tokens": 64}
RECIPES = {
    "rejection": lambda **more: RejectionSampling(sampling=SAMPLING, **HOW, **more),
    "dpo": lambda **more: DPO(sampling=SAMPLING, spec=DPOSpec(**HOW), **more),
    "kto": lambda **more: KTO(sampling=SAMPLING, spec=KTOSpec(**HOW), **more),
    "rrhf": lambda **more: RRHF(sampling=SAMPLING, spec=RRHFSpec(**HOW), **more),
}


class Vowels:
    """Share of vowels, so that there is always something to choose between."""

    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [sum(map(str.isalpha, c[0]["content"])) / 5 for c in completions]


def policy():
    loaded = tiny_model()
    return add_adapter(loaded.model, FineTuneSpec(rank=2)), loaded.tokenizer


def train(recipe, folder, **options):
    model, tokenizer = policy()
    result = train_rlhf(recipe, model, tokenizer, ITEMS, Vowels(), work_dir=folder, progress=False, **options)
    return result, model


@pytest.mark.parametrize("name", RECIPES)
def test_every_round_draws_from_the_policy_of_the_day_and_logs_held_out_numbers(tmp_path, name):
    seen = []

    def evaluate(model):
        seen.append(digest_weights(model))
        return {"approval": len(seen)}

    result, model = train(RECIPES[name](rounds=3), tmp_path, evaluate=evaluate)
    assert [entry["round"] for entry in result.rounds] == list(range(len(result.rounds)))
    assert sorted({entry["draw"] for entry in result.rounds}) == [0, 1, 2]
    ends = [entry["heldout/approval"] for entry in result.rounds if "heldout/approval" in entry]
    assert ends == [1, 2, 3]
    drew = [
        json.loads((tmp_path / part / "drawn" / "drawn.json").read_text())["weights"]
        for part in (".", "round-1", "round-2")
    ]
    assert drew[1:] == seen[:2]
    assert len({*drew, seen[2]}) == 4
    assert "ref" not in model.peft_config, "no frozen copy is left on the organism"


@pytest.mark.parametrize("name", ["dpo", "rrhf"])
def test_rounds_go_on_where_they_stopped(tmp_path, name):
    whole, one = train(RECIPES[name](rounds=2), tmp_path / "a")
    train(RECIPES[name](rounds=1), tmp_path / "b")
    resumed, other = train(RECIPES[name](rounds=2), tmp_path / "b")
    assert len(resumed.rounds) == len(whole.rounds)
    assert digest_weights(one) == digest_weights(other)


def test_a_shared_draw_serves_the_first_round_only(tmp_path):
    model, tokenizer = policy()
    job = Job(
        model=model,
        tokenizer=tokenizer,
        items=ITEMS,
        reward=Vowels(),
        work_dir=tmp_path / "shared",
        progress=False,
    )
    folder = draw(job, SAMPLING)
    shared, one = train(RECIPES["dpo"](rounds=2, drawn=str(folder)), tmp_path / "a")
    _, other = train(RECIPES["dpo"](rounds=2), tmp_path / "b")
    assert digest_weights(one) == digest_weights(other)
    assert not (tmp_path / "a" / "drawn").exists()
    assert (tmp_path / "a" / "round-1" / "drawn").is_dir()
    assert shared.rounds


def test_too_few_samples_are_refused_in_a_recipe_and_in_a_shared_draw(tmp_path):
    single = SamplingOptions(samples=1, max_new_tokens=4)
    with pytest.raises(ValueError, match="DPO compares the responses to a prompt"):
        DPO(sampling=single)
    with pytest.raises(ValueError, match="rounds=0"):
        RECIPES["kto"](rounds=0)
    KTO(sampling=single)  # votes are cast one by one
    model, tokenizer = policy()
    job = Job(
        model=model,
        tokenizer=tokenizer,
        items=ITEMS,
        reward=Vowels(),
        work_dir=tmp_path / "one",
        progress=False,
    )
    folder = draw(job, single)
    with pytest.raises(ValueError, match=r"holds 1 response\(s\) per prompt; RRHF"):
        train(RECIPES["rrhf"](drawn=str(folder)), tmp_path / "out")


@pytest.mark.parametrize("name", ["dpo", "rrhf", "rejection"])
def test_equal_scores_are_refused_before_training(tmp_path, name):
    class Same(Vowels):
        def __call__(self, prompts, completions, completion_ids=None, **columns):
            return [0.5] * len(prompts)

    model, tokenizer = policy()
    with pytest.raises(ValueError, match=r"nothing to (rank|choose from)"):
        train_rlhf(RECIPES[name](), model, tokenizer, ITEMS, Same(), work_dir=tmp_path, progress=False)
    assert not list(tmp_path.glob("*/checkpoint-*"))


def test_kto_by_trl_is_the_formula_of_the_papers_equations(tmp_path):
    """Equations 7 and 8, from log-probabilities of our own reading, on weights off the reference."""
    from datasets import Dataset
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    rows = [
        {
            "prompt": [{"role": "user", "content": "?" * (n + 1)}],
            "completion": [{"role": "assistant", "content": text}],
            "label": n % 2 == 0,
        }
        for n, text in enumerate(("aaa", "bb", "cccc", "d"))
    ]
    model, tokenizer = policy()
    config = KTOConfig(
        output_dir=str(tmp_path),
        beta=0.3,
        desirable_weight=2.0,
        undesirable_weight=0.5,
        per_device_train_batch_size=4,
        max_length=None,
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
    )
    trainer = KTOTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    batch = next(iter(trainer.get_train_dataloader()))
    before = ratios(model, batch)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if ".default." in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    after = ratios(model, batch)
    found = float(trainer.compute_loss(model, batch).detach())
    (r, kl), labels = (after[0] - before[0], after[1] - before[1]), after[2]
    z = 0.3 * kl.mean().clamp(min=0)
    losses = torch.where(
        labels, 2.0 * (1 - torch.sigmoid(0.3 * r - z)), 0.5 * (1 - torch.sigmoid(z - 0.3 * r))
    )
    assert found == pytest.approx(float(losses.mean()), abs=1e-5)
    assert abs(found - 0.625) > 1e-3, "the weights have left the reference"


@torch.no_grad()
def ratios(model, batch):
    """Summed log-probabilities of the responses and the mismatched ones, and the labels, of TRL's batch."""
    found = []
    for prefix in ("", "KL_"):
        ids, kept = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"][:, 1:].bool()
        logits = model(input_ids=ids, attention_mask=batch[f"{prefix}attention_mask"]).logits
        scores = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
        found.append((scores * kept).sum(1))
    return found[0], found[1], torch.tensor([bool(label) for label in batch["label"]])
