"""The page holds every number of the report, refers to nothing outside itself, and trusts no name."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from reporting.pages.page import html
from reporting.plots.classes import MAX_CLASSES
from reporting.plots.groups import MAX_GROUPS
from reporting.plots.svg import MAX_LAYERS
from secateur.reports.report import ClassRecall, GroupCut, Report
from secateur.text import words
from tests.reporting import factory

HOSTILE = '<script>alert("x")</script>$&'
PAGE = html(factory.report())


def text_of(page: str) -> str:
    """What a reader sees, with ordinary spaces."""
    seen: list[str] = []

    class Reader(HTMLParser):
        skipped = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.skipped += tag in ("style", "svg")

        def handle_endtag(self, tag: str) -> None:
            self.skipped -= tag in ("style", "svg")

        def handle_data(self, data: str) -> None:
            if not self.skipped:
                seen.append(data)

    Reader().feed(page)
    return " ".join(" ".join(seen).replace(words.NBSP, " ").split())


def plots_of(page: str) -> list[str]:
    return re.findall(r"<svg\b.*?</svg>", page, flags=re.DOTALL)


def numbers(report: Report) -> list[str]:
    """Every measured number, as the page should spell it."""
    found = []
    for variant in (report.baseline, report.result):
        found += [words.count(variant.num_params), words.count(variant.num_nonzero_params)]
        found += [
            text for size in variant.sizes.model_dump().values() for text in (words.size(size), f"{size:,} bytes")
        ]
        found += [words.share(variant.quality.score.value), words.share(variant.quality.agreement)]
        found += [words.interval("accuracy", variant.quality.score)]
        found += [words.milliseconds(variant.latency.p50_ms), words.milliseconds(variant.latency.p95_ms)]
    for layer in report.layers:
        found += [words.count(layer.num_weights), words.share(layer.keras_sparsity)]
        found += [words.share(layer.tflite_sparsity)] if layer.tflite_sparsity is not None else []
    for point in report.history:
        found += [words.loss(point.loss), words.loss(point.val_loss), words.share(point.val_metric)]
        found += [words.share(point.sparsity)]
    found += [words.duration(seconds) for seconds in report.seconds.values()]
    found += [words.exact_size(file.num_bytes) for file in report.files]
    return [text.replace(words.NBSP, " ") for text in found]


def test_every_number_of_the_report_is_on_the_page() -> None:
    """A number that is only in the JSON is one that nobody looks at."""
    seen = text_of(PAGE)

    missing = [number for number in numbers(factory.report()) if number not in seen]

    assert missing == []


def test_every_sentence_name_and_digest_is_on_the_page() -> None:
    """Verdicts first of all, but also what explains and identifies the numbers."""
    report = factory.report()
    sentences = [*report.verdicts, *report.notes, report.model_name, report.host.cpu, report.host.system]
    sentences += ["oneDNN on"]
    sentences += [layer.reason for layer in report.layers if layer.reason]
    sentences += [file.digest for file in report.files] + list(report.host.versions.values())

    seen = text_of(PAGE)

    assert [sentence for sentence in sentences if sentence not in seen] == []


def test_the_recipe_on_the_page_is_the_one_that_ran() -> None:
    """Someone will copy it from there."""
    shown = re.search(r"<pre><code>(.*?)</code></pre>", PAGE, flags=re.DOTALL)

    assert shown is not None
    assert type(factory.report().spec).model_validate_json(unescape(shown[1])) == factory.report().spec


def test_the_answer_stands_before_the_evidence() -> None:
    """The first verdict is above the first table."""
    assert PAGE.index(factory.report().verdicts[0][:20]) < PAGE.index("<table")


def test_names_cannot_become_markup() -> None:
    """Layers are named by whoever uploaded the model, and the page opens in someone else's browser."""
    layers = (factory.layer(HOSTILE, HOSTILE, (3, 3)),)
    given = factory.report(
        model_name=HOSTILE, layers=layers, verdicts=(HOSTILE,), notes=(HOSTILE,), metric_label=HOSTILE
    )

    page = html(given)

    assert "<script" not in page
    assert "alert(" in page


def test_the_page_refers_to_nothing_outside_itself() -> None:
    """It is opened from a disk, from a mail, behind a firewall."""
    assert not re.search(r"https?:|//[a-z]|<link|<img|<script|@import|\bsrc=", PAGE)
    assert re.findall(r"(?:url\(|href=\")(?!#)", PAGE) == []


