"""The kinds of jobs that users post, and the one type that stands for any of them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Discriminator, Tag

from secateur.specs.search import SearchSpec
from secateur.specs.sensitivity import SensitivitySpec
from secateur.specs.spec import CompressSpec
from secateur.specs.sweep import SweepSpec

DEFAULT_KIND: Final = "compress"
SPECS: Final[dict[str, type[CompressSpec | SensitivitySpec | SweepSpec | SearchSpec]]] = {
    "compress": CompressSpec,
    "sensitivity": SensitivitySpec,
    "sweep": SweepSpec,
    "search": SearchSpec,
}


def kind_of_spec(given: Any) -> str:
    """The kind that a spec names; one that names none is a compress job.

    >>> kind_of_spec({"preset": "small"}), kind_of_spec({"kind": "sensitivity"})
    ('compress', 'sensitivity')
    """
    kind = given.get("kind", DEFAULT_KIND) if isinstance(given, Mapping) else getattr(given, "kind", DEFAULT_KIND)
    return kind if isinstance(kind, str) else repr(kind)


JobSpec = Annotated[
    Annotated[CompressSpec, Tag("compress")]
    | Annotated[SensitivitySpec, Tag("sensitivity")]
    | Annotated[SweepSpec, Tag("sweep")]
    | Annotated[SearchSpec, Tag("search")],
    Discriminator(kind_of_spec),
]


def spec_digest(spec: CompressSpec | SensitivitySpec | SweepSpec | SearchSpec) -> str:
    """Digest of what a job will do: equal specs have equal digests, labels and limits apart."""
    content = spec.model_dump(mode="json", exclude={"labels", "limits", "preset"})
    return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
