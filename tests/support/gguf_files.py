"""Small GGUF files for tests."""

import numpy as np


def write_gguf(path, more=lambda writer: None):
    """A two-layer Llama with a byte tokenizer as a GGUF file; `more` adds fields or tensors of its own."""
    import gguf

    generator, width, hidden = np.random.default_rng(0), 32, 64
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    writer.add_rope_freq_base(10_000.0)
    vocabulary = ["<unk>", "<s>", "</s>", *(chr(c) for c in range(33, 127)), "ab", "cd"]
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["a b", "c d"])  # older transformers read a list of one as a string
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")

    def add(name, *shape, quantised=True):
        values = generator.normal(size=shape).astype(np.float32)
        if not quantised:
            writer.add_tensor(name, values)
            return
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", len(vocabulary), width)
    add("output_norm.weight", width, quantised=False)
    for i in range(2):
        add(f"blk.{i}.attn_norm.weight", width, quantised=False)
        add(f"blk.{i}.ffn_norm.weight", width, quantised=False)
        for name, rows in [("attn_q", 32), ("attn_k", 16), ("attn_v", 16), ("attn_output", 32)]:
            add(f"blk.{i}.{name}.weight", rows, width)
        add(f"blk.{i}.ffn_gate.weight", hidden, width)
        add(f"blk.{i}.ffn_up.weight", hidden, width)
        add(f"blk.{i}.ffn_down.weight", width, hidden)
    more(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