def test_both_themes_and_paper_have_every_colour() -> None:
    """A colour that only one theme defines is invisible in the other."""
    themes = re.findall(r":root \{(.*?)\}", PAGE, flags=re.DOTALL)
    defined = [set(re.findall(r"(--[a-z]+):", theme)) for theme in themes]
    used = set(re.findall(r"var\((--[a-z]+)\)", PAGE))

    assert len(themes) == 3
    assert all(names == used for names in defined)
    assert "prefers-color-scheme: dark" in PAGE
    assert "@media print" in PAGE


def test_plots_take_their_colours_from_the_theme() -> None:
    """A fixed black would vanish on a dark page."""
    for plot in plots_of(PAGE):
        assert re.findall(r"#[0-9a-f]{6}\b(?![^<]*url)", plot) == []


def test_every_plot_tells_in_words_what_it_shows() -> None:
    """For those who cannot see it."""
    plots = plots_of(PAGE)

    labels = [unescape(re.match(r'<svg [^>]*aria-label="([^"]+)"', plot)[1]) for plot in plots]  # type: ignore[index]

    assert len(plots) == 5
    assert all('role="img"' in plot for plot in plots)
    assert all(re.search(r"\d", label) for label in labels)


def test_plots_are_well_formed_and_their_text_is_text() -> None:
    """Text that was turned into outlines can be neither searched nor read aloud."""
    for plot in plots_of(PAGE):
        assert len(list(ElementTree.fromstring(plot).iter("text"))) >= 5


def test_identifiers_are_unique_and_lead_somewhere() -> None:
    """Several drawings share one page; a doubled clip path would cut the wrong one."""
    names = re.findall(r'\bid="([^"]+)"', PAGE)
    used = re.findall(r'(?:href="|url\()#([^")]+)', PAGE)

    assert len(names) == len(set(names))
    assert set(used) <= set(names)


def test_the_same_report_gives_the_same_page() -> None:
    """So that its digest means something."""
    assert html(factory.report()) == PAGE


def test_a_report_without_pruning_and_training_has_no_empty_plots() -> None:
    """Quantising alone is a recipe too."""
    layer = factory.layer("a", "Dense", (2, 2), pruned=False, target=None, tflite_sparsity=None, reason="not asked for")

    page = html(factory.report(layers=(layer,), history=(), target_sparsity=None, delivered_sparsity=None))

    assert len(plots_of(page)) == 3
    assert "All pruned layers" not in page


def test_of_very_many_layers_the_table_has_all_and_the_plot_says_that_it_has_not() -> None:
    """A plot of 300 bars is none."""
    layers = tuple(factory.layer(f"layer_{index:03}", "Dense", (index + 1, 2)) for index in range(MAX_LAYERS + 7))

    page = html(factory.report(layers=layers))

    assert "layer_000" in text_of(page)
    assert "7 smallest pruned layers are only in the table" in text_of(page)


@pytest.mark.parametrize("epochs", [1, 60])
def test_short_and_long_training_can_be_drawn(epochs: int) -> None:
    """One epoch has no line, sixty have no room for marks."""
    points = [factory.history()[0].model_copy(update={"epoch": epoch}) for epoch in range(1, epochs + 1)]

    assert "Training" in html(factory.report(history=tuple(points)))


def test_errors_are_not_shown_in_percent() -> None:
    """A mean squared error of 0.02 is not two percent of anything."""
    given = {"metric": "mean_squared_error", "higher_is_better": False}
    before = factory.quality(0.02, 0.018, 0.022, agreement=1.0, **given)
    after = factory.quality(0.021, 0.019, 0.023, agreement=0.998, **given)
    report = factory.report(
        metric_label="mean squared error",
        baseline=factory.baseline().model_copy(update={"quality": before}),
        result=factory.result().model_copy(update={"quality": after}),
    )

    seen = text_of(html(report))

    assert "0.02 → 0.021" in seen
    assert "0.019 to 0.023" in seen
    assert "0.9980" in seen


def test_what_became_of_every_group_is_drawn_and_told() -> None:
    """Which layers became narrower, and why others did not, is the first question after such a job."""
    report = factory.channels_report()

    page = html(report)
    seen = text_of(page)
    drawn = next(plot for plot in plots_of(page) if "block_1" in plot)

    for group in report.groups:
        assert group.name in drawn
        assert (f"{group.params_saved:,}" if group.after < group.before else words.whole(group.spared)) in seen
    assert "64 → 24" in drawn
    assert "block_3 32 32 – – nothing of it was taken" in seen
    assert "with block_1_add" in seen
    assert "12.5 M" in seen
    assert "12,501,632" in seen
    assert "2.02× fewer" in seen


