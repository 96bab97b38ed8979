"""What is in deploy/ fits together: manifests, image, unit and compose file have the same ports, paths, names."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from collector.components import installed
from collector.config import Config, Configured, parse
from deploy.kubernetes.embed import embedded

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
KUBERNETES: Final = "1.37"
PROGRAM: Final = "/opt/otel-evalgate/bin/evalgate-collector"
HEALTHCHECK: Final = "/opt/otel-evalgate/bin/healthcheck"
ENVIRONMENT: Final = {"EVALGATE_DSN": "http://user:word@clickhouse:8123/default"}
VARIABLE: Final = re.compile(r"\$\{env:(\w+)")
OURS: Final = sorted(
    path for path in DEPLOY.glob("**/*.yaml") if "data_dir:" in path.read_text() and "kubernetes" not in path.parts
)
MANIFESTS: Final = ("gateway", "sidecar")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / f"{name}.yaml").read_text()))


def one(name: str, kind: str) -> dict[str, Any]:
    (found,) = (d for d in documents(name) if d["kind"] == kind)
    return found


def workload(name: str) -> dict[str, Any]:
    return one(name, {"gateway": "StatefulSet", "sidecar": "Deployment"}[name])


def collector(name: str) -> dict[str, Any]:
    """Return the container of ours."""
    pod = workload(name)["spec"]["template"]["spec"]
    (found,) = (c for c in [*pod.get("initContainers", ()), *pod["containers"]] if c["name"] == "collector")
    return dict(found)


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a container; what is from a Secret has a value of ours."""
    return {v["name"]: v.get("value", ENVIRONMENT.get(v["name"], "")) for v in container["env"]}


def loaded(text: str, environment: dict[str, str]) -> Config:
    return parse(text, "test", installed(), environment)


