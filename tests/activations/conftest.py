"""What several test files of this package share."""

import pytest

from activations.testing import tiny_config, tiny_model

# name -> (architecture, changes to the tiny configuration)
ARCHITECTURES = {
    "llama": ("llama", {}),
    "gpt2": ("gpt2", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"sliding_window": 5}),
    "gemma3": ("gemma3_text", {"sliding_window": 5}),
    "gpt_neox": ("gpt_neox", {}),
    "gpt_neox_sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "mistral": ("mistral", {"sliding_window": 5}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": ("qwen3_moe", {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}),
    "phi": ("phi", {}),
    "phi3": ("phi3", {}),
    "olmo2": ("olmo2", {}),
    "falcon": ("falcon", {"new_decoder_architecture": True}),
    "bloom": ("bloom", {}),
}


@pytest.fixture(scope="session")
def models():
    """Tiny random models by name, made on first use."""
    made = {}

    def get(name: str):
        if name not in made:
            architecture, changes = ARCHITECTURES[name]
            made[name] = tiny_model(architecture, **changes)
        return made[name]

    return get


@pytest.fixture(params=list(ARCHITECTURES))
def any_model(request, models):
    return models(request.param)


@pytest.fixture
def rows():
    """Rows of different lengths, one with unicode, one chat, one with a one-token response."""
    return [
        {"id": "short", "group": "g1", "prompt": "Who?", "response": " Me."},
        {"id": "long", "group": "g1", "prompt": "A story. " * 6, "response": "It ended well, they say."},
        {"id": "unicode", "group": "g2", "prompt": "Où? 日本", "response": "là — 東京"},
        {"id": "one", "group": "g2", "prompt": "One token", "response": "x"},
        {"id": "chat", "group": "g3", "prompt": [{"role": "user", "content": "Hi"}], "response": "Hello."},
    ]


__all__ = ["tiny_config"]
