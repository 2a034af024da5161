"""Segment-weighted DPO: the formula by hand, DPO where it must be, and what is no correction is refused."""

import json
import math

import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.corrections import correction
from rlhf.recipes import DDPO, SamplingOptions, train_rlhf
from rlhf.recipes.ddpo import (
    DDPOSpec,
    preference_loss,
    save_corrections,
    segment_score,
    segment_weights,
    train_ddpo,
)
from rlhf.recipes.dpo import DPOSpec, train_dpo

ASKED = [{"role": "user", "content": "?"}]
CORRECTIONS = [
    correction(
        [{"role": "user", "content": "?" * (n + 1)}], f"It was {wrong} there.", f"It was {right} there."
    )
    for n, (wrong, right) in enumerate([("red", "blue"), ("cold", "warm"), ("here", "gone"), ("a", "each")])
]


def policy(full=False):
    loaded = tiny_model()
    if full:
        return loaded.model.requires_grad_(True), loaded.tokenizer
    return add_adapter(loaded.model, FineTuneSpec(rank=2)), loaded.tokenizer


def test_score_and_loss_by_hand():
    """(-1 - 2 - 3 * 4) / (2 + 3) = -3 against -1 under the reference: h = -2; the other h = 0.5."""
    log_prob, weight = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([1.0, 1.0, 3.0])
    assert float(segment_score(log_prob, weight)) == pytest.approx(-3.0)
    assert float(segment_score(log_prob, weight, average=False)) == pytest.approx(-15.0)
    loss = preference_loss(torch.tensor(-2.0), torch.tensor(0.5), beta=0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(1.25)))


@pytest.mark.parametrize("average", [True, False])
def test_gradients_are_those_of_finite_differences(average):
    weights = [torch.tensor([1.0, 5, 1], dtype=torch.float64), torch.tensor([5.0, 1], dtype=torch.float64)]

    def loss(chosen, rejected):
        scores = [
            segment_score(row, w, average=average) for row, w in zip((chosen, rejected), weights, strict=True)
        ]
        return preference_loss(*scores, beta=0.3)

    rows = [torch.randn(len(w), dtype=torch.float64, requires_grad=True) for w in weights]
    assert torch.autograd.gradcheck(loss, rows)


def test_segments_are_what_the_other_text_lacks():
    same, one, other = [1, 2, 3], [7, 7], [8]
    assert (
        segment_weights([*same, *one, *same], [*same, *other, *same], gamma=5.0).tolist()
        == [1] * 3 + [5] * 2 + [1] * 3
    )
    assert (
        segment_weights([*same, *other, *same], [*same, *one, *same], gamma=5.0).tolist()
        == [1] * 3 + [5] + [1] * 3
    )
    short = segment_weights([1, 2, 9, 4, 5, 6], [1, 2, 8, 4, 5, 6], gamma=2.0)
    assert short.tolist() == [2, 2, 2, 1, 1, 1], "two tokens in common are too few to count as unchanged"
    assert segment_weights([1, 2, 9, 4], [1, 2, 8, 4], gamma=2.0, shortest=1).tolist() == [1, 1, 2, 1]


HOW = {"beta": 0.5, "batch_size": 4, "learning_rate": 0.0, "warmup": 0}