def test_a_page_of_a_job_that_made_no_zeros_does_not_speak_of_any() -> None:
    """Columns of 0.00 % hide what happened."""
    page = html(factory.channels_report())

    assert "zero" not in text_of(page).replace("does not start at zero", "").lower()
    assert "zeros" not in " ".join(plots_of(page)).lower()
    assert "zeros" in text_of(PAGE).lower()


def test_of_very_many_groups_those_that_were_cut_are_drawn_and_all_are_in_the_table() -> None:
    spared = [GroupCut(name=f"spared_{at}", layers=(), before=512, after=512, spared="frozen") for at in range(50)]
    cut = [GroupCut(name=f"cut_{at}", layers=(), before=16, after=8) for at in range(9)]

    page = html(factory.channels_report(groups=(*spared, *cut)))
    drawn = next(plot for plot in plots_of(page) if "16 → 8" in plot)

    assert all(f"cut_{at}" in drawn for at in range(9))
    assert f"The {59 - MAX_GROUPS} others are only in the table" in text_of(page)
    assert "spared_49" in text_of(page)
    assert "<details>" in page


def recall(number: int, called: str | None, before: float, after: float, **given: Any) -> ClassRecall:
    return ClassRecall(name=str(number), called=called, num_samples=50, before=before, after=after, **given)


def test_classes_are_told_and_drawn_by_their_names_and_by_numbers_where_they_have_none() -> None:
    classes = (
        recall(0, "tabby cat", 0.9, 0.88),
        recall(1, None, 0.8, 0.8),
        recall(2, "dog", 0.95, 0.6, lost_much=True),
    )

    page = html(factory.report(classes=classes))
    drawn = next(plot for plot in plots_of(page) if "tabby cat" in plot)

    assert "tabby cat class 0 50 90.00 % 88.00 %" in text_of(page)
    assert "1 50 80.00 % 80.00 %" in text_of(page)
    assert drawn.index("95.0 → 60.0 %") < drawn.index("90.0 → 88.0 %"), "who lost most comes first"


def test_of_very_many_classes_those_that_lost_most_are_drawn() -> None:
    classes = tuple(recall(at, f"kind {at}", 0.9, 0.9 - at / 100) for at in range(MAX_CLASSES + 5))

    page = html(factory.report(classes=classes))
    drawn = next(plot for plot in plots_of(page) if "kind 24" in plot)

    assert "kind 4<" not in drawn
    assert "kind 5<" in drawn
    assert "The 5 others are only in the table" in text_of(page)
    assert "kind 4" in text_of(page)


def test_names_of_classes_cannot_become_markup() -> None:
    page = html(
        factory.report(classes=(recall(0, HOSTILE, 0.5, 0.5), recall(1, "\N{CJK UNIFIED IDEOGRAPH-732B}", 1, 1)))
    )

    assert "<script" not in page
    assert all(ElementTree.fromstring(plot) is not None for plot in plots_of(page))


def test_scores_of_a_validation_split_are_called_what_they_are() -> None:
    seen = text_of(html(factory.report(tested_on="validation")))

    assert "10,000 validation samples (the data set has no test split" in seen
    assert "test split" not in seen.replace("the data set has no test split", "")


def test_names_of_groups_cannot_become_markup() -> None:
    group = GroupCut(name=HOSTILE, layers=(HOSTILE, HOSTILE), before=16, after=8)

    assert "<script" not in html(factory.channels_report(groups=(group,)))


def test_what_may_be_worth_changing_stands_with_the_answer() -> None:
    told = 'Set "data": {"scale": "1/255"}: accuracy 0.970 instead of 0.620.'

    page = html(factory.report(suggestions=(told,)))

    assert page.index("Worth changing") < page.index("&#34;scale&#34;: &#34;1/255&#34;}: accuracy 0.970")
    assert "Worth changing" not in html(factory.report())


def test_the_page_tells_learning_rates_and_the_epoch_that_was_kept() -> None:
    points = [point.model_copy(update={"learning_rate": 0.000123}) for point in factory.history()]
    points[-2] = points[-2].model_copy(update={"kept": True})

    page = html(factory.report(history=tuple(points)))

    assert "<strong>2, kept</strong>" in page
    assert page.count("0.000123") == len(points)
    assert "Learning rate" not in html(factory.report())


def test_every_output_of_a_model_with_several_is_told() -> None:
    page = text_of(html(factory.outputs_report()))

    assert "digit (judged) accuracy" in page
    assert "slant no labels – – – 0.9876" in page
    assert "Outputs" not in text_of(PAGE)
