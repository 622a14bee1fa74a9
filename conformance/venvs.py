"""The two environments of one Python: `original` and `ours`, equal but for who provides the tested package.

The original is installed from the wheel that PyPI has for this Python. Its tests, with the extensions compiled for
them, are taken out of that wheel unchanged and laid over what ours installed, so both run the very same files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suites import Suite

# A program that prints the version's first two numbers, which is what compiled packages depend on.
SHORT = "import sysconfig; print(sysconfig.get_python_version())"
# One that prints whether the standard library's own tests are there. Debian leaves out most, Docker's images all.
HAS_TESTS = """
try:
    import test.lock_tests
except ImportError:
    print("no")
else:
    print("yes")
"""


class CannotMake(Exception):
    """An environment could not be made; the message holds what pip or venv said."""


@dataclass(frozen=True)
class Environment:
    """A venv: its interpreter and the folder that packages lie in."""

    python: Path
    site: Path


@dataclass(frozen=True)
class Pair:
    """Both environments of one Python."""

    version: str
    """The full version, as in 3.11.7."""
    wheel: str
    """The original's wheel and the start of its SHA-256."""
    original: Environment
    ours: Environment

    @property
    def short(self) -> str:
        """The version's first two numbers."""
        return short(self.version)


@dataclass(frozen=True)
class Bench:
    """The environment of ours alone, and the folder with what is in the original's source archive but not its wheel."""

    version: str
    wheel: str
    ours: Environment
    source: Path

    @property
    def stdlib(self) -> Path:
        """The folder of the standard library's tests."""
        return self.source / "src" / "greentest" / short(self.version)


@dataclass(frozen=True)
class Ours:
    """Where our side comes from: what pip installs, and the venv that holds a greenloom built before."""

    requirements: tuple[str, ...]
    prefix: Path | None
    built: dict[tuple[str, str], Path]
    """The wheels of folders with Rust in them, by Python: building takes long, and one does for all suites."""

    def packages(self, python: str, work: Path) -> list[str]:
        """What to install for a Python."""
        return [
            str(self.build(python, requirement, work))
            if Path(requirement, "Cargo.toml").exists()
            else requirement
            for requirement in self.requirements
        ]

    def build(self, python: str, folder: str, work: Path) -> Path:
        """The wheel of the sources in `folder`, made anew the first time that it is asked for."""
        key = short(version_of(python)), folder
        if key not in self.built:
            into = work / ("py" + key[0]) / "built" / Path(folder).name
            shutil.rmtree(into, ignore_errors=True)
            run([python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(into), folder])
            self.built[key] = next(into.glob("*.whl"))
        return self.built[key]


def make_pair(python: str, suite: Suite, ours: Ours, work: Path) -> Pair:
    """Make or reuse both environments for `python` under `work`, and put ours' packages in anew."""
    version = version_of(python)
    folder = work / ("py" + short(version))
    folder.mkdir(parents=True, exist_ok=True)
    wheel = fetch(python, suite, folder / "wheels")

    deps = list(suite.needs)
    original = make_venv(python, folder / "original", version, [*deps, str(wheel)])
    mine = make_venv(python, folder / "ours", version, deps)
    install_ours(mine, suite, ours.packages(python, work), ours.prefix, wheel)
    return Pair(version, digest(wheel), original, mine)


def make_bench(python: str, suite: Suite, ours: Ours, work: Path) -> Bench:
    """Make or reuse the one environment that is needed where what the original passes is known already."""
    version = version_of(python)
    folder = work / ("py" + short(version)) / suite.name
    folder.mkdir(parents=True, exist_ok=True)
    wheel = fetch(python, suite, folder.parent / "wheels")
    archive = fetch(python, suite, work / "sources", wheel=False)
    for left in ("examples", "src"):
        # Tests write there.
        shutil.rmtree(folder / left, ignore_errors=True)
    unpack(archive, folder)
    mine = make_venv(python, folder / "ours", version, list(suite.needs))
    install_ours(mine, suite, ours.packages(python, work), ours.prefix, wheel)
    return Bench(version, digest(wheel), mine, folder)


