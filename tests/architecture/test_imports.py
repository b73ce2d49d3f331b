"""The import contracts of pyproject.toml hold, and each of them can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules_after(statement: str) -> set[str]:
    """What a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


HEAVY = {"tensorflow", "keras", "numpy", "h5py", "matplotlib", "ai_edge_litert", "engine", "reporting"}
TRACING = {"opentelemetry.sdk.trace", "opentelemetry.exporter"}
"""What only who asks for traces pays for. That redis-py imports the SDK's metrics where it finds them is its own."""


def test_the_import_contracts_are_kept() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        pytest.param("from service.app import create_app", HEAVY | TRACING, id="gateway"),
        pytest.param("import workers.app, workers.supervision.supervisor", HEAVY | TRACING, id="worker process"),
        pytest.param(
            "import secateur.specs.spec, secateur.reports.report, secateur.validation.fit, screening",
            HEAVY,
            id="job language",
        ),
        pytest.param("import secateur.client.api", HEAVY | {"fastapi", "celery", "sqlalchemy"}, id="client"),
        pytest.param(
            "import workers.child.main", {"tensorflow", "keras", "infra", "celery", "sqlalchemy"}, id="child at start"
        ),
        pytest.param("import engine.inspection.inspect", {"tensorflow", "keras"}, id="data set check"),
    ],
)
def test_a_process_loads_only_what_it_is_for(statement: str, forbidden: set[str]) -> None:
    """Import Linter reads the text; this looks at the running interpreter, so that lazy imports count too."""
    loaded = {name.partition(".")[0] for name in modules_after(statement)} | modules_after(statement)

    assert not loaded & forbidden


def test_this_guard_sees_what_it_should() -> None:
    """A check that cannot fail is a defect."""
    assert "numpy" in modules_after("import engine.pruning.criterion")
