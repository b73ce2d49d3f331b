import pytest

from engine.studies.sensitivity_verdicts import verdicts
from secateur.reports.sensitivity import Curves


def said(layers: dict[str, tuple[float, ...]], **changes: object) -> str:
    known = {"key": "k", "metric": "accuracy", "higher_is_better": True, "num_samples": 1000, "dense": 0.9}
    curves = Curves.model_validate(known | {"sparsities": (0.5, 0.9), "layers": layers} | changes)
    plain = {"\N{NO-BREAK SPACE}": " ", "\N{MINUS SIGN}": "-"}
    return " ".join(verdicts(curves)).translate(str.maketrans(plain))


def test_both_ends_are_named_with_what_the_deepest_cut_costs() -> None:
    told = said({"a": (0.9, 0.895), "b": (0.88, 0.4)})

    assert "The most sensitive layer is b: -50.00 points of accuracy with 90 % of its weights pruned." in told
    assert "The least sensitive layer is a: -0.50 points" in told


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            {"a": (0.9, 0.895), "b": (0.9, 0.4)},
            "1 can be pruned to 90 % at a cost of at most one point each.",
        ),
        ({"a": (0.7, 0.6), "b": (0.9, 0.9)}, "at most one point each; 1 cannot be pruned to 50 %."),
    ],
)
def test_it_is_said_how_many_layers_keep_their_score(layers: dict[str, tuple[float, ...]], expected: str) -> None:
    assert expected in said(layers)


def test_chance_is_told_from_the_number_of_samples() -> None:
    """Wilson's interval of 90 % on 1,000 samples is 1.9 points to each side, on 50 it is 8.5."""
    assert "about ±1.9 points" in said({"a": (0.9, 0.9)})
    assert "about ±8.5 points" in said({"a": (0.9, 0.9)}, num_samples=50)


def test_errors_are_told_as_errors() -> None:
    told = said({"a": (0.1, 0.3)}, metric="mean_squared_error", higher_is_better=False, dense=0.1)

    assert "+0.2 of mean squared error" in told
    assert "chance" not in told
    assert "a tenth of the error" in told
