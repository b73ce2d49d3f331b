from typing import Any

import keras
import numpy as np

from engine.evaluation.classwise import class_verdicts, recalls
from engine.objectives.objective import Objective, resolve
from secateur.specs import spec


def objective(units: int, kind: Any) -> Objective:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation="sigmoid")])
    return resolve(model, kind, spec.Objective())


def test_a_class_that_was_given_up_is_named_although_the_accuracy_holds() -> None:
    """A hundred samples of class 2 in ten thousand: the whole loses less than a point."""
    labels = np.repeat([0, 1, 2], [4950, 4950, 100])
    before = np.eye(3)[labels]
    after = np.where((labels == 2)[:, None], np.eye(3)[[0]], before)

    classes = recalls(objective(3, "classes"), labels, before, after)

    assert [(each.name, each.num_samples, each.before, each.after) for each in classes] == [
        ("0", 4950, 1.0, 1.0),
        ("1", 4950, 1.0, 1.0),
        ("2", 100, 1.0, 0.0),
    ]
    assert [each.lost_much for each in classes] == [False, False, True]
    assert list(class_verdicts(classes)) == [
        "Classes: some lost much more than the whole; found of their samples: class 2 100.0 to 0.0 %."
    ]


def test_classes_are_told_by_their_names_as_far_as_there_are_any() -> None:
    """Names are a stranger's text: of any length, with anything in it."""
    labels = np.repeat([0, 1, 2], [400, 400, 100])
    before = np.eye(3)[labels]
    after = np.where((labels == 0)[:, None], np.eye(3)[[1]], before)

    classes = recalls(objective(3, "classes"), labels, before, after, names=("tabby\n\u202ecat", "d" * 300))

    assert [(each.name, each.called) for each in classes] == [("0", "tabby cat"), ("1", "d" * 59 + "…"), ("2", None)]
    assert "class 'tabby cat' (0) 100.0 to 0.0 %" in " ".join(class_verdicts(classes))


def test_a_loss_that_all_classes_share_and_one_of_few_samples_name_nobody() -> None:
    labels = np.repeat([0, 1, 2], [200, 200, 4])
    before, wrong = np.eye(3)[labels], np.eye(3)[(labels + 1) % 3]
    after = np.where((np.arange(404) % 4 == 0)[:, None], wrong, before)

    classes = recalls(objective(3, "classes"), labels, before, after)

    assert [each.lost_much for each in classes] == [False] * 3
    assert list(class_verdicts(classes)) == []


def test_of_several_labels_each_is_found_among_the_samples_that_have_it() -> None:
    labels = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    after = np.array([[0.9, 0.9], [0.2, 0.9], [0.1, 0.9]])

    classes = recalls(objective(2, "multi_label"), labels, labels, after)

    assert [(each.num_samples, each.after) for each in classes] == [(2, 0.5), (2, 1.0)]
    assert recalls(objective(1, "values"), labels, labels, after) == ()
