"""The shipped digits are the held-out ones, and reach the models in the form that they were trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from helix_ray import digits

MODELS = Path(digits.__file__).parent / "models"


def test_there_are_497_images_of_all_ten_digits() -> None:
    """1,797 images less the 1,300 that the models were trained on."""
    images, labels = digits.held_out()
    assert images.shape == (497, 8, 8)
    assert images.dtype == labels.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    assert set(labels.tolist()) == set(range(10))


def test_enlarging_an_axis_repeats_the_border_and_weighs_by_distance() -> None:
    """Twofold, by hand: output centres lie at -0.25, 0.25, 0.75, 1.25 of the input's pixel centres."""
    expected = [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    np.testing.assert_allclose(digits.bilinear_weights(2, 4), expected)


def test_every_enlarged_pixel_is_a_mean() -> None:
    """The weights of each output pixel sum to one, so a flat image stays flat."""
    np.testing.assert_allclose(digits.bilinear_weights(8, 32).sum(axis=1), 1.0)


@pytest.mark.parametrize(("model", "accuracy"), [("digits_resnet20", 0.9920), ("digits_transformer", 0.9899)])
def test_the_models_reach_their_stated_accuracy(model: str, accuracy: float) -> None:
    """The figures of tools/build_models.py hold for the shipped files; one image is a fifth of a point."""
    images, labels = digits.held_out()
    inputs = {"digits_resnet20": digits.as_image, "digits_transformer": digits.as_rows}[model](images)
    session = onnxruntime.InferenceSession(str(MODELS / f"{model}.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: inputs})
    assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(accuracy, abs=1 / len(labels))
