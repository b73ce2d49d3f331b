import re

from secateur import errors


def test_every_error_has_a_code_of_its_own_named_after_its_class() -> None:
    """Codes are what clients match on: they must be stable, unique and guessable."""
    for code, error in errors.catalogue().items():
        assert code == re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()
        assert error.title


def test_the_tree_at_the_top_of_the_file_is_the_tree_in_the_file() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)\s+([a-z_]+)$", errors.__doc__ or "", flags=re.MULTILINE))

    assert drawn == {error.__name__: code for code, error in errors.catalogue().items()}


def test_blame_and_status_never_contradict_each_other() -> None:
    for error in errors.catalogue().values():
        assert (error.blame == "request") == (400 <= error.status < 500)
        assert (error.blame == "service") == (500 <= error.status < 600)


def test_an_error_becomes_data_with_all_that_helps() -> None:
    failure = errors.UnknownLayer("no layer x", suggestions=["use y"]).failure(step="prune")

    assert (failure.code, failure.blame, failure.step) == ("unknown_layer", "request", "prune")
    assert failure.suggestions == ("use y",)
    assert errors.Failure.model_validate_json(failure.model_dump_json()) == failure
