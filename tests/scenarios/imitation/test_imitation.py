"""The example really learns: an expert holds the pole, a clone of a little of its play beats chance by far."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from harness.scenarios.pipeline.step import Step
from tests.scenarios.contexts import by_hand

pytest.importorskip("gymnasium")

from harness.scenarios.imitation import cartpole, clone, evaluate, expert, fine_tune, policy


def a_step(tmp_path: Path, name: str, **earlier: Path) -> Step:
    (tmp_path / name).mkdir()
    return Step(name, tmp_path / name, 11, earlier, by_hand(tmp_path).context)


def test_the_expert_holds_the_pole_to_the_end_and_a_random_player_does_not() -> None:
    environment = cartpole.open_cartpole()
    chance = numpy.random.default_rng(0)
    players: dict[str, Any] = {"expert": cartpole.expert, "random": lambda _: int(chance.integers(2))}
    points = {
        name: [cartpole.play(environment, act, seed).points for seed in range(5)] for name, act in players.items()
    }
    assert points["expert"] == [cartpole.BEST_RETURN] * 5
    assert numpy.mean(points["random"]) < 100
    environment.close()


def test_a_slip_changes_what_happens_and_not_what_is_learnt() -> None:
    environment = cartpole.open_cartpole()
    episode = cartpole.play(environment, cartpole.expert, 3, slip=lambda: 0)
    assert episode.points < cartpole.BEST_RETURN
    assert list(episode.actions) == [cartpole.expert(observation) for observation in episode.observations]
    environment.close()


def test_the_same_seed_plays_the_same_episode() -> None:
    environment = cartpole.open_cartpole()
    one, other = (cartpole.play(environment, cartpole.expert, 5).observations for _ in range(2))
    assert numpy.array_equal(one, other)
    environment.close()


def test_a_policy_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    made = policy.Policy(8)
    policy.save(made, tmp_path)
    seen = torch.randn(5, 4)
    assert torch.equal(policy.load(tmp_path)(seen), made(seen))


def test_cloning_and_asking_again_reach_the_stated_shares(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = a_step(tmp_path, "expert")
    found = expert.collect(first, episodes=2, slips=0.0)
    assert found["imitation.expert_points"] == cartpole.BEST_RETURN
    assert found["imitation.demonstrated_steps"] == 2 * cartpole.BEST_RETURN
    assert found["imitation.frames_per_s"] > 0
    second = a_step(tmp_path, "clone", expert=first.folder)
    clone.clone(second, hidden=32, epochs=6, batch_size=64, learning_rate=0.003)
    losses = [value for name, value in second.recorded if name == "imitation.clone_loss"]
    assert losses[-1] < losses[0]
    third = a_step(tmp_path, "fine_tune", expert=first.folder, clone=second.folder)
    fine_tune.fine_tune(third, rounds=4, episodes=3, epochs=2, batch_size=64, learning_rate=0.003)
    done = {"expert": first.folder, "clone": second.folder, "fine_tune": third.folder}
    found = evaluate.evaluate(a_step(tmp_path, "evaluate", **done), episodes=5)
    assert found["imitation.clone_share"] > 0.2
    assert found["imitation.tuned_share"] > 0.9


def test_a_policy_whose_step_was_skipped_is_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "made").mkdir()
    policy.save(policy.Policy(4), tmp_path / "made")
    found = evaluate.evaluate(a_step(tmp_path, "evaluate", clone=tmp_path / "made"), episodes=1)
    assert set(found) == {"imitation.clone_share", "imitation.clone_points"}
