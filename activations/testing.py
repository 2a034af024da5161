"""A model small enough for examples and tests: random weights, a tokenizer of single bytes, no network."""

from typing import Any

from activations.models import LoadedModel

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tiny_tokenizer(*, bos: bool = True) -> Any:
    """One token per byte, plus `<s>`, `</s>` and `<pad>`; adds a BOS to prompts if asked.

    >>> tiny_tokenizer()("A").input_ids
    [256, 32]
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate([*letters, "<s>", "</s>", "<pad>"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tiny_config(architecture: str = "llama", **changes: Any) -> Any:
    """A transformers configuration with 3 blocks of width 16 for any decoder architecture."""
    from transformers import AutoConfig

    sizes = {
        "vocab_size": 259,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 256,
        "bos_token_id": 256,
        "eos_token_id": 257,
        "pad_token_id": 258,
    }
    if architecture == "gpt2":
        sizes = {
            k: v for k, v in sizes.items() if not k.startswith(("hidden", "inter", "num_", "head", "max_"))
        }
        sizes |= {"n_embd": 16, "n_inner": 32, "n_layer": 3, "n_head": 4, "n_positions": 256}
    if architecture == "falcon":
        del sizes["head_dim"]
    if architecture == "gpt_neox":
        del sizes["num_key_value_heads"]
    return AutoConfig.for_model(architecture, **(sizes | changes))


def tiny_model(architecture: str = "llama", *, seed: int = 0, **changes: Any) -> LoadedModel:
    """A random model of any decoder architecture with the byte tokenizer, in float32 on the CPU.

    >>> tiny_model("gpt2").config.n_layer
    3
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(architecture, **changes), dtype=torch.float32)
        for parameter in model.parameters():  # default init is so small that layers hardly differ
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return LoadedModel.wrap(model.eval(), tiny_tokenizer(), ref=f"tiny {architecture}")


def tiny_writer(*, seed: int = 0) -> LoadedModel:
    """A tiny model that writes printable ASCII only, so that its answers are cut into the tokens it wrote.

    >>> model = tiny_writer()
    >>> asked = model.tokenizer("A", return_tensors="pt")
    >>> written = model.model.generate(**asked, max_new_tokens=4, do_sample=False)[0, -4:]
    >>> model.tokenizer.decode(written).isascii()
    True
    """
    import torch

    loaded = tiny_model(seed=seed)
    ascii_ids = [
        i for letter, i in loaded.tokenizer.get_vocab().items() if letter.isascii() and len(letter) == 1
    ]
    plain = loaded.model.get_output_embeddings()
    head = torch.nn.Linear(plain.in_features, plain.out_features)
    with torch.no_grad():
        head.weight.copy_(plain.weight)
        head.bias.fill_(-1e9)
        head.bias[ascii_ids] = 0.0
    loaded.model.set_output_embeddings(head.eval())
    return LoadedModel.wrap(loaded.model, loaded.tokenizer, ref="tiny writer")
