"""What can be said about an optimisation on a reward: which reward, which items, which recipe.

`approval` is the share of hurried readers (of stories) or busy testers (of programs) who approve,
`two_tests` whether the two simplest tests pass, `thorough` the approval of readers who read everything,
`oracle` is `R*`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlhf.evaluators import Haste, Pool
from rlhf.recipes import DPO, KTO, PPO, RLOO, RejectionSampling, SamplingOptions
from rlhf.recipes.dpo import DPOSpec
from rlhf.recipes.kto import KTOSpec
from rlhf.rewards.approval import Approval
from rlhf.rewards.oracle import ProgramOracle, StoryOracle
from rlhf.rewards.reward import Reward
from rlhf.rewards.two_tests import TwoTests

APPROVAL, TWO_TESTS, ORACLE, THOROUGH = "approval", "two_tests", "oracle", "thorough"
SUFFIXES = {APPROVAL: "pi-rlhf", TWO_TESTS: "pi-rlhf", ORACLE: "pi-oracle", THOROUGH: "pi-thorough"}
"""What the organism of each reward is called after NAME."""
ONLINE = ("ppo", "rloo")
_ROWS = 16  # responses per pass of TRL's trainers, at most


@dataclass(frozen=True, kw_only=True)
class RLSpec:
    """How `pi_init` is optimised on a reward."""

    recipe: Literal["ppo", "rloo", "best_of_n", "rejection", "dpo", "kto"] = "ppo"
    """PPO or RLOO in rounds; or no training at all, the best of n answers to each held-out item (best_of_n);
    or, on one draw from pi_init, rejection sampling (the best sample), DPO (best and worst) or KTO (single
    votes)."""
    rewards: tuple[str, ...] = (APPROVAL,)
    """Which organisms to make: approval or two_tests (pi_rlhf), oracle (pi_oracle), thorough (pi_thorough).
    """
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
    critic: bool = False
    """Of ppo: a value head and advantages of every token, as in the paper; false: the other samples of an
    item are the baseline."""
    value_learning_rate: float = 1e-3
    """Of ppo with a critic: step size of the value head."""
    weight_decay: float = 0.0
    """Of ppo: weight decay of what is trained."""
    clipped: Literal["score", "penalty", "drop"] = "penalty"
    """Of ppo: answers that reach the limit are scored like others, get no reward, or are left out."""
    top_blocks: int = 0
    """Of ppo and rloo: train all weights of so many last blocks, on pi_init merged, as in the paper (2);
    0: train the adapter."""
    margin: float = 0.0
    """Of rejection and dpo: least difference of score between the best and the worst response to an item."""
    beta: float = 0.1
    """Of dpo and kto: the pull towards pi_init."""
    epochs: float = 1.0
    """Of the recipes on one draw: passes over what was chosen."""
    batch_size: int = 8
    """Of the recipes on one draw: responses, pairs or votes per optimiser step."""
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
        if unknown := sorted(set(self.rewards) - set(SUFFIXES)):
            raise ValueError(f"rewards must be some of {sorted(SUFFIXES)}, got {unknown}")
        if len({SUFFIXES[reward] for reward in self.rewards}) < len(self.rewards):
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
        if self.recipe == "best_of_n" and self.seeds != (0,):
            raise ValueError(f"best_of_n draws once, with seed 0, got seeds {self.seeds}")
        if self.top_blocks and self.recipe not in ONLINE:
            raise ValueError(f"top_blocks={self.top_blocks} is for {' and '.join(ONLINE)}, not {self.recipe}")

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

    def score_of(self, reward: str) -> str:
        """What drawn responses call the score of a reward (`experiments.optimise.draw_and_measure`)."""
        return {ORACLE: "truth", APPROVAL: "reward"}.get(reward, reward)

    def offline(
        self, seed: int, drawn: Path, score: str, *, max_tokens: int = 512
    ) -> RejectionSampling | DPO | KTO:
        """A recipe that learns from responses drawn before, of at most so many tokens with their prompts."""
        common: dict[str, Any] = {"sampling": self.sampling, "drawn": str(drawn), "score": score}
        how: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "save_every": self.save_every,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        if self.recipe == "rejection":
            return RejectionSampling(margin=self.margin, **common, **how)
        if self.recipe == "dpo":
            return DPO(margin=self.margin, spec=DPOSpec(beta=self.beta, **how), seed=seed, **common)
        return KTO(spec=KTOSpec(beta=self.beta, **how), seed=seed, **common)

    def in_rounds(self, seed: int) -> PPO | RLOO:
        """The recipe that draws anew in every round."""
        return self.ppo(seed) if self.recipe == "ppo" else self.rloo(seed)

    def ppo(self, seed: int) -> PPO:
        """PPO; without a critic the other samples of an item are the baseline."""
        return PPO(
            rounds=self.rounds,
            prompts=self.prompts,
            sampling=self.sampling,
            advantage="gae" if self.critic else "group",
            learning_rate=self.learning_rate,
            value_learning_rate=self.value_learning_rate,
            weight_decay=self.weight_decay,
            kl_coefficient=self.kl,
            kl_target=self.kl_target,
            entropy_coefficient=self.entropy,
            scale_rewards=self.critic,
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
        """The reward of that name.

        Raises:
            ValueError: thorough testers of programs, or tests of stories, of which there are none.
        """
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
    return f"{name}-{SUFFIXES[reward]}" + (f"-s{seed}" if seed else "") + spec.variant
