"""The report at the end of a job: check that the zeros are in the file, and measure the files."""

from collections.abc import Mapping
from pathlib import Path

from engine.evaluation import classwise, columnwise, measure, outputwise
from engine.evaluation.host import host
from engine.evaluation.verdicts import verdicts
from engine.pipeline.result_check import check_result
from engine.pruning.delivery import check_delivered, layer_table, sparsity_in_file, zeros
from engine.run.context import Run
from engine.run.provenance import digest_of
from secateur.reports.report import Report
from secateur.specs.metrics import in_words


def make_report(run: Run, baseline: measure.Baseline, files: list[Path], seconds: Mapping[str, float]) -> Report:
    """Measure the result and the baseline, and check that the zeros are in the file.

    Raises:
        SparsityMissed: the file has fewer zeros than the targets.
    """
    result = run.result
    assert result is not None
    pruned = [name for name, target in run.targets.items() if target > 0]
    in_file = sparsity_in_file(run.masks, pruned, result.runner.constants())
    sizes = {name: run.masks.mask(name).size for name in run.masks.names}
    groups = sizes | run.num_groups
    check_delivered(run.targets, {name: zeros(run.masks.weights(name)) for name in run.masks.names}, groups)
    check_delivered({name: run.targets[name] for name in pruned}, in_file, groups)
    target, delivered = _overall(run.targets, pruned, sizes), _overall(in_file, pruned, sizes)
    outputs = measure.outputs_of_file(result, run.context.feed, run.context.data.test.x)
    found = measure.quality(run.context.objective, run.context.data.test.y, outputs, baseline.outputs)
    aim = run.context.objective
    suggestions = check_result(run, aim.of(baseline.outputs), aim.of(outputs))
    classes = classwise.recalls(
        aim.head, *map(aim.of, (run.context.data.test.y, baseline.outputs, outputs)), names=run.context.data.classes
    )
    by_column = columnwise.columns(aim.head, *map(aim.of, (run.context.data.test.y, baseline.outputs, outputs)))
    rare = tuple(classwise.rare_class_verdicts(classes))
    by_output = outputwise.table(aim, run.context.data.test.y, baseline, outputs)
    (before, after), speedup = measure.variants([(baseline.exported, baseline.quality), (result, found)], run.probe())
    data, groups_cut = run.context.data, tuple(run.groups.values())
    return Report(
        provenance=run.context.provenance,
        model_name=run.model.name,
        metric_label=in_words(run.context.objective.metric),
        spec=run.context.recipe,
        baseline=before,
        result=after,
        speedup=speedup,
        target_sparsity=target,
        delivered_sparsity=delivered,
        tested_on=data.tested_on,
        layers=layer_table(run.model, run.targets, in_file),
        groups=groups_cut,
        outputs=by_output,
        classes=classes,
        columns=by_column,
        history=tuple(run.history),
        verdicts=(
            *rare,
            *columnwise.column_verdicts(by_column),
            *verdicts(before, after, speedup, target=target, groups=groups_cut, tested_on=data.tested_on),
            *classwise.class_verdicts(classes),
            *outputwise.output_verdicts(by_output),
        ),
        notes=(*run.notes, *result.notes),
        suggestions=(*run.suggestions, *suggestions, *classwise.imbalance(run.context.recipe, aim.head, classes)),
        host=host(),
        files=tuple(map(digest_of, files)),
        seconds=dict(seconds),
    )


def _overall(sparsity: dict[str, float], names: list[str], sizes: dict[str, int]) -> float | None:
    total = sum(sizes[name] for name in names)
    return sum(sparsity[name] * sizes[name] for name in names) / total if total else None
