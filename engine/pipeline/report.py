"""The evidence at the end of a job: are the zeros in the file, and what do the files measure?"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from engine.evaluation import classwise, measure, outputwise
from engine.evaluation.host import host
from engine.evaluation.verdicts import verdicts
from engine.pruning.delivery import check_delivered, layer_table, sparsity_in_file, zeros
from engine.run.context import Job
from secateur.reports.report import FileDigest, Report
from secateur.specs.metrics import in_words


def make_report(job: Job, baseline: measure.Baseline, files: list[Path], seconds: Mapping[str, float]) -> Report:
    """Measure the result beside the baseline and check that the zeros are in the file.

    Raises:
        SparsityMissed: they are not.
    """
    result = job.result
    assert result is not None
    pruned = [name for name, target in job.targets.items() if target > 0]
    in_file = sparsity_in_file(job.masks, pruned, result.runner.constants())
    sizes = {name: job.masks.mask(name).size for name in job.masks.names}
    groups = sizes | job.num_groups
    check_delivered(job.targets, {name: zeros(job.masks.weights(name)) for name in job.masks.names}, groups)
    check_delivered({name: job.targets[name] for name in pruned}, in_file, groups)
    target, delivered = _overall(job.targets, pruned, sizes), _overall(in_file, pruned, sizes)
    outputs = measure.said(result, job.feed, job.data.test.x)
    found = measure.quality(job.objective, job.data.test.y, outputs, baseline.outputs)
    aim = job.objective
    classes = classwise.recalls(
        aim.head, *map(aim.of, (job.data.test.y, baseline.outputs, outputs)), names=job.data.classes
    )
    by_output = outputwise.table(aim, job.data.test.y, baseline, outputs)
    before, after = measure.variants([(baseline.exported, baseline.quality), (result, found)], job.probe())
    return Report(
        model_name=job.model.name,
        metric_label=in_words(job.objective.metric),
        spec=job.recipe,
        baseline=before,
        result=after,
        target_sparsity=target,
        delivered_sparsity=delivered,
        tested_on=job.data.tested_on,
        layers=layer_table(job.model, job.targets, in_file),
        groups=tuple(job.groups.values()),
        outputs=by_output,
        classes=classes,
        history=tuple(job.history),
        verdicts=(
            *verdicts(before, after, target=target, groups=tuple(job.groups.values()), tested_on=job.data.tested_on),
            *classwise.class_verdicts(classes),
            *outputwise.output_verdicts(by_output),
        ),
        notes=tuple(job.notes),
        suggestions=job.suggestions,
        host=host(),
        files=tuple(map(_digest, files)),
        seconds=dict(seconds),
    )


def _overall(sparsity: dict[str, float], names: list[str], sizes: dict[str, int]) -> float | None:
    total = sum(sizes[name] for name in names)
    return sum(sparsity[name] * sizes[name] for name in names) / total if total else None


def _digest(path: Path) -> FileDigest:
    content = path.read_bytes()
    return FileDigest(name=path.name, digest=f"sha256:{hashlib.sha256(content).hexdigest()}", num_bytes=len(content))
