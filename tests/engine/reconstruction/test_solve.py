import numpy as np

from engine.reconstruction.solve import NormalEquations, solve


def correlated(seed: int, *, groups: int = 1, num_inputs: int = 12, units: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Inputs that hang together, as real activations do, shape (groups, rows, n), and weights on them."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(groups, 200, 4)) @ rng.normal(size=(groups, 4, num_inputs))
    return hidden + 0.3 * rng.normal(size=hidden.shape), rng.normal(size=(groups, num_inputs, units))


def equations_of(inputs: np.ndarray, targets: np.ndarray) -> NormalEquations:
    equations = NormalEquations.empty(len(inputs), inputs.shape[2], targets.shape[2])
    for start in range(0, inputs.shape[1], 64):
        equations.add(inputs[:, start : start + 64], targets[:, start : start + 64])
    return equations


def test_each_unit_is_the_exact_solution_on_its_own_support() -> None:
    """All units at once by conjugate gradients, against factorising each unit's own matrix."""
    inputs, dense = correlated(0, groups=2, num_inputs=30, units=5)
    equations = equations_of(inputs, inputs @ dense).towards(dense)
    support = np.random.default_rng(1).random(dense.shape) < 0.4
    support[0, :, 1] = False

    weights = solve(equations, support, dense, precision=1e-9)

    for group, unit in np.ndindex(2, 5):
        kept = support[group, :, unit]
        gram, cross = equations.gram[group][np.ix_(kept, kept)], equations.cross[group, kept, unit]
        assert np.allclose(weights[group, kept, unit], np.linalg.solve(gram, cross), atol=1e-6)
        assert (weights[group, ~kept, unit] == 0).all()


def test_whole_units_are_solved_together_and_the_others_stay_zero() -> None:
    inputs, dense = correlated(1)
    support = np.ones_like(dense, dtype=bool)
    support[:, :, 1] = False

    weights = solve(equations_of(inputs, inputs @ dense), support, np.zeros_like(dense))

    assert np.allclose(weights[:, :, [0, 2]], dense[:, :, [0, 2]])
    assert (weights[:, :, 1] == 0).all()


def test_groups_know_nothing_of_each_other() -> None:
    inputs, dense = correlated(2, groups=3)
    support = np.random.default_rng(3).random(dense.shape) < 0.6

    together = solve(equations_of(inputs, inputs @ dense).towards(dense), support, dense, precision=1e-9)

    for group in range(3):
        alone = slice(group, group + 1)
        equations = equations_of(inputs[alone], inputs[alone] @ dense[alone]).towards(dense[alone])
        assert np.allclose(together[alone], solve(equations, support[alone], dense[alone], precision=1e-9), atol=1e-6)


def test_inputs_that_are_always_zero_keep_the_dense_weights() -> None:
    """Dead units are common; their rows of the normal equations are singular, and only the pull is left."""
    inputs, dense = correlated(4)
    targets = inputs @ dense
    inputs[:, :, 3] = 0.0
    everywhere = np.ones_like(dense, dtype=bool)

    weights = solve(equations_of(inputs, targets).towards(dense), everywhere, dense)
    untouched = solve(equations_of(inputs * 0, targets * 0).towards(dense), everywhere, dense)

    assert np.allclose(weights[:, 3], dense[:, 3])
    assert np.allclose(untouched, dense)
