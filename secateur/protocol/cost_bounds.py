"""What the check of one upload may cost. The operator sets the bounds; gateway, worker and child hold files to them."""

from typing import Final

from pydantic import Field

from secateur.frozen import Frozen


class CostBounds(Frozen):
    """Bounds on work and memory that a small file can ask for."""

    layer_calls: int = Field(
        default=10_000, ge=1, description="Calls of layers in a model, those inside nested models counted at each call."
    )
    activation_bytes: int = Field(
        default=1 << 30, ge=1, description="Largest tensor of one sample between the layers of a model, as float32."
    )
    sample_macs: int = Field(
        default=10**12, ge=1, description="Multiply-accumulates of a model for one sample, at the size that is checked."
    )
    table_columns: int = Field(default=50_000, ge=2, description="Columns of a csv or parquet file.")
    data_values: int = Field(
        default=10**10, ge=1, description="Values that a data set becomes: samples x (features + labels)."
    )
    line_bytes: int = Field(default=4 << 20, ge=1, description="Longest line of a csv.")
    inflation: int = Field(
        default=100,
        ge=1,
        description="How many times its own size a data set may take when it is unpacked and read, beyond 128 MiB.",
    )


DEFAULT: Final = CostBounds()
