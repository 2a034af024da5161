"""Tokenizers of every kind that puts something of its own around a text."""

from tokenizers.processors import TemplateProcessing
from transformers import LlamaTokenizer

from activations.testing import tiny_tokenizer


def with_rule(single, **special):
    """The byte tokenizer with another rule for what surrounds a text."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    for name, token in special.items():
        setattr(tokenizer, name, token)
    return tokenizer


def sentencepiece(**options):
    """A small Llama tokenizer: a space is written as a sign, and one is put before every text."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{i:02X}>": 3 + i for i in range(256)}}
    letters = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.?:"
    for piece in [*letters, "▁Y", "▁Ye", "▁Yes", "Ye", "Yes"]:
        vocabulary.setdefault(piece, len(vocabulary))
    merges = [("▁", "Y"), ("▁Y", "e"), ("▁Ye", "s"), ("Y", "e"), ("Ye", "s")]
    return LlamaTokenizer(vocab=vocabulary, merges=merges, **options)


def space_before_words():
    from tokenizers import pre_tokenizers

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


TOKENIZERS = {
    "bytes": tiny_tokenizer,
    "no BOS": lambda: tiny_tokenizer(bos=False),
    "BOS and EOS": lambda: with_rule("<s> $A </s>"),
    "EOS": lambda: with_rule("$A </s>"),
    "BOS is EOS": lambda: with_rule("</s> $A", bos_token="</s>"),
    "SentencePiece": sentencepiece,
    "SentencePiece, legacy": lambda: sentencepiece(legacy=True),
    "prefix space": space_before_words,
}
