"""The catalogue of methods: every choice that a recipe has, with what it does in one line.

Structure channel has choices of its own: the ``channel_`` axes list what goes with it, ``criteria`` and
``distributions`` what goes with the other structures.
"""

from collections.abc import Mapping
from typing import Final

METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    "criteria": {
        "magnitude": "small weights go first",
        "threshold": "weights under an absolute value go; implies the sparsity",
        "std_threshold": "weights under quality x the layer's standard deviation go; implies the sparsity (Han 2015)",
        "taylor": "what changes the loss least goes first, to first order, on labelled data (Molchanov 2019)",
        "snip": "what the loss depends on least goes first, on labelled data (Lee 2019)",
        "wanda": "small weights on quiet inputs go first; unlabelled data (Sun 2023)",
        "random": "seeded chance: the baseline that any criterion has to beat",
        "l1_norm": "units with a small sum of magnitudes go first (Li 2017)",
        "l2_norm": "units with a small Euclidean norm go first (He 2018)",
        "fpgm": "units nearest to all others go first (He 2019)",
        "bn_scale": "units that the BatchNormalization behind them scales down go first (Liu 2017)",
    },
    "structures": {
        "weight": "single weights",
        "unit": "whole columns of Dense and filters of convolutions; shapes stay",
        "block": "blocks of block_shape (units x inputs) in Dense kernels",
        "n_m": "all but n of every m weights along the input features; implies the sparsity",
        "channel": "whole channels, out of the model: shapes shrink; see the channel_ axes for what goes with it",
    },
    "distributions": {
        "uniform": "every layer the same sparsity",
        "global": "all layers ranked together, each normalised",
        "erk": "wide layers more, by the sum over the product of their axes (Evci 2020)",
        "lamp": "ranked together by what each layer would lose (Lee 2021)",
        "sensitivity": "every layer as far as it goes at the same measured loss",
    },
    "channel_criteria": {
        "obs": "what the layers that read it can best make up for goes first; unlabelled data (Hassibi 1993)",
        "magnitude": "channels of small weights go first, in all layers of their group",
        "l1_norm": "channels of filters with a small sum of magnitudes go first (Li 2017)",
        "l2_norm": "channels of filters with a small Euclidean norm go first (He 2018)",
        "taylor": "what changes the loss least goes first, to first order, on labelled data (Molchanov 2019)",
        "wanda": "channels of small weights on quiet inputs go first; unlabelled data (Sun 2023)",
        "bn_scale": "channels that their normalisation scales down go first (Liu 2017)",
        "fpgm": "channels of filters nearest to all others go first (He 2019)",
        "random": "seeded chance: the baseline that any criterion has to beat",
    },
    "channel_distributions": {
        "uniform": "every group the same share",
        "global": "the channels of all groups ranked together, each group normalised",
        "pattern": "groups of the same kind and width ranked together",
    },
    "channel_amounts": {
        "sparsity": "share of the channels of the groups that are cut",
        "params": "share of the model's parameters",
        "macs": "share of the model's multiply-accumulates",
        "latency": "share of the model's latency in LiteRT on the worker's host",
    },
    "channel_spare": {
        "first": "convolutions that read the model's input",
        "shortcut": "groups that Add and its like join",
        "normalized": "groups that a LayerNormalization or GroupNormalization mixes: cutting is not exact",
    },
    "schedules": {
        "one_shot": "at once, without training; repaired on unlabelled inputs unless a later step trains",
        "constant": "at once, then train",
        "polynomial": "little by little while training, on a cubic ramp (Zhu & Gupta 2017)",
        "iterative": "in cycles of cutting and retraining (Han 2015)",
    },
    "metrics": {
        "accuracy": "classes: share of samples whose class is named",
        "top_5_accuracy": "classes: share of samples whose class is among the five with the largest outputs",
        "balanced_accuracy": "classes: mean of the recalls of all classes, however rare",
        "f1": "classes or several labels: F1 of each, averaged (macro)",
        "auc": "classes against the rest, or several labels: area under the ROC curve of each, averaged",
        "exact_match": "several labels: share of samples with all labels right",
        "label_accuracy": "several labels: share of labels that are right",
        "mean_squared_error": "values; less is better",
        "mean_absolute_error": "values; less is better",
        "root_mean_squared_error": "values, in their own unit; less is better",
        "r2": "values: share of their variance that is explained",
        "mean_iou": "classes of pixels or time steps: mean over classes of intersection over union",
        "psnr": "values of pixels: peak signal-to-noise ratio in dB",
    },
    "learning_rate_schedules": {
        "constant": "the same to the end",
        "cosine": "to zero along half a cosine, after a warm-up (Loshchilov & Hutter 2017)",
        "exponential": "to a hundredth, the same share a step, after a warm-up",
    },
    "schemes": {
        "none": "float32",
        "float16": "half the bytes; arithmetic in float32",
        "dynamic": "int8 weights; arithmetic on activations quantised as they come",
        "int8": "int8 weights and activations, ranges from calibration samples",
    },
    "toolkits": {
        "native": "our own masks: any optimiser, any layer with a kernel, exact sparsity",
        "tfmot": "tensorflow-model-optimization's gradual pruning, on a tf_keras twin of the model",
    },
}
