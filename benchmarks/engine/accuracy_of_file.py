"""The accuracy of a ``.tflite`` classifier on the test split of an ``.npz``, with nothing of ours. Printed in percent.

    python benchmarks/engine/accuracy_of_file.py model.tflite data.npz --factor 0.00392156862745098

To hold a report against: NumPy and the LiteRT interpreter, one sample at a time.
"""

import argparse
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def accuracy(model: Path, data: Path, *, factor: float, offset: float) -> float:
    """The share of test samples whose largest output is that of their class."""
    interpreter = Interpreter(model_path=str(model))
    interpreter.allocate_tensors()
    given, told = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    with np.load(data) as arrays:
        samples, labels = arrays["x_test"], arrays["y_test"].reshape(-1)
    right = 0
    for sample, label in zip(samples, labels, strict=True):
        value = sample.astype(np.float32) * np.float32(factor) + np.float32(offset)
        interpreter.set_tensor(given["index"], value.reshape(given["shape"]))
        interpreter.invoke()
        right += int(interpreter.get_tensor(told["index"]).argmax()) == int(label)
    return right / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--factor", type=float, default=1.0)
    parser.add_argument("--offset", type=float, default=0.0)
    given = parser.parse_args()
    print(f"{100 * accuracy(given.model, given.data, factor=given.factor, offset=given.offset):.2f}")


if __name__ == "__main__":
    main()