def settings(of: Configured) -> Any:
    return of.settings


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(DEPLOY)))
def test_every_configuration_is_valid_as_it_lies_there(path: Path) -> None:
    config = loaded(path.read_text(), ENVIRONMENT)
    assert not config.unused


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_what_kubernetes_takes(name: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_config_map_has_the_configuration_word_for_word(name: str) -> None:
    text = (DEPLOY / f"{name}.yaml").read_text()
    assert one(name, "ConfigMap")["data"]["collector.yaml"] == text, "run deploy/kubernetes/embed.py"
    manifest = (DEPLOY / "kubernetes" / f"{name}.yaml").read_text()
    assert embedded(manifest, text) == manifest


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_variable_that_a_manifest_sets_is_read(name: str) -> None:
    known = set(VARIABLE.findall((DEPLOY / f"{name}.yaml").read_text()))
    assert variables(collector(name)).keys() <= known


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_volume_is_mounted_and_what_is_written_to_is_one(name: str) -> None:
    spec = workload(name)["spec"]
    pod, container = spec["template"]["spec"], collector(name)
    claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", ())}
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]} | claims
    written = [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
    data_dir = variables(container)["EVALGATE_DATA_DIR"]
    assert any(data_dir == path or data_dir.startswith(f"{path}/") for path in written)
    assert "/tmp" in written, "numba reads kernels only from where it can write"  # noqa: S108 - in the container
    config = container["args"][-1]
    mounted = {
        m["mountPath"] if "subPath" in m else f"{m['mountPath']}/collector.yaml" for m in container["volumeMounts"]
    }
    assert config in mounted


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_collector_has_no_rights_and_a_root_that_cannot_be_written(name: str) -> None:
    pod, container = workload(name)["spec"]["template"]["spec"], collector(name)
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {**pod["securityContext"], **own}["runAsUser"] == 65532
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_there_is_more_time_to_end_than_the_collector_takes(name: str) -> None:
    config = loaded((DEPLOY / f"{name}.yaml").read_text(), ENVIRONMENT)
    pod = workload(name)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 2 * config.service.shutdown_timeout_s


def test_the_ports_of_gateways_are_those_that_the_collector_listens_on() -> None:
    config = loaded((DEPLOY / "gateway.yaml").read_text(), variables(collector("gateway")))
    protocols = settings(config.receivers["otlp"]).protocols
    listens = {
        "otlp-grpc": protocols.grpc.endpoint,
        "otlp-http": protocols.http.endpoint,
        "health": settings(config.extensions["health_check"]).endpoint,
    }
    ports = {p["name"]: p["containerPort"] for p in collector("gateway")["ports"]}
    assert {name: int(endpoint.rpartition(":")[2]) for name, endpoint in listens.items()} == ports
    assert all(endpoint.startswith("0.0.0.0:") for endpoint in listens.values())
    for service in (d for d in documents("gateway") if d["kind"] == "Service"):
        assert {p["targetPort"]: p["port"] for p in service["spec"]["ports"]}.items() <= ports.items()
    (rule,) = one("gateway", "NetworkPolicy")["spec"]["ingress"]
    assert {p["port"] for p in rule["ports"]} == ports.keys() - {"health"}


def test_gateways_are_selected_by_the_labels_they_have() -> None:
    spec = workload("gateway")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    selectors = [
        spec["selector"]["matchLabels"],
        one("gateway", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("gateway", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(d["spec"]["selector"] for d in documents("gateway") if d["kind"] == "Service"),
    ]
    assert all(selector == labels for selector in selectors)
    assert spec["serviceName"] in {d["metadata"]["name"] for d in documents("gateway") if d["kind"] == "Service"}


def test_the_sidecar_is_there_before_the_app_and_after_it_and_the_app_sends_to_it() -> None:
    pod, container = workload("sidecar")["spec"]["template"]["spec"], collector("sidecar")
    assert container in pod["initContainers"]
    assert container["restartPolicy"] == "Always"
    config = loaded((DEPLOY / "sidecar.yaml").read_text(), variables(container))
    (app,) = pod["containers"]
    assert (
        variables(app)["OTEL_EXPORTER_OTLP_ENDPOINT"]
        == f"http://{settings(config.receivers['otlp']).protocols.http.endpoint}"
    )
    assert container["startupProbe"]["exec"]["command"] == [HEALTHCHECK]
    (volume,) = (v for v in pod["volumes"] if v["name"] == "collector-data")
    assert volume["emptyDir"]["sizeLimit"] == "2Gi"
    assert int(variables(container)["EVALGATE_JOURNAL_BYTES"]) < 2 << 30


def test_the_image_is_the_one_that_the_manifests_start() -> None:
    text = (DEPLOY / "image/Dockerfile").read_text()
    assert f'ENTRYPOINT ["{PROGRAM}"]' in text
    assert f'CMD ["{HEALTHCHECK}"]' in text
    assert "USER 65532:65532" in text
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists()
    ignored = (DEPLOY / "image/Dockerfile.dockerignore").read_text().splitlines()
    shown = {line[1:] for line in ignored if line.startswith("!")}
    packed = (DEPLOY / "image/install.sh").read_text()
    (listed,) = re.findall(r"tar -cf - (.*?)\) \|", packed)
    assert set(listed.split()) <= shown
    assert all((ROOT / name).exists() for name in shown)
    images = {collector(name)["image"] for name in MANIFESTS} | {compose()["services"]["collector"]["image"]}
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert images == {f"otel-evalgate:{version[1]}"}


def test_the_image_has_what_the_lock_has_and_nothing_else() -> None:
    pin = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
    everything = set(pin.findall((ROOT / "requirements.lock").read_text()))
    of_image = set(pin.findall((DEPLOY / "image/collector.lock").read_text()))
    assert of_image <= everything, "make lock"
    assert {"chdb", "pytest", "hatchling"}.isdisjoint(name for name, _ in of_image)


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    return found


def test_the_compose_file_names_what_is_there() -> None:
    services, folder = compose()["services"], DEPLOY / "compose"
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert (folder / source).exists() if source.startswith(".") else source in compose()["volumes"]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "it has no TLS"
    build = services["collector"]["build"]
    assert (folder / build["context"] / build["dockerfile"]).exists()
    assert services["collector"]["read_only"] is True
    environment = services["collector"]["environment"]
    config = loaded(
        (folder / "collector.yaml").read_text(), {**environment, "EVALGATE_DSN": ENVIRONMENT["EVALGATE_DSN"]}
    )
    ports = {int(port.split(":")[1]) for port in services["collector"]["ports"]}
    protocols = settings(config.receivers["otlp"]).protocols
    assert ports == {int(p.endpoint.rpartition(":")[2]) for p in (protocols.grpc, protocols.http)}
    user = re.match(r"http://(\w+):", environment["EVALGATE_DSN"])
    users = (DEPLOY / "clickhouse/users.xml").read_text()
    assert user
    assert f"<{user[1]}>" in users


def test_the_compose_file_asks_for_the_variables_that_the_example_has() -> None:
    text = (DEPLOY / "compose/compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    offered = set(re.findall(r"^(\w+)=", (DEPLOY / "compose/example.env").read_text(), re.MULTILINE))
    assert asked == offered
    from_environment = set(re.findall(r'from_env="(\w+)"', (DEPLOY / "clickhouse/users.xml").read_text()))
    assert from_environment <= compose()["services"]["clickhouse"]["environment"].keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_one_and_leaves_the_collector_little(tmp_path: Path) -> None:
    text = (DEPLOY / "evalgate-collector.service").read_text()
    program = tmp_path / "evalgate-collector"
    program.touch(mode=0o755)
    unit = tmp_path / "evalgate-collector.service"
    unit.write_text(text.replace(PROGRAM, str(program)))
    drop_in = tmp_path / "evalgate-collector.service.d"
    drop_in.mkdir()
    shutil.copy(DEPLOY / "evalgate-collector-tls.conf", drop_in / "tls.conf")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)], capture_output=True, check=False
    )
    assert rated.returncode == 0, rated.stdout.decode()


def of_unit(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE)


def test_the_unit_starts_with_the_kernels_that_the_script_left() -> None:
    folder = PROGRAM.removesuffix("/bin/evalgate-collector")
    assert '> "$target/environment"' in (DEPLOY / "image/install.sh").read_text()
    assert of_unit("evalgate-collector.service", "EnvironmentFile")[0] == f"-{folder}/environment"
    assert not any("NUMBA" in said for said in of_unit("evalgate-collector.service", "Environment"))


def test_the_certificate_of_the_unit_is_where_the_configuration_looks_for_it() -> None:
    shown = {said.partition(":")[0] for said in of_unit("evalgate-collector-tls.conf", "LoadCredential")}
    (said,) = of_unit("evalgate-collector-tls.conf", "Environment")
    named = dict(variable.split("=%d/") for variable in said.split())
    assert set(named.values()) == shown
    environment = {name: f"/run/{file}" for name, file in named.items()}
    config = loaded((DEPLOY / "gateway.yaml").read_text(), {**ENVIRONMENT, **environment})
    tls = settings(config.receivers["otlp"]).protocols.http.tls
    assert {str(tls.cert_file), str(tls.key_file)} == set(environment.values())


# The keys of the stock collector that our configurations for it rest on, as its components document them.
OTELCOL: Final = {
    ("receivers", "otlp"): {"protocols"},
    ("processors", "memory_limiter"): {"check_interval", "limit_mib", "spike_limit_mib"},
    ("processors", "tail_sampling"): {"decision_wait", "num_traces", "decision_cache", "policies"},
    ("exporters", "otlphttp"): {"endpoint", "headers", "compression", "retry_on_failure", "sending_queue"},
    ("exporters", "debug"): {"verbosity"},
    ("extensions", "file_storage"): {"directory", "create_directory", "fsync"},
}
POLICIES: Final = {
    "status_code": {"status_codes"},
    "ottl_condition": {"error_mode", "span", "spanevent"},
    "boolean_attribute": {"key", "value"},
    "probabilistic": {"sampling_percentage"},
}


@pytest.mark.parametrize("name", ["tail-sampling", "forward", "fed-by-us"])
def test_configurations_of_the_stock_collector_have_its_shape(name: str) -> None:
    config = yaml.safe_load((DEPLOY / f"otelcol/{name}.yaml").read_text())
    used = set(config["service"].get("extensions", ()))
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            ids = pipeline.get(kind, [])
            assert set(ids) <= config.get(kind, {}).keys()
            used |= set(ids)
    for kind in ("receivers", "processors", "exporters", "extensions"):
        for id_, said in config.get(kind, {}).items():
            assert id_ in used
            assert said.keys() <= OTELCOL[kind, id_.partition("/")[0]]
    for policy in config.get("processors", {}).get("tail_sampling", {}).get("policies", ()):
        assert policy.keys() == {"name", "type", policy["type"]}
        assert policy[policy["type"]].keys() <= POLICIES[policy["type"]]


def test_the_stock_collector_gets_what_ours_hands_on() -> None:
    ours = loaded((DEPLOY / "otelcol/evalgate-to-otelcol.yaml").read_text(), ENVIRONMENT)
    theirs = (DEPLOY / "otelcol/fed-by-us.yaml").read_text()
    endpoint = settings(ours.exporters["otlp/otelcol"]).endpoint
    assert f":-{str(endpoint).rstrip('/').removeprefix('http://')}}}" in theirs
