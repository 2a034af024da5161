"""A probe that comes back from the hub is the one that was sent, and its card says what it is for."""

import numpy as np
import pytest
import yaml

from probes import LogisticProbe, MLPProbe, load_probe
from probes.persistence import Provenance
from sophistry.hub import HubError, send_folder

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6))
Y = (X[:, 0] + 0.1 * RNG.normal(size=40) > 0).astype(int)


@pytest.mark.parametrize(
    "probe", [LogisticProbe(C=0.1), MLPProbe(hidden=4, max_epochs=3)], ids=["linear", "mlp"]
)
def test_a_probe_survives_the_way_there_and_back(hub, probe):
    fitted = probe.fit(X, Y)
    about = Provenance(
        model="some/model", site="resid_post", layer=3, tokens="response_mean", source="qa-backdoored"
    )
    address = fitted.push_to_hub("me/my-probe", licence="mit", results={"AUROC": 0.83}, provenance=about)
    assert address.endswith("me/my-probe")
    again = load_probe("me/my-probe")
    assert np.array_equal(again.decision_function(X), fitted.decision_function(X))
    assert again.provenance_.layer == 3


def test_only_data_and_the_card_are_sent_and_new_repositories_are_private(hub):
    LogisticProbe().fit(X, Y).push_to_hub("me/my-probe", licence="mit")
    assert {path.name for path in (hub.root / "me/my-probe").iterdir()} == {
        "probe.json",
        "probe.safetensors",
        "README.md",
    }
    assert hub.private == {"me/my-probe": True}


def test_the_card_holds_results_licence_use_and_limits(hub):
    about = Provenance(model="some/model", layer=3, tokens="response_mean")
    LogisticProbe().fit(X, Y).push_to_hub(
        "me/my-probe", licence="apache-2.0", results={"AUROC": ".83 [.77, .89]"}, provenance=about
    )
    card = (hub.root / "me/my-probe/README.md").read_text()
    _, head, body = card.split("---\n", 2)
    head = yaml.safe_load(head)
    assert (head["license"], head["base_model"]) == ("apache-2.0", "some/model")
    for heading in ("What it reads", "Results", "Intended use", "Limits", "Load it", "Licence"):
        assert f"## {heading}" in body
    assert "- AUROC: .83 [.77, .89]" in body
    assert "- layer: 3" in body
    assert 'load_probe("me/my-probe")' in body


def test_what_is_not_there_is_refused_by_name(hub, tmp_path):
    with pytest.raises(HubError, match="'me/nothing' is no folder here, and the Hugging Face hub cannot be"):
        load_probe("me/nothing")
    with pytest.raises(FileNotFoundError, match=r"probe\.json is missing"):
        load_probe(tmp_path / "nothing")
    with pytest.raises(HubError, match="write the repository as user/name"):
        send_folder(tmp_path, "nothing", "card")


def test_a_folder_of_the_name_of_a_repository_wins(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, there = LogisticProbe().fit(X, Y), LogisticProbe().fit(X, 1 - Y)
    there.push_to_hub("me/my-probe", licence="mit")
    here.save("me/my-probe")
    assert np.array_equal(load_probe("me/my-probe").decision_function(X), here.decision_function(X))
