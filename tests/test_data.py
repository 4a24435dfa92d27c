"""The data read without scikit-learn are what scikit-learn gives."""

import numpy as np
import pytest
from sklearn import datasets

from lab import data


@pytest.mark.parametrize("name", ["digits", "diabetes", "iris", "wine", "breast_cancer"])
def test_a_set_equals_that_of_scikit_learn(name):
    features, label = getattr(data, name)()
    expected = getattr(datasets, f"load_{name}")(return_X_y=True)
    np.testing.assert_allclose(features, expected[0], atol=1e-15)
    np.testing.assert_array_equal(label, expected[1])
    with pytest.raises(ValueError, match="read-only"):
        features[0] = 0


@pytest.mark.parametrize("name", ["china", "flower"])
def test_a_photograph_is_the_weighted_mean_of_its_colours(name):
    colours = datasets.load_sample_image(f"{name}.jpg") / 255
    weights = np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(data.photograph(name), colours @ weights, atol=1e-12)


def test_letters_are_27_symbols_without_double_spaces():
    text = data.letters(data.english())
    assert sorted(set(text)) == list(" abcdefghijklmnopqrstuvwxyz")
    assert "  " not in text
    assert len(text) > 30_000
    assert data.letters("Déjà-vu, 2 of 3!") == "d j vu of "
