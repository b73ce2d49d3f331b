"""What a query declares of a data set, as a ``Reading``. Query values are text; the reading itself parses them."""

from typing import Annotated, Any

from fastapi import Depends, Query

from secateur.specs.reading import Reading, from_text


def _text(name: str, *, example: str | None = None) -> Any:
    description = Reading.model_fields[name].description
    return Query(description=f"{description} Such as {example}." if example else description)


def declared(
    scale: Annotated[str | None, _text("scale", example='1/255 or {"mean": [125, 123, 114], "deviation": 64}')] = None,
    label: Annotated[str | None, _text("label", example="species")] = None,
    labels: Annotated[str | None, _text("labels", example="values")] = None,
    classes: Annotated[str | None, _text("classes", example="cat,dog")] = None,
    split: Annotated[str | None, _text("split")] = None,
    test_share: Annotated[str | None, _text("test_share")] = None,
    validation_share: Annotated[str | None, _text("validation_share")] = None,
    seed: Annotated[str | None, _text("seed")] = None,
    image_size: Annotated[str | None, _text("image_size", example="96x96")] = None,
    color: Annotated[str | None, _text("color", example="grayscale")] = None,
    features: Annotated[str | None, _text("features", example='{"x": {"shape": [4]}, "label": {"dtype": "int64"}}')] = (
        None
    ),
    sample: Annotated[str | None, _text("sample", example="x")] = None,
    inputs: Annotated[str | None, _text("inputs", example='{"left": ["x1", "x2"], "right": ["x3"]}')] = None,
) -> Reading:
    """The reading that these parameters declare.

    Raises:
        InvalidRequest: naming the parameters that cannot be understood.
    """
    return from_text({name: value for name, value in locals().items() if value is not None})


DeclaredReading = Annotated[Reading, Depends(declared)]
