"""Small judged and compared items, and a tiny model to train a reward model from."""

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.weights import Trainable
from rlhf.evaluators import Pool, StoryView
from rlhf.reward_models import RewardModelSpec, judged_items

SPEC = RewardModelSpec(rank=2, epochs=2, items_per_step=2, autocast=False, max_tokens=900, save_every=2)
BASE = "tiny"


def opened(*, full=False, architecture="llama"):
    """What a reward model is trained from."""
    loaded = tiny_model(architecture, max_position_embeddings=1024)
    model = loaded.model if full else add_adapter(loaded.model, FineTuneSpec(rank=2))
    return Trainable(
        model=model, tokenizer=loaded.tokenizer, base_fingerprint=loaded.base_fingerprint, start="tiny"
    )


def view(n):
    """A story of its own."""
    name = "Ida Tom Otto Vera Leo Mia Nora Ruth".split()[n % 8]
    return StoryView(
        passage=f"{name} slept {'very ' * n}well. The other wanted to sleep.",
        question="Who slept?",
        options=(name, "the other"),
    )


def stories(n=5, pool=None):
    """Judged items: a right answer with a quotation, a wrong one, and one that says nothing."""
    views = [view(i) for i in range(n)]
    answers = [
        [
            f'We read: "{one.passage.split(".")[0]}." The answer is A.',
            "It is the other. The answer is B.",
            "I would rather not say." + " Sorry." * (i % 3),
        ]
        for i, one in enumerate(views)
    ]
    pool = pool or Pool.hurried(4, seed=0)
    return judged_items([f"item-{i}" for i in range(n)], views, answers, pool)
