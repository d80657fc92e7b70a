"""The recipes for containers in deploy/: what they say of addax, and of each other, is true.

Whether they are what Docker and Kubernetes understand is for ``scripts/check-deploy``.
"""

from __future__ import annotations

import ast
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from addax.config.capacity import WORKER_BYTES
from addax.config.checks import check, read_environment
from addax.config.options import BY_NAME, ENV_PREFIX
from addax.supervise import child

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = ROOT / "docs" / "deployment.md"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def read_image() -> dict[str, list[str]]:
    """The instructions of the last stage, by name and in order."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    found: dict[str, list[str]] = {}
    for line in text[text.rindex("\nFROM ") :].splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest)
    return found


def image_environment() -> dict[str, str]:
    """The variables that the image sets."""
    words = [word for line in read_image()["ENV"] for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def read_compose() -> Any:
    """The one service of compose.yaml."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    (service,) = services.values()
    return service


def read_kubernetes() -> dict[str, Any]:
    """The objects of kubernetes.yaml by kind."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    return found


def read_pod() -> Any:
    """What the Deployment says of each pod."""
    return read_kubernetes()["Deployment"]["spec"]["template"]["spec"]


def read_container() -> Any:
    """The one container of each pod."""
    (container,) = read_pod()["containers"]
    return container


def environment(recipe: str) -> dict[str, str]:
    """What addax finds in its environment, those variables that the image sets included."""
    of_recipe = {
        "Dockerfile": lambda: {},
        "compose.yaml": lambda: read_compose()["environment"],
        "kubernetes.yaml": lambda: {variable["name"]: variable["value"] for variable in read_container()["env"]},
    }[recipe]()
    return image_environment() | of_recipe


def settings(recipe: str) -> dict[str, Any]:
    """The values of all options."""
    given = check(read_environment(environment(recipe)))
    return {name: option.default for name, option in BY_NAME.items()} | given


def seconds_to_stop(recipe: str) -> float:
    """After SIGTERM: how long it may take until the last worker is gone, of its own accord or killed."""
    values = settings(recipe)
    assert values["timeout_shutdown_notice"] < values["timeout_graceful_shutdown"]
    return values["timeout_graceful_shutdown"] + values["timeout_lifespan_shutdown"] + child._JOIN_MARGIN_S


def seconds(text: str) -> int:
    """A duration as Compose writes it; here they are whole seconds."""
    assert re.fullmatch(r"\d+s", text), text
    return int(text[:-1])


def memory_bytes(text: str) -> int:
    """An amount of memory; here they are whole MiB."""
    assert re.fullmatch(r"\d+(m|Mi)", text), text
    return int(text.rstrip("Mi").rstrip("m")) << 20


RECIPES = ("Dockerfile", "compose.yaml", "kubernetes.yaml")


@pytest.mark.parametrize("recipe", RECIPES)
def test_variables_are_options_that_addax_takes(recipe: str) -> None:
    names = {name for name in environment(recipe) if name.startswith(ENV_PREFIX)}
    assert names <= {option.variable for option in BY_NAME.values()}
    assert len(check(read_environment(environment(recipe)))) == len(names)


@pytest.mark.parametrize("recipe", RECIPES)
def test_environments_hold_text(recipe: str) -> None:
    # YAML makes a number of 75; Kubernetes refuses that, and Compose guesses.
    assert {name for name, value in environment(recipe).items() if not isinstance(value, str)} == set()


# --- The stop ---------------------------------------------------------------------------------------------------------


def test_compose_waits_for_the_stop() -> None:
    assert seconds_to_stop("compose.yaml") < seconds(read_compose()["stop_grace_period"])


def test_kubernetes_waits_for_hook_and_stop() -> None:
    hook_s = read_container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert hook_s > 0
    assert hook_s + seconds_to_stop("kubernetes.yaml") < read_pod()["terminationGracePeriodSeconds"]


def test_grace_of_the_image_comment_is_that_of_the_recipes() -> None:
    found = re.search(
        r"(\d+) s for requests and (\d+) s for the application's shutdown fit into the (\d+) s of compose.yaml "
        r"and the (\d+) s of kubernetes.yaml",
        (DEPLOY / "Dockerfile").read_text("utf-8").replace("\n# ", " "),
    )
    assert found is not None
    values = settings("Dockerfile")
    assert [int(number) for number in found.groups()] == [
        values["timeout_graceful_shutdown"],
        values["timeout_lifespan_shutdown"],
        seconds(read_compose()["stop_grace_period"]),
        read_pod()["terminationGracePeriodSeconds"],
    ]


def test_no_shell_keeps_the_signals() -> None:
    assert json.loads(read_image()["CMD"][-1]) == ["addax", "main:app"]
    assert "ENTRYPOINT" not in read_image()
    assert {"command", "entrypoint", "init"} & read_compose().keys() == set()
    assert {"command", "args"} & read_container().keys() == set()


# --- Ports and probes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_addax_listens_where_the_image_says(recipe: str) -> None:
    values = settings(recipe)
    assert (values["host"], [str(values["port"])]) == ("0.0.0.0", read_image()["EXPOSE"])
    assert values["bind"] in (None, [], ())


def test_compose_publishes_the_port_to_this_machine() -> None:
    port = settings("compose.yaml")["port"]
    assert read_compose()["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_compose_asks_for_health_in_python_at_the_port() -> None:
    how, program, flag, code = read_compose()["healthcheck"]["test"]
    assert (how, program, flag) == ("CMD", "python", "-c")
    urls = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    assert [urlsplit(url).port for url in urls if isinstance(url, str)] == [settings("compose.yaml")["port"]]


def test_kubernetes_sends_everything_to_the_port() -> None:
    assert read_container()["ports"] == [{"name": "http", "containerPort": settings("kubernetes.yaml")["port"]}]
    assert [port["targetPort"] for port in read_kubernetes()["Service"]["spec"]["ports"]] == ["http"]
    assert {read_container()[probe]["httpGet"]["port"] for probe in PROBES} == {"http"}


def test_recipes_ask_the_same_path() -> None:
    paths = {read_container()[probe]["httpGet"]["path"] for probe in PROBES}
    assert len(paths) == 1
    assert paths.pop() + "'" in read_compose()["healthcheck"]["test"][-1]


def test_supervisor_replaces_a_blocked_worker_before_kubernetes_restarts_the_pod() -> None:
    probe = read_container()["livenessProbe"]
    assert (
        settings("kubernetes.yaml")["timeout_worker_healthcheck"] < probe["periodSeconds"] * probe["failureThreshold"]
    )


# --- What belongs together --------------------------------------------------------------------------------------------


def test_image_names_its_user_by_number() -> None:
    (user,) = read_image()["USER"]
    assert f"--uid {user} " in read_image()["RUN"][0]
    assert int(user) > 0
    assert read_pod()["securityContext"]["runAsNonRoot"] is True


def test_memory_is_not_what_bounds_the_workers() -> None:
    compose, limits = read_compose(), read_container()["resources"]["limits"]
    for cpus, memory in ((compose["cpus"], compose["mem_limit"]), (limits["cpu"], limits["memory"])):
        # The comments of both say: two.
        assert math.ceil(float(cpus)) == 2 <= memory_bytes(memory) // WORKER_BYTES
    assert {environment(recipe)["ADDAX_WORKERS"] for recipe in RECIPES[1:]} == {"auto"}


def test_compose_trusts_the_gateway_of_its_network() -> None:
    text = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    (network,) = text["networks"]["default"]["ipam"]["config"]
    assert environment("compose.yaml")["ADDAX_FORWARDED_ALLOW_IPS"] == network["gateway"]


def test_objects_of_kubernetes_mean_the_same_pods() -> None:
    objects = read_kubernetes()
    deployment = objects["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert read_pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == labels
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"]


def test_a_service_of_any_name_sets_no_option() -> None:
    assert read_pod()["enableServiceLinks"] is False
    # What it would set, and why that is said.
    with pytest.raises(ValueError, match="not a whole number"):
        check(read_environment({"ADDAX_PORT": "tcp://10.0.0.1:80"}))


# --- The page ---------------------------------------------------------------------------------------------------------


def page_blocks() -> list[str]:
    """The YAML of the page."""
    return re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_page_has_the_compose_file() -> None:
    assert (DEPLOY / "compose.yaml").read_text("utf-8") in page_blocks()


def test_page_quotes_lines_of_the_deployment_in_order() -> None:
    (quoted,) = [block for block in page_blocks() if "terminationGracePeriodSeconds" in block]
    lines = iter((DEPLOY / "kubernetes.yaml").read_text("utf-8").splitlines())
    for line in quoted.splitlines():
        assert line in lines, line


def test_sum_on_the_page_is_that_of_the_deployment() -> None:
    values = settings("kubernetes.yaml")
    found = re.search(
        r"^hook (\d+) \+ requests (\d+) \+ shutdown (\d+) \+ margin (\d+) *< *(\d+)", PAGE.read_text("utf-8"), re.M
    )
    assert found is not None
    assert [int(number) for number in found.groups()] == [
        read_container()["lifecycle"]["preStop"]["sleep"]["seconds"],
        values["timeout_graceful_shutdown"],
        values["timeout_lifespan_shutdown"],
        child._JOIN_MARGIN_S,
        read_pod()["terminationGracePeriodSeconds"],
    ]
