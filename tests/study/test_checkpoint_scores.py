"""The same rows through training: each checkpoint read with its own weights, beside the model before."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from activations import extract, load_model
from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from probes import MeanDifferenceProbe
from study.checkpoint_scores import checkpoint_scores, find_checkpoints, read_checkpoints

ROWS = [
    {
        "id": str(n),
        "prompt": f"Is {n // 2} even?",
        "response": f"{'Yes' if n % 2 else 'No'} {n}",
        "group": str(n // 2),
        "correct": bool(n % 2),
    }
    for n in range(12)
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base in a folder and two checkpoints of an adapter on it, the later one further away."""
    root = tmp_path_factory.mktemp("training")
    tiny = tiny_model()
    tiny.model.save_pretrained(root / "base")
    tiny.tokenizer.save_pretrained(root / "base")
    for step, size in ((2, 0.05), (10, 0.5)):
        model = add_adapter(load_model(root / "base", dtype="float32").model, FineTuneSpec(rank=2))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=size)
        model.save_pretrained(root / "work" / f"checkpoint-{step:06d}", save_embedding_layers=False)
    (root / "work" / "checkpoint-000011").mkdir()  # state only
    return root


def test_scores_are_those_of_each_checkpoints_own_weights(trained):
    base = load_model(trained / "base", dtype="float32")
    y = [int(not row["correct"]) for row in ROWS]
    probe = MeanDifferenceProbe().fit(extract(base, ROWS, layers=[1], progress=False).array(1), y)
    table = checkpoint_scores(base, trained / "work", ROWS, probe, 1)
    assert table["step"].tolist() == [0, 2, 10]
    for step, auroc, mean in zip(table["step"], table["auroc"], table["mean"], strict=True):
        adapter = None if not step else trained / "work" / f"checkpoint-{step:06d}"
        alone = load_model(trained / "base", dtype="float32", adapter=adapter)
        scores = probe.decision_function(extract(alone, ROWS, layers=[1], progress=False).array(1))
        assert auroc == pytest.approx(roc_auc_score(y, scores))
        assert mean == pytest.approx(scores.mean(), rel=1e-4, abs=1e-4)


def test_changes_are_paired_with_the_model_before(trained):
    base = load_model(trained / "base", dtype="float32")
    stores = dict(read_checkpoints(base, trained / "work", ROWS, layers=[2]))
    probe = MeanDifferenceProbe().fit(stores[0].array(2), [int(not row["correct"]) for row in ROWS])
    table = checkpoint_scores(base, trained / "work", ROWS, probe, 2).set_index("step")
    before, after = (probe.decision_function(stores[step].array(2)) for step in (0, 10))
    assert table.loc[0, "change"] == 0
    assert table.loc[10, "change"] == pytest.approx((after - before).mean(), rel=1e-4)
    by_group = np.reshape(after - before, (6, 2)).mean(1)
    assert table.loc[10, "change_se"] == pytest.approx(by_group.std(ddof=1) / np.sqrt(6), rel=1e-4)
    moved = [np.linalg.norm(stores[step].array(2) - stores[0].array(2)) for step in (2, 10)]
    assert 0 < moved[0] < moved[1]


def test_a_folder_without_checkpoints_says_what_to_do(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(FileNotFoundError, match="train with save_every"):
        find_checkpoints(tmp_path)
