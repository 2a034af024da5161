"""The gate passes sound models and names row and place for each way a model can be misread."""

import pytest
import torch

from activations import ParityError, diagnose, extract
from activations.integrity import SAMPLE_ROWS, sample_rows
from activations.testing import tiny_model
from activations.tokens import encode_rows


def test_every_architecture_passes_all_checks(any_model):
    report = diagnose(any_model, show=False)
    assert not report.failed
    names = {check.name for check in report.checks}
    assert {"hook == hidden_states", "batched == alone", "reversed == same"} <= names


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_measured_against_its_own_floor(dtype):
    model = tiny_model()
    model.base.dtype = dtype
    model.model.to(getattr(torch, dtype))
    report = diagnose(model, show=False)
    assert 1e-4 < report.floor < 0.5
    assert not report.failed
    assert {str(p.dtype) for p in model.model.parameters()} == {f"torch.{dtype}"}


def test_a_model_whose_rows_see_each_other_is_refused(rows):
    model = tiny_model()

    def leak(module, args, output):
        return output + output.mean(0, keepdim=True)

    model.model.model.layers[1].mlp.register_forward_hook(leak)
    with pytest.raises(ParityError, match=r"batched == alone.* on row .* layer [12]"):
        extract(model, rows, progress=False)


def test_a_model_that_reads_its_padding_is_refused(rows):
    model = tiny_model()

    def look_ahead(module, args, output):
        return output + output.roll(-1, dims=1)

    model.model.model.layers[0].register_forward_hook(look_ahead)
    with pytest.raises(ParityError, match=r"cut == whole.*hooks of its own \(model\.layers\.0\)"):
        extract(model, rows, progress=False)


def test_sites_that_do_not_add_up_are_refused(rows):
    model = tiny_model()
    block = model.model.model.layers[1]
    block.register_forward_hook(lambda module, args, output: 1.5 * output)  # a scaled residual branch
    with pytest.raises(ParityError, match=r"sites add up.*resid_post of layer 1.*hooks of its own"):
        extract(model, rows, sites=["mlp_out"], progress=False)
    extract(model, rows, sites=["resid_post"], progress=False)


def test_the_manifest_records_what_the_gate_measured(models, rows):
    integrity = extract(models("llama"), rows, progress=False).manifest["integrity"]
    assert {c["name"] for c in integrity["checks"]} >= {"batched == alone", "masked == unmasked"}
    assert all(c["difference"] <= c["limit"] for c in integrity["checks"])


def test_the_sample_is_small_and_of_different_lengths():
    rows = [{"id": str(i), "prompt": "p" * (50 + i), "response": "r" * 200} for i in range(100)]
    sample = sample_rows(encode_rows(rows, tiny_model().tokenizer))
    lengths = [len(ids) for _, ids in sample]
    assert len(sample) == SAMPLE_ROWS
    assert len(set(lengths)) == SAMPLE_ROWS
    assert sum(lengths) <= 300


def test_the_command_line_prints_the_table_and_says_whether_it_passed(tmp_path, capsys, monkeypatch):
    from activations.__main__ import main

    monkeypatch.setenv("COLUMNS", "160")
    model = tiny_model()
    model.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    assert main(["diagnose", str(tmp_path), "--dtype", "float32"]) == 0
    printed = capsys.readouterr().out
    assert "batched == alone" in printed
    assert "Sites: embed" in printed
    assert "FAILED" not in printed
    monkeypatch.setattr("activations.integrity.LIMIT_FLOAT32", 1e-12)
    assert main(["diagnose", str(tmp_path), "--dtype", "float32"]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main(["diagnose", str(tmp_path / "nothing.gguf")]) == 1
    assert "check the path" in capsys.readouterr().err
