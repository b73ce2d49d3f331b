"""What half of the multiply-accumulates are in time: networks of several sizes, whole and cut. Prints JSON.

    python benchmarks/engine/channel_latency.py > benchmarks/results/channel_latency.json

Random weights and channels, since neither changes the time; float32 and int8 files of a network take turns in one run.
"""

import json

import keras
import numpy as np

from engine.evaluation.host import host
from engine.export.litert import Runner, convert
from engine.export.timing import time_files
from engine.structured.groups import channels_of
from engine.structured.planning import plan, prunable_groups
from engine.structured.savings import Costs, group_infos
from engine.structured.surgery import shrink
from secateur.specs.channels import PruneChannels

NETWORKS = (
    (keras.applications.MobileNetV2, 96),
    (keras.applications.MobileNetV2, 224),
    (keras.applications.ResNet50, 96),
    (keras.applications.EfficientNetB0, 96),
)
TARGETS = (0.25, 0.5, 0.7)


def smaller(model: keras.Model, target: float) -> tuple[keras.Model, float]:
    """The network with a share of its multiply-accumulates gone, and the share that went."""
    channels = channels_of(model)
    costs, alive = Costs.of(channels), channels.all_kept()
    step = PruneChannels(macs=target, criterion="random")
    scores = np.random.default_rng(0).random(channels.num_channels)
    kept = plan(prunable_groups(channels, group_infos(costs), step), step, scores, alive, cost=costs.macs)
    return shrink(channels, kept), 1 - costs.macs(kept) / costs.macs(alive)


def main() -> None:
    results = []
    for network, side in NETWORKS:
        model = network(weights=None, input_shape=(side, side, 3), classes=10)
        inputs = np.random.default_rng(0).random((8, side, side, 3)).astype(np.float32)
        models, gone = [model], [0.0]
        for target in TARGETS:
            small, share = smaller(model, target)
            models.append(small)
            gone.append(share)
        for scheme in ("none", "int8"):
            runners = [Runner(convert(each, scheme, calibration=inputs)) for each in models]
            measured = time_files(runners, inputs, max_seconds=20.0).latencies()
            results.append(
                {
                    "network": model.name,
                    "side": side,
                    "scheme": scheme,
                    "macs_removed": [round(share, 3) for share in gone],
                    "p50_ms": [round(each.p50_ms, 3) for each in measured],
                    "times_faster": [round(measured[0].p50_ms / each.p50_ms, 2) for each in measured],
                    "runs": measured[0].num_runs,
                }
            )
    print(json.dumps({"results": results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
