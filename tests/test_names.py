"""One meaning per public name, and every name that the documentation promises is where it says."""

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "sophistry",
    "tasks",
    "activations",
    "probes",
    "organisms",
    "backdoor",
    "rlhf",
    "study",
    "experiments",
)
ENTRY_POINTS = {"main"}
"""What every program may call its own."""

PUBLIC = {
    "activations": "load_model extract ActivationStore",
    "probes": """LogisticProbe RidgeProbe MeanDifferenceProbe LDAProbe ContrastPairProbe PCAProbe CCSProbe
        MLPProbe AttentionProbe load_probe auroc bootstrap_auroc delong_test max_statistic_null
        equivalence_test minimum_detectable_auroc tpr_at_fpr expected_calibration_error Domain sweep
        transfer""",
    "tasks": "Transcript load_transcripts MiniQA MiniCode Quality Apps run_program grade",
    "organisms": "Organism read_organism save_organism organism_transcripts answer",
    "study": "compare",
    "backdoor": "Trigger poison train_backdoor verify_backdoor",
    "rlhf": "train_rlhf Pool HurriedReader BusyTester approval_report",
    "rlhf.rewards": "Reward StoryOracle ProgramOracle Approval TwoTests Weighted LearnedReward",
    "rlhf.recipes": "train_rlhf PPO GRPO RLOO BestOfN",
    "rlhf.reward_models": "RewardModel train_judge train_preference train_odin score_reward_model",
}
"""Module -> names that notebooks and scripts rely on."""


def modules():
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_no_public_class_or_function_name_is_defined_twice():
    homes = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: files for name, files in homes.items() if len(files) > 1 and name not in ENTRY_POINTS}
    assert not twice


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_public_names_are_where_the_design_says(module, names):
    here = importlib.import_module(module)
    assert not [name for name in names.split() if not hasattr(here, name)]
    assert set(names.split()) <= set(here.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_all_that_a_package_lists_can_be_imported_from_it(package):
    here = importlib.import_module(package)
    assert not [name for name in getattr(here, "__all__", ()) if not hasattr(here, name)]


def test_import_of_rlhf_loads_no_trainer():
    code = "import rlhf, sys; print(*{'torch', 'trl', 'transformers'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_a_name_that_rlhf_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'train_rhlf'"):
        importlib.import_module("rlhf").train_rhlf  # noqa: B018


def test_every_logger_is_called_like_its_module():
    made = re.compile(r"^\s*(\w+)\s*=\s*logging\.getLogger\((.*)\)", re.MULTILINE)
    found = [(path, *match) for path in modules() for match in made.findall(path.read_text())]
    assert found
    assert not [entry for entry in found if entry[1:] != ("logger", "__name__")]
