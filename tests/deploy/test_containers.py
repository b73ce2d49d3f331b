"""The container files, as far as they can be checked without a container engine."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.settings import Settings
from tests.deploy.extras import canonical, installed_with, third_parties

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"migrate"}
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

per_service = pytest.mark.parametrize("name", SERVICES)


def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Dockerfile, continued lines joined."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines():
        if line.startswith("FROM "):
            current = found.setdefault(line.rpartition(" AS ")[2], [])
        elif line and not line.startswith("#"):
            current.append(line)
    return found


HADOLINT = Path(sys.executable).parent / "hadolint"  # installed beside the interpreter; PATH may not say so


def schema_errors(compose: dict[str, Any]) -> list[str]:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(compose)]


def test_hadolint_finds_nothing() -> None:
    """It knows the traps of Dockerfiles, and of the shell inside them."""
    done = subprocess.run([HADOLINT, "-"], input=DOCKERFILE, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_hadolint_can_find_something() -> None:
    """A check that cannot fail is a defect."""
    bad = DOCKERFILE.replace("python:3.11-slim-bookworm", "python:latest")

    done = subprocess.run([HADOLINT, "-"], input=bad, capture_output=True, text=True, check=False)

    assert done.returncode != 0


def test_the_compose_file_matches_its_specification() -> None:
    """The schema is the official one; a misspelt key would be ignored or refused only when starting."""
    assert schema_errors(COMPOSE) == []


def test_the_specification_can_refuse_something() -> None:
    """A check that cannot fail is a defect."""
    assert schema_errors(COMPOSE | {"services": {"worker": {"imag": "x"}}})


def test_each_target_of_the_compose_file_is_a_stage_of_the_dockerfile() -> None:
    """And both images exist."""
    targets = {service["build"]["target"] for service in OURS.values()}

    assert targets == {"gateway", "worker"}
    assert targets <= set(stages())


@pytest.mark.parametrize("target", ["gateway", "worker"])
def test_an_image_runs_as_the_one_fixed_user_and_tells_its_health(target: str) -> None:
    """A numeric user lets Kubernetes verify that it is not root; an exec form lets signals arrive."""
    lines = stages()[target]

    assert "USER 10001:10001" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert next(line for line in lines if line.startswith("CMD")).startswith('CMD ["python", "-m",')


@pytest.mark.parametrize(("target", "extra"), [("gateway", "gateway"), ("worker", "worker")], ids=["gateway", "worker"])
def test_an_image_holds_the_pinned_packages_of_its_extra_and_no_others(target: str, extra: str) -> None:
    """The gateway without TensorFlow is a tenth of the size, and so is what can be attacked in it."""
    installs = [line for line in stages()[f"{target}-packages"] if "pip install" in line]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    apart = " && pip install --no-deps --requirement no-deps.txt" if target == "worker" else ""
    assert installs == [f'RUN pip install --constraint constraints.txt ".[{extra},tracing]"{apart}']
    assert any("tensorflow" in requirement for requirement in extras["engine"])
    assert ("secateur[engine]" in extras[extra]) == (target == "worker")


def test_the_default_worker_serves_every_queue() -> None:
    """A queue that nobody serves would leave uploads in `checking` for ever."""
    from secateur.protocol.work import QUEUES

    command = json.loads(next(line for line in stages()["worker"] if line.startswith("CMD")).removeprefix("CMD "))

    assert command[-1].split(",") == list(QUEUES)


def test_every_package_is_copied_into_the_build_and_let_through() -> None:
    """A new package that is forgotten here would only be missed at run time."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.removesuffix("*") for name in config["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {line.split()[1] for line in stages()["source"] if line.startswith("COPY")}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert packages <= copied
    assert packages <= let_through


@per_service
def test_a_service_tells_its_health_or_runs_once(name: str) -> None:
    """Others wait for it by its health."""
    service = SERVICES[name]
    target = service.get("build", {}).get("target")
    in_image = target and any(line.startswith("HEALTHCHECK") for line in stages()[target])

    if name in ONE_SHOT:
        assert service["restart"] == "no"
    else:
        assert service.get("healthcheck", {}).get("test") or in_image
        assert service["restart"] == "unless-stopped"


@per_service
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    """Not root, no capabilities, nothing to gain, nothing to overwrite."""
    service = SERVICES[name]

    assert service.get("user") not in ("root", "0") and (service.get("user") or name in OURS)  # noqa: PT018
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service
    assert "cap_add" not in service


