"""Specs as the API's page shows them."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "preset": {
        "summary": "Three fields are enough",
        "value": {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "0" * 20, "preset": "balanced"},
    },
    "steps": {
        "summary": "A recipe of your own",
        "value": {
            "kind": "compress",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "steps": [
                {"kind": "prune", "sparsity": 0.9, "schedule": {"kind": "polynomial", "epochs": 6}},
                {"kind": "finetune", "epochs": 3},
                {"kind": "quantize", "scheme": "int8"},
            ],
        },
    },
    "channels": {
        "summary": "Half of the arithmetic, by taking channels away",
        "value": {
            "kind": "compress",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "steps": [
                {"kind": "prune", "structure": "channel", "macs": 0.5},
                {"kind": "finetune", "epochs": 3},
                {"kind": "quantize", "scheme": "int8"},
            ],
        },
    },
    "sensitivity": {
        "summary": "Measure what each layer takes",
        "value": {
            "kind": "sensitivity",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "sparsities": [0.5, 0.8, 0.9],
        },
    },
    "sweep": {
        "summary": "How much can be cut? A curve for weights and one for channels",
        "value": {
            "kind": "sweep",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "methods": {
                "weights": [{"kind": "prune", "schedule": {"kind": "one_shot"}}],
                "channels": [{"kind": "prune", "structure": "channel"}],
            },
            "sparsities": [0.25, 0.5, 0.75, 0.9],
            "random_baseline": True,
        },
    },
    "search": {
        "summary": "As much as can go for one point of accuracy",
        "value": {
            "kind": "search",
            "model_id": "mdl_" + "0" * 20,
            "dataset_id": "dst_" + "0" * 20,
            "goals": {"max_accuracy_drop": 0.01},
        },
    },
}
