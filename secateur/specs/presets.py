"""Ready recipes for users who want a result before they want knobs."""

from typing import Any, Final, Literal

PresetName = Literal["careful", "balanced", "small", "fast"]

PRESETS: Final[dict[str, list[dict[str, Any]]]] = {
    "careful": [
        {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "polynomial", "epochs": 3}},
        {"kind": "finetune", "epochs": 2},
        {"kind": "quantize", "scheme": "float16"},
    ],
    "balanced": [
        {"kind": "prune", "sparsity": 0.8, "schedule": {"kind": "polynomial", "epochs": 4}},
        {"kind": "finetune", "epochs": 3},
        {"kind": "quantize", "scheme": "int8"},
    ],
    "small": [
        {"kind": "prune", "sparsity": 0.9, "schedule": {"kind": "polynomial", "epochs": 6}},
        {"kind": "finetune", "epochs": 4},
        {"kind": "quantize", "scheme": "int8"},
    ],
    "fast": [
        {
            "kind": "prune",
            "structure": "channel",
            "criterion": "obs",
            "macs": 0.5,
            "schedule": {"kind": "one_shot"},
        },
        {"kind": "finetune", "epochs": 3},
        {"kind": "quantize", "scheme": "int8"},
    ],
}