@per_service
def test_only_the_gateway_is_reachable_and_only_from_this_machine(name: str) -> None:
    """Docker's ports pass by the host's firewall. The courier alone has a way out: a stranger's model has none."""
    ports = SERVICES[name].get("ports", [])

    if name == "gateway":
        assert all(port.startswith("${GATEWAY_ADDRESS:-127.0.0.1}:") for port in ports)
        assert len(ports) == 1
    else:
        assert ports == []
        assert SERVICES[name]["networks"] == (["backend", "outside"] if name == "courier" else ["backend"])
    assert COMPOSE["networks"]["backend"]["internal"] is True


@pytest.mark.parametrize("name", OURS)
def test_a_service_names_only_settings_that_exist(name: str) -> None:
    """Unknown ones are ignored in silence."""
    named = {key for key in OURS[name]["environment"] if key.startswith("SECATEUR_")}
    in_image = set(re.findall(r"SECATEUR_[A-Z_]+", "\n".join(stages()[OURS[name]["build"]["target"]])))

    assert named | in_image <= {f"SECATEUR_{field.upper()}" for field in Settings.model_fields}
    assert named >= {"SECATEUR_DATABASE_URL", "SECATEUR_BROKER_URL", "SECATEUR_STORE_URL"}


def test_webhooks_are_delivered_by_whoever_has_a_way_out_and_by_nobody_else() -> None:
    """Each try of a worker that reaches nobody would put a notice off, in the end for hours."""
    delivers = SERVICES["worker"]["environment"]["SECATEUR_DELIVER_WEBHOOKS"]

    assert Settings.model_validate({"deliver_webhooks": delivers}).deliver_webhooks is False
    assert SERVICES["courier"]["command"] == ["python", "-m", "workers.webhooks"]
    assert COMPOSE["networks"]["outside"] == {}
    assert "volumes" not in SERVICES["courier"]


@pytest.mark.parametrize(
    ("target", "modules"),
    [
        ("gateway", ["service.__main__", "infra.__main__", "workers.webhooks.__main__"]),
        ("worker", ["workers.__main__", "workers.child.__main__"]),
    ],
    ids=["gateway", "worker"],
)
def test_what_an_image_runs_finds_what_it_imports(target: str, modules: list[str]) -> None:
    """Where all extras are installed, as for tests, a package that an image lacks is not missed."""
    installed, givers = installed_with(target), packages_distributions()

    imported = third_parties(*modules)

    assert {"pydantic", "sqlalchemy"} <= imported
    assert {name for name in imported if not {canonical(giver) for giver in givers.get(name, [])} & installed} == set()
    assert ("tensorflow" in installed) == (target == "worker")


def test_passwords_have_no_default_and_are_not_in_the_file() -> None:
    """A password that is published is none; Compose stops with the sentence after the question mark."""
    text = (ROOT / "docker-compose.yml").read_text()

    uses = re.findall(r"\$\{\w+_PASSWORD[^}]*\}", text)

    assert uses
    assert all(re.match(r"\$\{\w+_PASSWORD:\?.+\}", use) for use in uses)


def test_everything_starts_after_what_it_needs() -> None:
    """The tables are made by one container, before any other looks for them."""
    for name in ("gateway", "worker"):
        waits = {needed: how["condition"] for needed, how in SERVICES[name]["depends_on"].items()}
        assert waits == {"migrate": "service_completed_successfully", "redis": "service_healthy"}
    for name in ("migrate", "courier"):
        assert "redis" not in SERVICES[name]["depends_on"]
    assert SERVICES["courier"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_redis_forgets_nothing() -> None:
    """Without its log 20 of 20 queued messages were lost when it was killed; an eviction loses them in silence."""
    command = " ".join(SERVICES["redis"]["command"])

    assert "--appendonly yes --appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command


def test_gateway_and_worker_share_the_store_and_every_volume_is_declared() -> None:
    """What one of them stores the other must read."""
    mounts = {name: dict(v.split(":") for v in SERVICES[name].get("volumes", [])) for name in SERVICES}
    store = SERVICES["gateway"]["environment"]["SECATEUR_STORE_URL"].removeprefix("file://")

    assert mounts["gateway"]["store"] == mounts["worker"]["store"] == store
    assert mounts["worker"]["scratch"] == SERVICES["worker"]["environment"]["SECATEUR_SCRATCH_DIR"]
    assert {volume for mount in mounts.values() for volume in mount} == set(COMPOSE["volumes"])


def test_a_worker_has_time_to_give_its_job_back() -> None:
    """Killed earlier, the job waits for its lease to run out."""
    from workers.app import DRAIN_SECONDS

    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