def make_original(python: str, suite: Suite, bench: Bench) -> Environment:
    """Make or reuse the original's environment, beside ours."""
    wheel = fetch(python, suite, bench.source.parent / "wheels")
    requirements = [*suite.needs, *suite.stands_on, str(wheel)]
    return make_venv(python, bench.source / "original", bench.version, requirements)


def version_of(python: str) -> str:
    """An interpreter's full version."""
    return ask(Path(python), "import platform; print(platform.python_version())")


def has_tests(python: str) -> bool:
    """Whether an interpreter has the modules that the standard library's tests are made of."""
    return ask(Path(python), HAS_TESTS) == "yes"


def short(version: str) -> str:
    """A version's first two numbers."""
    return ".".join(version.split(".")[:2])


def digest(file: Path) -> str:
    """A file's name and the start of its SHA-256."""
    return f"{file.name} sha256:{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


def fetch(python: str, suite: Suite, folder: Path, wheel: bool = True) -> Path:
    """The original's wheel for this Python, or its source archive, downloaded once."""
    name, _, version = suite.original.partition("==")
    pattern = f"{name}-{version}-*.whl" if wheel else f"{name}-{version}.tar.gz"
    if not list(folder.glob(pattern)):
        kind = "--only-binary=:all:" if wheel else f"--no-binary={name}"
        run([python, "-m", "pip", "download", "--no-deps", kind, "--dest", str(folder), suite.original])
    return next(folder.glob(pattern))


def unpack(archive: Path, folder: Path) -> None:
    """Take what the tests look for out of a source archive.

    They look for `setup.py` above their own files, and then beside it: that is why the environment is in there.
    """
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name.startswith(("setup.py", "examples/", "src/greentest/")):
                opened.extract(member, folder, filter="data")


def make_venv(python: str, folder: Path, version: str, requirements: list[str]) -> Environment:
    """A venv with `requirements`, reused while neither the interpreter nor they change."""
    wanted = json.dumps(
        {"python": str(Path(python).resolve()), "version": version, "requirements": requirements}
    )
    stamp = folder / "made.json"
    interpreter = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run([python, "-m", "venv", str(folder)])
        run([str(interpreter), "-m", "pip", "install", *requirements])
        stamp.write_text(wanted)
    return Environment(interpreter, site_of(interpreter))


def install_ours(
    env: Environment, suite: Suite, packages: Iterable[str], prefix: Path | None, wheel: Path
) -> None:
    """Install our packages anew, since their version stays the same while they change, and the tests over them."""
    link = env.site / "greenloom-under-test.pth"
    link.unlink(missing_ok=True)
    reinstall = [str(env.python), "-m", "pip", "install", "--no-deps", "--force-reinstall"]
    for package in packages:
        run([*reinstall, copied(package, env) if Path(package).is_dir() else package])
    if prefix is not None:
        interpreter = prefix / "bin" / "python"
        if ask(interpreter, SHORT) != ask(env.python, SHORT):
            raise CannotMake(f"{prefix} is for another Python than {env.python}")
        # addsitedir and not the bare path: an editable install is itself a .pth file in there.
        link.write_text(f"import site; site.addsitedir({str(site_of(interpreter))!r})\n")

    for folder in suite.folders:
        shutil.rmtree(env.site / folder, ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(env.site, [name for name in archive.namelist() if name.startswith(folder)])


def copied(folder: str, env: Environment) -> str:
    """A copy of a folder to install from, because a build may write beside the sources."""
    copy = env.site / "greenloom-under-test-source"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    return str(copy)


def site_of(interpreter: Path) -> Path:
    """The folder that an interpreter's packages are installed in."""
    return Path(ask(interpreter, "import sysconfig; print(sysconfig.get_path('platlib'))"))


def ask(interpreter: Path, program: str) -> str:
    """What a line of Python prints."""
    return run([str(interpreter), "-c", program]).strip()


def run(command: list[str]) -> str:
    """Run a command that must succeed and return what it printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise CannotMake(f"{command[0]}: {error}") from error
    if done.returncode:
        raise CannotMake(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
