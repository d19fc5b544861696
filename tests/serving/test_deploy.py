"""What is in deploy/: each file can be read, and the extras, routes, ports and variables that it names are there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

pytest_plugins = "serving_support"

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.rglob("*Dockerfile"))
MANIFESTS = sorted(DEPLOY.glob("kubernetes/*.yaml"))
TERRAFORM = sorted(DEPLOY.glob("terraform/*/*.tf"))
BAKE = DEPLOY / "docker" / "docker-bake.hcl"
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
UNTAGGED = {"${IMAGE}"}  # what the build is given


def instructions(path):
    """(name, arguments) of each."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", path.read_text()))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def of(path, name):
    return [given for one, given in instructions(path) if one == name]


def image_variables(path):
    return dict(one.split("=", 1) for given in of(path, "ENV") for one in given.split())


def manifest(name):
    return yaml.safe_load((DEPLOY / "kubernetes" / f"{name}.yaml").read_text())


def container():
    return manifest("deployment")["spec"]["template"]["spec"]["containers"][0]


# --- images ---------------------------------------------------------------------------------------


def test_there_are_images():
    names = {str(path.relative_to(DEPLOY)) for path in DOCKERFILES}
    assert names == {"docker/Dockerfile", "docker/model.Dockerfile", "lambda/Dockerfile"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_an_image_has_a_pinned_base_what_it_copies_and_a_user(path):
    known = {"FROM", "ARG", "WORKDIR", "RUN", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions(path)} <= known
    bases = [given.split()[0] for given in of(path, "FROM")]
    assert all(base in UNTAGGED or re.search(r":\d+\.\d+\.\d+-", base) for base in bases), bases
    ignored = path.with_name(f"{path.name}.dockerignore")
    let_in = ignored.read_text().splitlines() if ignored.exists() else None
    for given in of(path, "COPY"):
        *sources, _ = given.split()
        if sources[0].startswith("--from=") or sources == ["."]:
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert let_in is None or any(source.startswith(one[1:]) for one in let_in if one[0] == "!"), source
    stages = [name for name, _ in instructions(path)]
    if set(bases) != UNTAGGED:  # that has the user of its base
        assert "USER" in stages[len(stages) - stages[::-1].index("FROM") :]
        user = of(path, "USER")[-1]
        user = dict(given.split("=") for given in of(path, "ARG") if "=" in given).get(user.strip("${}"), user)
        assert user.isdecimal() and int(user) > 0  # a name, Kubernetes cannot tell from root


def test_the_extras_of_the_images_are_there():
    named = re.findall(r'EXTRAS\s*=\s*"([^"]*)"', BAKE.read_text())
    assert len(named) == 5
    named += [given.partition("=")[2] for given in of(DEPLOY / "docker" / "Dockerfile", "ARG") if "EXTRAS" in given]
    named += re.findall(r"'\.\[(.*?)\]'", (DEPLOY / "lambda" / "build.sh").read_text())
    assert len(named) == 7 and {extra for one in named for extra in one.split(",")} <= EXTRAS
    assert all("serve" in one.split(",") for one in named)
    for path in re.findall(r'dockerfile\s*=\s*"([^"]*)"', BAKE.read_text()):
        assert (ROOT / path).is_file(), path


# --- what the server answers ----------------------------------------------------------------------


def test_the_routes_and_metrics_that_are_asked_for_are_there(serving):
    (health,) = of(DEPLOY / "docker" / "Dockerfile", "HEALTHCHECK")
    pod = manifest("deployment")["spec"]["template"]
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    scraped = pod["metadata"]["annotations"]
    (metric,) = manifest("hpa")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    with serving("embedder") as running:
        client = running.client
        for path in (re.search(r"http://127.0.0.1:8080(/\w+)", health)[1], *(one["path"] for one in probes.values())):
            assert client.get(path).status == 200, path
        answer = client.get(scraped["prometheus.io/path"])
        assert answer.status == 200 and re.search(rf"^{name} ", answer.content.decode(), re.MULTILINE)
        # A server that drains gets no requests, and is not killed.
        running.service.draining = True
        assert client.get(probes["readiness"]["path"]).status == 503
        assert client.get(probes["liveness"]["path"]).status == 200
    (rule,) = manifest("prometheus-adapter-values")["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{")


def test_every_port_is_that_of_the_server():
    from bertx.cli.serve import _PORT

    (port,) = container()["ports"]
    annotations = manifest("deployment")["spec"]["template"]["metadata"]["annotations"]
    ports = {*of(DEPLOY / "docker" / "Dockerfile", "EXPOSE"), annotations["prometheus.io/port"]}
    assert ports == {str(port["containerPort"])} == {str(_PORT)}
    named = [container()[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "readiness", "liveness")]
    assert {*named, manifest("service")["spec"]["ports"][0]["targetPort"]} == {port["name"]}


def test_an_image_starts_as_sagemaker_starts_it(folder_of):
    from test_serve_processes import client_of, events, serve

    path = DEPLOY / "docker" / "Dockerfile"
    assert json.loads(of(path, "ENTRYPOINT")[0]) == ["bertx"]
    assert json.loads(of(path, "CMD")[0]) == ["serve"]  # as `docker run IMAGE serve`
    variables = image_variables(path)
    assert variables["BERTX_SOURCE"] == image_variables(DEPLOY / "lambda" / "Dockerfile")["BERTX_SOURCE"] == "/model"
    (copied,) = of(DEPLOY / "docker" / "model.Dockerfile", "COPY")
    assert copied.split()[-1] == "/model"
    with serve(BERTX_SOURCE=str(folder_of("embedder")), BERTX_HOST=variables["BERTX_HOST"]) as process:
        assert events(process, "ready")[0]["host"] == "0.0.0.0"
        assert client_of(process).get("/ping").status == 200
        assert client_of(process).post("/invocations", {"inputs": "the dog"}).status == 200


# --- Kubernetes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_can_be_read(path):
    found = yaml.safe_load(path.read_text())
    if path.name != "prometheus-adapter-values.yaml":
        assert found["apiVersion"] and found["kind"]


def test_the_manifests_belong_together():
    listed = manifest("kustomization")["resources"]
    assert {*listed, "kustomization.yaml", "prometheus-adapter-values.yaml"} == {path.name for path in MANIFESTS}
    deployment = manifest("deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"], manifest("pdb")["spec"]["selector"]]
    assert all(one["matchLabels"] == labels for one in selectors) and manifest("service")["spec"]["selector"] == labels
    target = manifest("hpa")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert [one["name"] for one in manifest("kustomization")["images"]] == [container()["image"]]


