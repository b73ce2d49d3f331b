"""Common ways in which samples were prepared for training: what is tried when a model does worse than it should."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.arrays import Array
from secateur.specs.scale import Scale

IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue in [0, 1], with which most networks outside Keras were trained."""

CAFFE: Final = (103.939, 116.779, 123.68)
"""Mean of blue, green and red in [0, 255]; what keras.applications calls mode caffe."""

COLOURS: Final = 3
LISTED: Final = 16
"""More numbers than this nobody copies from a sentence."""

PLAIN: Final[dict[tuple[float, float], str]] = {(0.0, 1.0): "none", (0.0, 255.0): "1/255", (127.5, 127.5): "-1..1"}
"""Mean and deviation that have a name of their own in ``data.scale``."""


@dataclass(frozen=True)
class Scaling:
    """``(sample - mean) / deviation``, by channel, for which the channels may be turned round before."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    reverse: bool = False
    """Whether the last axis is read backwards: images in the order blue, green, red."""

    def __call__(self, samples: Array) -> Array:
        """Inputs for samples of any shape whose last axis has as many channels, or any when there is one mean.

        >>> Scaling((1.0,), (2.0,))(np.array([[3.0, 5.0]]))
        array([[1., 2.]], dtype=float32)
        >>> Scaling((1.0, 0.0), (1.0, 1.0), reverse=True)(np.array([[3.0, 5.0]]))
        array([[4., 3.]], dtype=float32)
        """
        turned = samples[..., ::-1] if self.reverse else samples
        return np.asarray((turned - np.array(self.mean)) / np.array(self.deviation), dtype=np.float32)

    @property
    def scale(self) -> str:
        """As ``data.scale`` would say it, in JSON; the order of the channels is not part of it.

        >>> Scaling((0.0,) * 3, (255.0,) * 3).scale, Scaling((0.5,), (0.1,)).scale
        ('"1/255"', '{"mean": [0.5], "deviation": [0.1]}')
        """
        if len(set(self.mean)) == len(set(self.deviation)) == 1:
            name = PLAIN.get((self.mean[0], self.deviation[0]))
            if name is not None:
                return json.dumps(name)
        return json.dumps({"mean": list(map(_short, self.mean)), "deviation": list(map(_short, self.deviation))})

    @property
    def advice(self) -> str:
        """What a user has to do so that samples come in this way."""
        return self.advice_for("", {})

    def advice_for(self, name: str, others: Mapping[str, Scale]) -> str:
        """The same of one input of several.

        Args:
            name: of the input; empty where there is one.
            others: how the other inputs are scaled, which stays.
        """
        if len(self.mean) > LISTED:
            of_input = f".{name}" if name else ""
            wanted = f"Give data.scale{of_input} the mean and the deviation of each column of x_train{of_input}"
        elif name:
            found = {other: _as_json(scale) for other, scale in others.items()} | {name: json.loads(self.scale)}
            wanted = f'Set "data": {{"scale": {json.dumps(found)}}}'
        else:
            wanted = f'Set "data": {{"scale": {self.scale}}}'
        if not self.reverse:
            return wanted
        return f"Store the images in the order blue, green, red (x[..., ::-1]), which no scale can express. {wanted}"


def _as_json(scale: Scale) -> Any:
    return scale if isinstance(scale, str) else scale.model_dump(mode="json")


def common(samples: Array, *, width: int) -> tuple[Scaling, ...]:
    """The scalings to try on samples like these.

    Args:
        samples: training samples as the model would get them unscaled, floats, shape (n, ...).
        width: of the last axis, when it is one of channels or columns; else 1.
    """
    low, span = _unit(float(samples.min()), float(samples.max()))

    def on_unit(mean: Sequence[float], deviation: Sequence[float], *, reverse: bool = False) -> Scaling:
        """Of a scaling that is meant for values in [0, 1], that for these samples."""
        return Scaling(tuple(low + span * value for value in mean), tuple(span * value for value in deviation), reverse)

    tried = [
        Scaling((0.0,), (1.0,)),
        on_unit([0.0], [1.0]),
        on_unit([0.5], [0.5]),
        on_unit([0.0], [1 / 255]),
        _standard(samples, width),
    ]
    if samples.ndim == 4 and width == COLOURS:
        caffe = [value / 255 for value in CAFFE]
        tried += [
            on_unit(*IMAGENET),
            on_unit(caffe[::-1], [1 / 255] * COLOURS),
            *(Scaling(one.mean * COLOURS, one.deviation * COLOURS, reverse=True) for one in tried[:4]),
            on_unit(IMAGENET[0][::-1], IMAGENET[1][::-1], reverse=True),
            on_unit(caffe, [1 / 255] * COLOURS, reverse=True),
        ]
    return tuple(dict.fromkeys(tried))


def _standard(samples: Array, width: int) -> Scaling:
    rows = samples.reshape(-1, width).astype(np.float64)
    deviation = rows.std(axis=0)
    return Scaling(
        tuple(float(f"{value:.6g}") for value in rows.mean(axis=0)),
        tuple(float(f"{value:.6g}") if value > 0 else 1.0 for value in deviation),
    )


def _unit(lowest: float, highest: float) -> tuple[float, float]:
    """Where the interval of the stored values begins and how long it is: bytes, [0, 1], or [-1, 1].

    >>> _unit(0, 255), _unit(0.0, 1.0), _unit(-1.0, 0.98)
    ((0.0, 255.0), (0.0, 1.0), (-1.0, 2.0))
    """
    if lowest < 0:
        return (-1.0, 2.0) if lowest >= -1 and highest <= 1 else (0.0, 1.0)
    return (0.0, 1.0) if highest <= 1.0 else (0.0, 255.0)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
