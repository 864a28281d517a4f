"""Symmetries are found from values, and signs never hang on a zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.symmetry import Flip, Symmetry, detect_symmetry, leading_sign

ODD = Flip(-1, 0.0, 0.0)
EXPECTED = {
    "g": (None, None),
    "tanh": (ODD, None),
    "sigmoid": (Flip(-1, 0.0, 1.0), None),
    "softplus": (Flip(1, -1.0, 0.0), None),
    "relu": (Flip(1, -1.0, 0.0), 1.0),
    "leaky_relu": (Flip(1, -1.01, 0.0), 1.0),
    "gelu": (Flip(1, -1.0, 0.0), None),
    "silu": (Flip(1, -1.0, 0.0), None),
    "mish": (None, None),
    "selu": (None, None),
    "elu": (None, None),
}


def test_the_whole_catalogue_is_covered():
    assert list(catalogue) == list(EXPECTED)


@pytest.mark.parametrize("name", catalogue)
def test_catalogue(name):
    assert catalogue[name].symmetry == Symmetry(*EXPECTED[name])
    assert detect_symmetry(catalogue[name].function) == Symmetry(*EXPECTED[name])


USERS = {
    "softsign": (jax.nn.soft_sign, ODD, None),
    "square": (lambda z: z**2, Flip(1, 0.0, 0.0), 2.0),
    "cube": (lambda z: z**3, ODD, 3.0),
    "absolute value": (jnp.abs, Flip(1, 0.0, 0.0), 1.0),
    "square root of size": (lambda z: jnp.sqrt(jnp.abs(z)), Flip(1, 0.0, 0.0), 0.5),
    "squared relu": (lambda z: jnp.maximum(z, 0.0) ** 2, None, 2.0),
    "x tanh x": (lambda z: z * jnp.tanh(z), Flip(1, 0.0, 0.0), None),
    "leaky with 0.2": (lambda z: jnp.where(z > 0, z, 0.2 * z), Flip(1, -1.2, 0.0), 1.0),
    "tanh + 0.5": (lambda z: jnp.tanh(z) + 0.5, Flip(-1, 0.0, 1.0), None),
    "tanh + x": (lambda z: jnp.tanh(z) + z, ODD, None),
    "cosine": (jnp.cos, Flip(1, 0.0, 0.0), None),
    "sine": (jnp.sin, ODD, None),
    "cosine + 3 x": (lambda z: jnp.cos(z) + 3 * z, Flip(1, -6.0, 0.0), None),
    "Gaussian": (lambda z: jnp.exp(-z * z), Flip(1, 0.0, 0.0), None),
    "exponential": (jnp.exp, None, None),
    "gelu by tanh": (jax.nn.gelu, Flip(1, -1.0, 0.0), None),
    "arctan": (jnp.arctan, ODD, None),
    "hard tanh": (jax.nn.hard_tanh, ODD, None),
    "step": (lambda z: jnp.where(z > 0, 1.0, 0.0), Flip(-1, 0.0, 1.0), 0.0),
    "nearly odd": (lambda z: jnp.tanh(z) + 1e-6 * jnp.cos(z), None, None),
    "nearly homogeneous": (lambda z: jnp.maximum(z, 0.0) + 1e-6 * jnp.tanh(z), None, None),
    "odd only far out": (lambda z: jnp.tanh(z) + jnp.exp(-((10 * z) ** 2)), None, None),
}


@pytest.mark.parametrize("name", USERS)
def test_users_functions(name):
    function, flip, homogeneity = USERS[name]
    assert detect_symmetry(function) == Symmetry(flip, homogeneity)


@pytest.mark.parametrize("name", [*catalogue, *USERS])
def test_a_found_symmetry_holds_everywhere(name):
    activation = catalogue[name] if name in catalogue else resolve(USERS[name][0])
    z = np.random.default_rng(0).normal(size=500) * np.geomspace(1e-3, 20, 500)
    with double():
        here, there = (np.asarray(activation(jnp.asarray(s * z))) for s in (1, -1))
        wide = np.asarray(activation(jnp.asarray(3.3 * z)))
    flip, degree = activation.symmetry.flip, activation.symmetry.homogeneity
    if flip is not None:
        # To 1e-13 of the terms that cancel, a few roundings each.
        size = np.abs(here) + np.abs(there) + np.abs(z) + 1
        error = there - (flip.sign * here + flip.linear * z + flip.constant)
        assert np.all(np.abs(error) <= 1e-13 * size)
    if degree is not None:
        np.testing.assert_allclose(wide, 3.3**degree * here, rtol=1e-12)


def test_description():
    assert catalogue["g"].symmetry.describe() == ()
    assert catalogue["tanh"].symmetry.describe() == ("sign",)
    assert catalogue["relu"].symmetry.describe() == ("sign", "scale")
    assert Symmetry(homogeneity=2.0).describe() == ("scale",)
    assert not catalogue["tanh"].symmetry.scale_free


REFUSED = {
    "identity": (lambda z: z, "affine"),
    "affine": (lambda z: 3.0 * z - 2.0, "affine"),
    "constant": (jnp.ones_like, "affine"),
    "zero": (jnp.zeros_like, "affine"),
    "logarithm": (jnp.log, "not finite at z = -"),
    "overflow": (lambda z: jnp.exp(100.0 * z), "not finite"),
    "sum": (jnp.sum, "elementwise"),
    "pairs": (lambda z: jnp.stack([z, z]), "elementwise"),
    "softmax": (jax.nn.softmax, "elementwise"),
    "running sum": (jnp.cumsum, "elementwise"),
    "centred": (lambda z: jnp.tanh(z) - jnp.mean(z), "elementwise"),
    "reversed": (lambda z: jnp.tanh(z[::-1]), "elementwise"),
    "float32": (lambda z: jnp.tanh(z).astype(jnp.float32), "float32"),
    "comparison": (lambda z: z > 0, "bool"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    function, words = REFUSED[name]
    with pytest.raises(InvalidInputError, match=words):
        detect_symmetry(function)
    with pytest.raises(InvalidInputError, match=words):
        resolve(function)


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        ([2.0, -3.0], 1.0),
        ([-2.0, 3.0], -1.0),
        ([0.0, -3.0], -1.0),
        ([-0.0, 3.0], 1.0),
        ([1e-17, -3.0, 2.0], -1.0),
        ([-1e-17, 3.0, -2.0], 1.0),
        ([0.0, 0.0], 1.0),
        ([-5e-324], -1.0),
    ],
)
def test_leading_sign(vector, expected):
    got = leading_sign(np.array([vector]))
    assert got.shape == (1, 1)
    assert got[0, 0] == expected


def test_leading_sign_is_stable_and_odd():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 50, 6)) * (rng.random(size=(3, 50, 6)) < 0.6)
    signs = leading_sign(rows)
    assert signs.shape == (3, 50, 1)
    for _ in range(20):
        noise = 1e-12 * rng.normal(size=rows.shape) * np.abs(rows).max(axis=-1, keepdims=True)
        np.testing.assert_array_equal(leading_sign(rows + noise), signs)
        np.testing.assert_array_equal(leading_sign(7.0 * rows), signs)
    some = np.any(rows != 0, axis=-1, keepdims=True)
    np.testing.assert_array_equal(leading_sign(-rows)[some], -signs[some])


SHIFTED = {
    "softsign": (lambda z: (z + 0.3) / (1.0 + jnp.abs(z + 0.3)), -0.3, Flip(-1, 0.0, 0.0), None),
    "relu": (lambda z: jnp.maximum(z - 0.7, 0.0), 0.7, Flip(1, -1.0, 0.0), 1.0),
    "steep tanh": (lambda z: jnp.tanh(2.0 * z - 1.0) + 0.5, 0.5, Flip(-1, 0.0, 1.0), None),
    "softplus": (lambda z: jnp.logaddexp(0.0, z - 0.25), 0.25, Flip(1, -1.0, 0.0), None),
    "relu6": (jax.nn.relu6, 3.0, Flip(-1, 0.0, 6.0), None),
}


@pytest.mark.parametrize("name", SHIFTED)
def test_a_symmetry_about_another_point_is_found(name: str):
    function, center, flip, degree = SHIFTED[name]
    found = detect_symmetry(function)
    assert found.center == pytest.approx(center, abs=1e-12)
    assert found == Symmetry(flip, degree, found.center)


@pytest.mark.parametrize("name", ["g", "mish", "selu", "elu"])
def test_no_centre_is_invented(name: str):
    assert detect_symmetry(catalogue[name].function) == Symmetry()


def test_squared_relu_keeps_its_degree_and_gains_no_far_centre():
    assert detect_symmetry(lambda z: jnp.maximum(z + 0.2, 0.0) ** 2) == Symmetry()