def test_a_pod_has_no_rights_and_time_to_answer():
    from bertx.serving.settings import Settings

    pod = manifest("deployment")["spec"]["template"]["spec"]
    users = dict(given.split("=") for given in of(DEPLOY / "docker" / "Dockerfile", "ARG"))
    assert pod["securityContext"]["runAsNonRoot"] and str(pod["securityContext"]["runAsUser"]) == users["USER"]
    rights = container()["securityContext"]
    assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]} and pod["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} == set(container()["resources"]["limits"]) == set(container()["resources"]["requests"])
    waits = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > waits + Settings(()).timeout


# --- Terraform ------------------------------------------------------------------------------------


def test_variables_are_declared_and_used():
    text = "\n".join(path.read_text() for path in TERRAFORM)
    declared = re.findall(r'^variable "(\w+)"', text, re.MULTILINE)
    outside = "\n".join(path.read_text() for path in TERRAFORM if path.name != "variables.tf")
    assert declared and set(re.findall(r"\bvar\.(\w+)", text)) == set(declared)
    assert set(declared) == set(re.findall(r"\bvar\.(\w+)", outside))
    resources = set(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"\b(aws_\w+)\.(\w+)\.", text)) <= resources
    assert set(re.findall(r"\blocal\.(\w+)", text)) == {"variant"}


def test_the_module_can_be_read_and_says_what_its_variables_are():
    hcl2 = pytest.importorskip("hcl2")
    found = {path.name: hcl2.loads(path.read_text()) for path in (*TERRAFORM, BAKE)}
    for block in found["variables.tf"]["variable"]:
        ((name, variable),) = ((key, value) for key, value in block.items() if not key.startswith("__"))
        assert variable["description"] and variable["type"] and variable["validation"], name
    for block in found["outputs.tf"]["output"]:
        ((name, output),) = ((key, value) for key, value in block.items() if not key.startswith("__"))
        assert output["description"] and output["value"], name


def test_the_endpoint_has_variables_that_the_server_reads():
    (given,) = re.findall(r"environment\s*=\s*{(.*)}", (DEPLOY / "terraform" / "sagemaker" / "main.tf").read_text())
    names = re.findall(r"(\w+) =(?!=)", given)
    text = (ROOT / "bertx" / "cli" / "serve.py").read_text()
    assert names and all(f'envvar="{name}"' in text for name in names)
    assert '"/opt/ml/model"' in given and '"/model"' in given
