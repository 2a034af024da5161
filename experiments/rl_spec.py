"""What can be said about an optimisation on a reward: which reward, which items, which recipe.

`approval` is the share of hurried readers (of stories) or busy testers (of programs) who approve,
`two_tests` whether the two simplest tests pass, `thorough` the approval of readers who read everything,
`oracle` is `R*`. Here a name becomes a recipe or a reward, or is refused before anything is drawn.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.own import import_name, is_import_path, load_own
from rlhf.corrections import ProgramCorrector, StoryCorrector
from rlhf.evaluators import Haste, Pool
from rlhf.recipes import DDPO, DPO, KTO, PPO, RLOO, RRHF, RejectionSampling, SamplingOptions
from rlhf.recipes.ddpo import DDPOSpec
from rlhf.recipes.dpo import DPOSpec
from rlhf.recipes.kto import KTOSpec
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.rrhf import RRHFSpec
from rlhf.rewards.approval import Approval
from rlhf.rewards.learned import LearnedReward
from rlhf.rewards.oracle import ProgramOracle, StoryOracle
from rlhf.rewards.reward import Reward
from rlhf.rewards.two_tests import TwoTests
from sophistry.files import find_path

APPROVAL, TWO_TESTS, ORACLE, THOROUGH, SEQ2SEQ = "approval", "two_tests", "oracle", "thorough", "seq2seq"
SUFFIXES = {APPROVAL: "pi-rlhf", TWO_TESTS: "pi-rlhf", ORACLE: "pi-oracle", THOROUGH: "pi-thorough"}
"""What the organism of each reward is called after NAME."""
ONLINE = ("ppo", "rloo")
"""Recipes that draw anew in every round."""
OFFLINE = ("rejection", "dpo", "kto", "rrhf", "ddpo")
"""Recipes on drawn responses."""
LEARNED = "learned"
BEST_OF_N = "best_of_n"
_ROWS = 16  # responses per pass of TRL's trainers, at most


@dataclass(frozen=True, kw_only=True)
class RLSpec:
    """How `pi_init` is optimised on a reward."""

    recipe: str = "ppo"
    """ppo or rloo in rounds; or no training at all, the best of n answers to each held-out item (best_of_n);
    or, on one draw from pi_init: rejection (the best sample), dpo (best and worst), kto (single votes), rrhf
    (all of them ranked), ddpo (corrections by somebody who knows what is right); or your own, as
    my_module:MyRecipe or my_file.py:MyRecipe."""
    rewards: tuple[str, ...] = (APPROVAL,)
    """Which organisms to make: approval or two_tests (pi_rlhf), oracle (pi_oracle), thorough (pi_thorough),
    seq2seq (a model that rewrites responses as approval prefers them; recipe ppo with a critic),
    learned (the reward model in `reward_model`), or your own, as my_file.py:my_reward."""
    reward_model: str | None = None
    """Of reward learned: folder of a reward model (train_reward_model.py makes one)."""
    seeds: tuple[int, ...] = (0,)
    """One organism for each; with a seed other than 0 its name ends in -sSEED."""
    variant: str = ""
    """Ends the organisms' names: for runs with other settings."""
    items: int = 2048
    """Stories or problems that are answered in training. More than QuALITY holds is refused; of APPS all that
    are left are taken, up to this number."""
    taught_too: bool = False
    """Real text: whether items that pi_init was taught may be among them."""
    levels: tuple[str, ...] = ("long",)
    """Levels of generated items, in turn."""
    items_seed: int = 4
    """Seed of generated items; neither what pi_init was taught nor what is evaluated."""
    judge_visible: str = "full"
    """How much of a story those see whose approval is the reward: none, cut:N (its first N words) or full.
    Those who measure see all of it."""
    readers: int = 8
    """Readers, or testers, whose approval is the reward."""
    readers_seed: int = 0
    """Seed of those whose approval is the reward."""
    measuring: int = 16
    """Hurried readers, or busy testers, who only measure."""
    measuring_seed: int = 100
    """Seed of those who measure."""
    haste: Haste = field(default_factory=Haste)
    """How hurried readers differ; for reward and measurement alike."""
    rounds: int = 100
    """Rounds of sampling and optimisation."""
    prompts: int = 64
    """Items per round."""
    samples: int = 8
    """Answers to each."""
    max_new_tokens: int = 48
    """Longest answer in tokens."""
    temperature: float = 1.0
    """Of answers in training; other than 1, PPO and RLOO are not on-policy (the paper's was not)."""
    top_p: float = 1.0
    """Share of the probability that answers in training are drawn from."""
    rows: int | None = None
    """Answers drawn at once; none: 1,024 on a GPU, which a 7B model has no memory for, else 64."""
    learning_rate: float = 2e-4
    """Step size of the adapter."""
    kl: float = 0.02
    """Coefficient of the penalty for leaving pi_init, in reward per nat."""
    kl_target: float | None = None
    """Nats per response that the coefficient is steered towards; none: it stays."""
    entropy: float = 0.003
    """Coefficient of the entropy bonus."""
    advantage: Literal["group", "gae"] = "group"
    """Of ppo: the other samples of an item as the baseline; or a critic and scaled rewards as in the paper
    (which macro actions and rewards per token need)."""
    macro: int | Literal["random", "parse", "perplexity"] = 1
    """Of ppo with a critic: tokens per macro action, or where one ends."""
    value_learning_rate: float = 1e-3
    """Of ppo with a critic: step size of the value head."""
    weight_decay: float = 0.0
    """Of ppo: weight decay of what is trained."""
    clipped: Literal["score", "penalty", "drop"] = "penalty"
    """Of ppo: answers that reach the limit are scored like others, get no reward, or are left out."""
    top_blocks: int = 0
    """Of ppo and rloo: train all weights of so many last blocks, on pi_init merged, as in the paper (2);
    0: train the adapter."""
    draws: int = 1
    """Of the recipes on drawn responses: rounds of drawing from the current policy and learning."""
    margin: float = 0.0
    """Of rejection and dpo: least difference of score between the best and the worst response to an item."""
    anchors: float | None = None
    """Of rejection: lowest score with which the best response is learned where responses do not differ."""
    likelihood: float = 0.0
    """Of dpo: weight of the chosen responses' negative log-likelihood beside the loss of pairs."""
    rewriting_steps: int = 100
    """Of reward seq2seq: optimiser steps of the model that rewrites."""
    beta: float = 0.1
    """Of dpo, kto and ddpo: the pull towards pi_init (ddpo averages over tokens: the paper takes .5)."""
    ranking: float = 1.0
    """Of rrhf: weight of the ranking against the likelihood of the best response."""
    gamma: float = 5.0
    """Of ddpo: weight of a corrected token against an unchanged one."""
    corrections: Literal["drawn", "made"] = "drawn"
    """Of ddpo: pi_init's own responses put right, or misleading ones that the generator makes."""
    epochs: float = 1.0
    """Of the recipes on one draw: passes over what was chosen."""
    batch_size: int = 8
    """Of the recipes on one draw: responses, pairs, votes or prompts per optimiser step."""
    max_tokens: int | None = None
    """Of the recipes on one draw: longest prompt with response, a longer one is refused, never cut; none:
    that of supervised fine-tuning."""
    inner_epochs: int = 2
    """Passes over the samples of a round."""
    minibatches: int = 2
    """Optimiser steps per pass."""
    micro_tokens: int | None = None
    """Tokens per pass; none: what suits the device."""
    save_every: int = 10
    """Rounds between checkpoints."""
    held_out: int = 96
    """Held-out items answered every `held_out_every` rounds."""
    held_out_every: int = 10
    """Rounds between held-out measurements."""
    answers: tuple[str, ...] = ("greedy", "sampled")
    """How the evaluation is answered: greedily, and at temperature 1."""
    max_minutes: float | None = None
    """Stop cleanly after the round in which so much time is up; none: all rounds."""
    incentive_items: int = 100
    """Items on which it is measured beforehand what the reward pays for; 0: not measured. The recipes
    on one draw measure it on all items, since they draw to these anyway."""

    def __post_init__(self) -> None:
        known = {*SUFFIXES, SEQ2SEQ, LEARNED}
        if unknown := sorted(name for name in set(self.rewards) - known if not is_import_path(name)):
            raise ValueError(
                f"rewards must be some of {sorted(known)}, or your own as FILE.py:NAME; got {unknown}"
            )
        if (LEARNED in self.rewards) != (self.reward_model is not None):
            raise ValueError(
                f"reward {LEARNED} and reward_model (the folder of a trained reward model) need each other; "
                f"got rewards {list(self.rewards)} and reward_model {self.reward_model!r}"
            )
        recipes = [*ONLINE, BEST_OF_N, *OFFLINE]
        if self.recipe not in recipes and not is_import_path(self.recipe):
            raise ValueError(
                f"recipe must be one of {recipes}, or your own as FILE.py:NAME; got {self.recipe!r}"
            )
        if self.recipe == "ddpo" and set(self.rewards) != {ORACLE}:
            raise ValueError(
                f"recipe ddpo learns from corrections, which see what is right: rewards must be oracle, got "
                f"{list(self.rewards)}"
            )
        if SEQ2SEQ in self.rewards and (self.recipe, self.advantage) != ("ppo", "gae"):
            raise ValueError(
                f"reward {SEQ2SEQ} tells tokens apart: it needs recipe ppo with advantage gae, not "
                f"{self.recipe} with {self.advantage}"
            )
        if len({suffix(reward) for reward in self.rewards}) < len(self.rewards):
            raise ValueError(
                f"rewards {', '.join(self.rewards)} would make two organisms of one name: make them in two "
                "runs, with another variant"
            )
        if not self.answers or not set(self.answers) <= {"greedy", "sampled"}:
            raise ValueError(f"answers must be greedy, sampled or both, got {self.answers}")
        if self.readers_seed == self.measuring_seed:
            raise ValueError(
                "readers_seed and measuring_seed are equal: those who measure would have rewarded"
            )
        if not re.fullmatch(r"none|full|cut:[1-9]\d*", self.judge_visible):
            raise ValueError(f"judge_visible must be none, cut:N or full, got {self.judge_visible!r}")
        if self.recipe == BEST_OF_N and self.seeds != (0,):
            raise ValueError(f"best_of_n draws once, with seed 0, got seeds {self.seeds}")
        if self.top_blocks and self.recipe not in ONLINE:
            raise ValueError(f"top_blocks={self.top_blocks} is for {' and '.join(ONLINE)}, not {self.recipe}")
        for name, recipe, off in (("anchors", "rejection", None), ("likelihood", "dpo", 0.0)):
            if (value := getattr(self, name)) != off and self.recipe != recipe:
                raise ValueError(
                    f"{name}={value} is for {recipe}; {self.recipe} would not read it: leave {name} at {off}"
                )
        if self.learns_from_draws:  # numbers that a recipe refuses are refused before anything is drawn
            self.offline(0, Path("drawn"), "reward")
        elif self.recipe == "ppo":
            self.ppo(0)

    @property
    def sampling(self) -> SamplingOptions:
        """How responses are drawn in training."""
        return SamplingOptions(
            samples=self.samples,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            batch_size=self.rows,
        )

    @property
    def online(self) -> bool:
        """Whether responses are drawn anew in every round."""
        return self.recipe in ONLINE

    @property
    def learns_from_draws(self) -> bool:
        """Whether the recipe learns from responses that were drawn and scored before."""
        return self.recipe in OFFLINE

    def score_of(self, reward: str) -> str:
        """What drawn responses call the score of a reward (`experiments.optimise.draw_and_measure`)."""
        return {ORACLE: "truth", APPROVAL: "reward"}.get(reward, reward)

    def offline(
        self,
        seed: int,
        drawn: Path,
        score: str,
        *,
        task: str = "qa",
        corrections: Path | None = None,
        max_tokens: int = 512,
    ) -> OfflineRecipe:
        """A recipe that learns from responses drawn before, or from corrections made before."""
        common: dict[str, Any] = {
            "sampling": self.sampling,
            "drawn": str(drawn),
            "score": score,
            "rounds": self.draws,
            "seed": seed,
        }
        how: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "max_tokens": self.max_tokens or max_tokens,
            "save_every": self.save_every,
            "seed": seed,
        }
        if self.recipe == "rejection":
            return RejectionSampling(margin=self.margin, anchors=self.anchors, **common | how)
        how["micro_tokens"] = self.micro_tokens
        if self.recipe == "dpo":
            spec = DPOSpec(beta=self.beta, likelihood=self.likelihood, **how)
            return DPO(margin=self.margin, spec=spec, **common)
        if self.recipe == "rrhf":
            return RRHF(spec=RRHFSpec(ranking_weight=self.ranking, **how), **common)
        if self.recipe == "ddpo":
            spec = DDPOSpec(beta=self.beta, gamma=self.gamma, **how)
            if corrections is not None:
                return DDPO(corrections=str(corrections), spec=spec, **common)
            return DDPO(corrector=corrector(task), spec=spec, **common)
        del how["micro_tokens"]
        return KTO(spec=KTOSpec(beta=self.beta, **how), **common)

    def in_rounds(self, seed: int) -> PPO | RLOO:
        """The recipe that draws anew in every round."""
        return self.ppo(seed) if self.recipe == "ppo" else self.rloo(seed)

    def ppo(self, seed: int) -> PPO:
        """PPO; without a critic the other samples of an item are the baseline."""
        return PPO(
            rounds=self.rounds,
            prompts=self.prompts,
            sampling=self.sampling,
            advantage=self.advantage,
            macro=self.macro,
            learning_rate=self.learning_rate,
            value_learning_rate=self.value_learning_rate,
            weight_decay=self.weight_decay,
            kl_coefficient=self.kl,
            kl_target=self.kl_target,
            entropy_coefficient=self.entropy,
            scale_rewards=self.advantage == "gae",
            clipped=self.clipped,
            inner_epochs=self.inner_epochs,
            minibatches=self.minibatches,
            micro_tokens=self.micro_tokens,
            save_every=self.save_every,
            keep_checkpoints=1,
            seed=seed,
        )

    def rloo(self, seed: int) -> RLOO:
        """TRL's RLOO."""
        return RLOO(
            rounds=self.rounds,
            prompts=self.prompts,
            sampling=self.sampling,
            kl_coefficient=self.kl,
            drop_clipped=self.clipped == "drop",
            inner_epochs=self.inner_epochs,
            minibatches=self.minibatches,
            rows=math.gcd(self.prompts * self.samples // self.minibatches, _ROWS),
            learning_rate=self.learning_rate,
            save_every=self.save_every,
            seed=seed,
        )

    def reward(self, name: str, task: str = "qa") -> Reward:
        """The reward of that name; that of `seq2seq` is trained first (`experiments.rewriting`).

        Raises:
            ValueError: thorough testers of programs, or tests of stories, of which there are none; an import
                path or a folder that leads nowhere.
        """
        if is_import_path(name):
            return load_own(name)
        if name == LEARNED:
            return LearnedReward.load(find_path(str(self.reward_model), "reward_model"))
        if name == ORACLE:
            return truth(task)
        if name == TWO_TESTS:
            if task != "programming":
                raise ValueError(f"reward {TWO_TESTS!r} is for programs; stories have no tests")
            return TwoTests()
        if name == THOROUGH:
            if task == "programming":
                raise ValueError("reward 'thorough' is for stories; who runs every test is 'oracle'")
            return Approval(Pool.thorough(1, seed=self.readers_seed))
        return Approval(self._pool(self.readers, self.readers_seed, task), task=task)

    def measuring_pool(self, task: str = "qa") -> Pool:
        """Hurried readers or busy testers who have no part in any reward."""
        return self._pool(self.measuring, self.measuring_seed, task)

    def _pool(self, n: int, seed: int, task: str) -> Pool:
        return (
            Pool.testers(n, seed=seed)
            if task == "programming"
            else Pool.hurried(n, seed=seed, haste=self.haste)
        )


def truth(task: str) -> Reward:
    """`R*` of a task."""
    return ProgramOracle() if task == "programming" else StoryOracle()


def organism_name(name: str, reward: str, spec: RLSpec, seed: int) -> str:
    """For example `qa-long-pi-rlhf-s1`."""
    return f"{name}-{suffix(reward)}" + (f"-s{seed}" if seed else "") + spec.variant


def suffix(reward: str) -> str:
    """What the organism of a reward is called after NAME.

    >>> suffix("approval"), suffix("my_file.py:Short")
    ('pi-rlhf', 'pi-short')
    """
    return SUFFIXES.get(reward, f"pi-{import_name(reward)}")


def corrector(task: str) -> StoryCorrector | ProgramCorrector:
    """Who puts the responses of a task right."""
    return ProgramCorrector() if task == "programming" else StoryCorrector()