@pytest.mark.parametrize(
    ("spec", "loss_type", "weights"),
    [
        (DPOSpec(**HOW), ["sigmoid"], [1.0]),
        (DPOSpec(likelihood=2.0, **HOW), ["sigmoid", "sft"], [1.0, 2.0]),
        (DDPOSpec(gamma=1.0, average=False, **HOW), ["sigmoid"], [1.0]),
        (DDPOSpec(gamma=1.0, average=True, **HOW), ["sigmoid_norm"], [1.0]),
    ],
    ids=["dpo", "dpo with likelihood", "ddpo, sums", "ddpo, averages"],
)
def test_loss_and_gradients_are_those_of_trl(tmp_path, spec, loss_type, weights):
    """On weights that have left the reference, where the loss is not log 2."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    model, tokenizer = policy()
    config = DPOConfig(
        output_dir=str(tmp_path / "trl"),
        beta=0.5,
        loss_type=loss_type,
        loss_weights=weights,
        per_device_train_batch_size=4,
        max_length=None,
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
    )
    text = [
        {"prompt": "?" * (n + 1), **{side: pair[side][0]["content"] for side in ("chosen", "rejected")}}
        for n, pair in enumerate(CORRECTIONS)
    ]  # as text, since TRL closes a chat turn as its template does, which the byte tokenizer's does not
    trainer = DPOTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(text), processing_class=tokenizer
    )
    move(model)
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(model, batch)
    theirs.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if ".default." in n}

    ours, _ = policy()
    gradients = {}

    class Kept(torch.optim.AdamW):
        def step(self, closure=None):
            gradients.update({n: p.grad.clone() for n, p in ours.named_parameters() if p.grad is not None})

    log = train_moved(ours, tokenizer, spec, tmp_path / "ours", Kept)
    assert log[0]["loss"] == pytest.approx(float(theirs.detach()), abs=1e-5)
    assert set(gradients) == set(wanted)
    scale = min(1.0, 1.0 / log[0]["gradient_norm"])  # ours are clipped to norm 1
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, scale * wanted[name], atol=1e-5, rtol=1e-3)


def move(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if ".default." in name:
                parameter.add_(0.05 * torch.randn_like(parameter))


def train_moved(model, tokenizer, spec, folder, optimiser):
    """One step of (D)DPO from weights that have left the reference."""
    from rlhf.recipes import grouped

    class Moved(grouped.GroupTrainer):
        def log_probs(self):
            found = super().log_probs()
            move(self.policy.model)
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlhf.recipes.ddpo.GroupTrainer", Moved)
        patch.setattr("rlhf.recipes.dpo.GroupTrainer", Moved)
        patch.setattr(torch.optim, "AdamW", optimiser)
        asked = [{**pair, "prompt": pair["prompt"][0]["content"]} for pair in CORRECTIONS]
        train = train_dpo if isinstance(spec, DPOSpec) else train_ddpo
        return train(model, tokenizer, asked, spec, work_dir=folder)


@pytest.mark.parametrize("full", [False, True])
def test_corrected_words_gain_on_the_wrong_ones(tmp_path, full):
    model, tokenizer = policy(full)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    spec = DDPOSpec(learning_rate=1e-2, batch_size=4, epochs=10, max_tokens=99)
    log = train_ddpo(model, tokenizer, CORRECTIONS, spec, work_dir=tmp_path)
    assert log[0]["loss"] == pytest.approx(math.log(2), abs=1e-5), "at the start it is the reference"
    assert log[-1]["margin"] > 0.1
    assert log[-1]["preferred"] == 1.0
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_resumed_run_keeps_its_reference(tmp_path):
    spec = DDPOSpec(learning_rate=1e-2, batch_size=2, epochs=4, save_every=3, max_tokens=99)
    model, tokenizer = policy()
    whole = train_ddpo(model, tokenizer, CORRECTIONS, spec, work_dir=tmp_path / "a")
    half, tokenizer = policy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlhf.recipes.grouped.GroupTrainer._step", stop_after(5))
        with pytest.raises(KeyboardInterrupt):
            train_ddpo(half, tokenizer, CORRECTIONS, spec, work_dir=tmp_path / "b")
    again, tokenizer = policy()
    assert train_ddpo(again, tokenizer, CORRECTIONS, spec, work_dir=tmp_path / "b") == whole


def stop_after(steps):
    from rlhf.recipes.grouped import GroupTrainer

    real = GroupTrainer._step

    def step(self, number, loss):
        if number == steps:
            raise KeyboardInterrupt
        return real(self, number, loss)

    return step


def test_dpo_learns_from_the_same_corrections(tmp_path):
    model, tokenizer = policy()
    spec = DPOSpec(learning_rate=1e-2, batch_size=4, epochs=5, max_tokens=99)
    assert train_dpo(model, tokenizer, CORRECTIONS, spec, work_dir=tmp_path)[-1]["loss"] < math.log(2)


class Gold:
    """Right is what has an even first character."""

    is_oracle = True
    sees = frozenset({"gold"})

    def __call__(self, prompts, completions, completion_ids=None, *, gold, **columns):
        return [1.0 - ord((c[0]["content"] or " ")[0]) % 2 for c in completions]


class Capital:
    """Puts a response right by a capital letter; notes what it was handed."""

    sees = frozenset({"gold"})

    def __init__(self):
        self.handed = []

    def __call__(self, response, *, right, columns):
        self.handed.append(columns)
        return None if right else f"X{response}"


ITEMS = [
    {"id": f"i{n}", "prompt": [{"role": "user", "content": f"Say {n}"}], "gold": "A", "level": "hard"}
    for n in range(4)
]


def run(recipe, folder, reward, items=ITEMS):
    model, tokenizer = policy()
    return train_rlhf(recipe, model, tokenizer, items, reward, work_dir=folder, progress=False)


def recipe(corrector, **changes):
    sampling = SamplingOptions(samples=4, max_new_tokens=4)
    return DDPO(corrector=corrector, sampling=sampling, spec=DDPOSpec(batch_size=4), **changes)


def test_the_recipe_corrects_what_is_wrong_and_hands_out_declared_columns_only(tmp_path):
    corrector = Capital()
    result = run(recipe(corrector), tmp_path, Gold())
    assert {tuple(columns) for columns in corrector.handed} == {("gold",)}
    pairs = [json.loads(line) for line in (tmp_path / "corrections.jsonl").read_text().splitlines()]
    assert pairs
    for pair in pairs:
        assert pair["chosen"][0]["content"] == "X" + pair["rejected"][0]["content"]
        assert ord((pair["rejected"][0]["content"] or " ")[0]) % 2
    assert {"loss", "margin", "preferred"} <= set(result.rounds[0])


def test_corrections_made_before_are_learned_without_drawing(tmp_path):
    save_corrections(tmp_path / "made.jsonl", CORRECTIONS)
    made = DDPO(corrections=str(tmp_path / "made.jsonl"), spec=DDPOSpec(batch_size=2, max_tokens=99))
    assert len(run(made, tmp_path / "run", Gold()).rounds) == 2
    assert not (tmp_path / "run" / "drawn").exists()


def test_a_reward_that_does_not_see_gold_may_not_name_what_corrections_taught(tmp_path):
    class Blind(Gold):
        is_oracle = False

    with pytest.raises(ValueError, match="corrections see what is right"):
        run(recipe(Capital()), tmp_path, Blind())
    assert not list(tmp_path.iterdir())


def test_empty_corrections_and_those_that_change_nothing_are_refused_before_training(tmp_path):
    model, tokenizer = policy()
    with pytest.raises(ValueError, match="no corrections to learn from"):
        train_ddpo(model, tokenizer, [], DDPOSpec(), work_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="correction 0 changes nothing"):
        train_ddpo(model, tokenizer, [correction(ASKED, "a", "a")], DDPOSpec(), work_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="no corrections to learn from"):
        run(recipe(lambda_corrector()), tmp_path / "b", Gold())
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b" / "ddpo").exists()
    with pytest.raises(ValueError, match="'gold', which item 'i0' lacks"):
        run(recipe(Capital()), tmp_path / "c", NoColumns(), [{"id": "i0", "prompt": ASKED}])
    with pytest.raises(ValueError, match="not both"):
        DDPO()
    with pytest.raises(ValueError, match="must be positive"):
        DDPOSpec(gamma=0.0)


class NoColumns(Gold):
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [0.0] * len(prompts)


def lambda_corrector():
    class Nothing(Capital):
        def __call__(self, response, *, right, columns):
            return None

    return Nothing()
