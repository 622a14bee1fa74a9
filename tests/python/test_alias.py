"""``install_as_gevent``: the name ``greenlet`` is ``greenloom.greenlet``, and nothing else changes.

Each test is a process of its own, because the finder is installed for good.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from programs import python

INSTALL = "import greenloom; greenloom.install_as_gevent()\n"


def test_the_name_is_another_name_of_the_same_module() -> None:
    python(
        INSTALL + "import sys, greenlet, greenloom.greenlet\n"
        "assert greenlet is greenloom.greenlet\n"
        "assert sys.modules['greenlet'] is sys.modules['greenloom.greenlet']\n"
    )


@pytest.mark.parametrize("first", ["greenlet._greenlet", "greenloom.greenlet._greenlet"])
def test_submodules_are_the_same_modules_whichever_name_comes_first(first: str) -> None:
    python(
        INSTALL + f"import {first}\n"
        "import sys, greenlet._greenlet, greenloom.greenlet._greenlet\n"
        "assert greenlet._greenlet is greenloom.greenlet._greenlet\n"
        "assert sys.modules['greenlet._greenlet'] is greenlet._greenlet\n"
        "assert greenlet._greenlet.get_pending_cleanup_count() == 0\n"
        "assert issubclass(greenlet._greenlet.UnswitchableGreenlet, greenlet.greenlet)\n"
    )


def test_a_module_keeps_its_own_name_and_spec() -> None:
    python("""
        import greenloom.greenlet
        import greenloom.greenlet._greenlet
        modules = greenloom.greenlet, greenloom.greenlet._greenlet
        identity = ("__name__", "__spec__", "__loader__", "__package__", "__file__", "__path__")
        before = [[getattr(module, name, None) for name in identity] for module in modules]
        greenloom.install_as_gevent()
        import greenlet._greenlet
        assert (greenlet, greenlet._greenlet) == modules
        assert before == [[getattr(module, name, None) for name in identity] for module in modules]
        assert greenlet.__spec__.name == greenlet.__name__ == "greenloom.greenlet"
    """)


def test_reload_runs_the_module_again_and_keeps_it() -> None:
    python(
        INSTALL + "import importlib, sys, greenlet\n"
        "greenlet.error = None\n"
        "assert importlib.reload(greenlet) is greenlet\n"
        "assert greenlet.error.__name__ == 'error'\n"
        "assert sys.modules['greenlet'] is sys.modules['greenloom.greenlet'] is greenlet\n"
    )


def test_find_spec_finds_the_file_without_importing_it() -> None:
    python(
        INSTALL + "import importlib.util, sys\n"
        "spec = importlib.util.find_spec('greenlet')\n"
        "assert spec.name == 'greenlet'\n"
        "assert not {'greenlet', 'greenloom.greenlet'} & set(sys.modules)\n"
        "import greenlet\n"
        "assert spec.origin == greenlet.__file__\n"
        "assert spec.submodule_search_locations == greenlet.__path__\n"
        "assert importlib.util.find_spec('greenlet') is greenlet.__spec__\n"
        "assert importlib.util.find_spec('greenlet._greenlet').origin.endswith('_greenlet.py')\n"
    )


def test_a_module_made_from_the_spec_is_the_module() -> None:
    python(
        INSTALL + "import importlib.util\n"
        "spec = importlib.util.find_spec('greenlet')\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "import greenlet\n"
        "assert module is greenlet\n"
        "assert greenlet.__spec__.name == 'greenloom.greenlet'\n"
    )


def test_classes_are_pickled_by_the_original_names() -> None:
    python(
        INSTALL + "import greenlet, pickle\n"
        "for kind in greenlet.greenlet, greenlet.GreenletExit, greenlet.error:\n"
        "    pickled = pickle.dumps(kind)\n"
        "    assert b'greenlet' in pickled and b'greenloom' not in pickled\n"
        "    assert pickle.loads(pickled) is kind\n"
        "error = pickle.loads(pickle.dumps(greenlet.error('no', 1)))\n"
        "assert type(error) is greenlet.error and error.args == ('no', 1)\n"
    )


def test_a_star_import_gives_the_names_that_the_original_gives() -> None:
    names = python(
        INSTALL + "before = set(globals()) | {'before'}\n"
        "from greenlet import *\n"
        "print(*sorted(set(globals()) - before))\n"
        "print(__version__)\n"
    )
    assert names.splitlines() == [
        "GreenletExit _C_API __version__ error getcurrent gettrace greenlet settrace",
        "3.5.6",
    ]


def test_the_names_that_the_original_does_not_list_are_there_as_well() -> None:
    python(
        INSTALL + "import greenlet\n"
        "assert greenlet.GREENLET_USE_GC and greenlet.GREENLET_USE_TRACING\n"
        "assert greenlet.GREENLET_USE_CONTEXT_VARS and greenlet.CLOCKS_PER_SEC > 0\n"
        "greenlet.enable_optional_cleanup(False)\n"
        "assert greenlet.get_clocks_used_doing_optional_cleanup() is None\n"
        "greenlet.enable_optional_cleanup(True)\n"
        "assert greenlet.get_clocks_used_doing_optional_cleanup() >= 0\n"
    )


def test_a_submodule_that_does_not_exist_is_not_found_under_its_alias() -> None:
    said = python(
        INSTALL + "try:\n"
        "    import greenlet.nothing\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error.name, '|', error)\n"
    )
    assert said == "greenlet.nothing | No module named 'greenlet.nothing'\n"


def test_gevent_is_greenloom_with_all_its_modules() -> None:
    said = python(
        INSTALL
        + """
import gevent.event, gevent.monkey, importlib.metadata, greenloom.event, greenloom.monkey
from gevent import spawn
assert gevent is greenloom
assert gevent.event is greenloom.event and gevent.monkey is greenloom.monkey
print(spawn(lambda: 42).get(), gevent.__version__, importlib.metadata.version("gevent"))
"""
    )
    assert said.split() == ["42", "26.9.0", "26.9.0"]


def test_metadata_tells_the_version_of_the_api_once() -> None:
    python(
        INSTALL + "from importlib import metadata\n"
        "import greenlet\n"
        "assert metadata.version('greenlet') == metadata.version('Greenlet') == '3.5.6'\n"
        "assert metadata.distribution('greenlet').metadata['Name'] == 'greenlet'\n"
        "found = [d.version for d in metadata.distributions() if d.metadata['Name'] == 'greenlet']\n"
        "assert found[0] == greenlet.__version__\n"
        "assert 'greenlet' in metadata.packages_distributions()['greenlet']\n"
    )


def test_metadata_of_other_names_and_of_other_directories_is_left_alone(tmp_path: Path) -> None:
    python(
        INSTALL + "from importlib import metadata\n"
        "assert metadata.version('pytest')\n"
        f"assert list(metadata.distributions(name='greenlet', path=[{str(tmp_path)!r}])) == []\n"
        "try:\n"
        "    metadata.version('gevent-of-nobody')\n"
        "except metadata.PackageNotFoundError as error:\n"
        "    assert error.name == 'gevent-of-nobody'\n"
        "else:\n"
        "    raise AssertionError('found')\n"
    )


def test_installing_it_twice_is_installing_it_once() -> None:
    python(
        INSTALL + "import sys\n"
        "finders = list(sys.meta_path)\n"
        "greenloom.install_as_gevent()\n"
        "assert sys.meta_path == finders\n",
        "-W",
        "error",
    )


def test_nothing_is_changed_until_it_is_asked_for() -> None:
    python(
        "import sys\n"
        "finders = list(sys.meta_path)\n"
        "import greenloom, greenloom.greenlet\n"
        "assert sys.meta_path == finders and 'greenlet' not in sys.modules\n"
    )


def test_threads_that_import_it_at_once_get_the_same_module() -> None:
    python(
        INSTALL + "import importlib, threading\n"
        "start = threading.Barrier(8)\n"
        "def load(names, got):\n"
        "    start.wait()\n"
        "    got.extend(importlib.import_module(name) for name in names)\n"
        "names = ['greenlet', 'greenlet._greenlet', 'greenloom.greenlet']\n"
        "results = [[] for _ in range(8)]\n"
        "threads = [threading.Thread(target=load, args=(names[n % 3:] + names[:n % 3], got))\n"
        "           for n, got in enumerate(results)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "import greenlet, greenlet._greenlet\n"
        "assert all(set(got) == {greenlet, greenlet._greenlet} for got in results), results\n"
        "assert greenlet.__spec__.name == 'greenloom.greenlet'\n"
    )


@pytest.fixture
def original(tmp_path: Path) -> dict[str, str]:
    """An environment with another package greenlet, and a module that takes a class from it."""
    (tmp_path / "greenlet").mkdir()
    (tmp_path / "greenlet" / "__init__.py").write_text("class greenlet: pass\nfrom . import part\n")
    (tmp_path / "greenlet" / "part.py").write_text("def tool(): pass\n")
    (tmp_path / "holder.py").write_text("from greenlet import greenlet as task\n")
    (tmp_path / "bystander.py").write_text("number = 1\n")
    return {"PYTHONPATH": str(tmp_path)}


def test_an_original_imported_before_is_replaced_with_a_warning_that_names_who_holds_it(
    original: dict[str, str],
) -> None:
    said = python(
        """
        import sys, warnings
        import greenlet, holder, bystander
        old = greenlet
        import greenloom
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            greenloom.install_as_gevent()
        import greenlet
        assert greenlet is greenloom.greenlet and greenlet is not old
        assert "greenlet.part" not in sys.modules
        assert holder.task is old.greenlet
        [warning] = caught
        assert warning.category is RuntimeWarning
        assert warning.filename == "<string>"
        print(warning.message)
    """,
        env=original,
    )
    assert "greenlet was imported before greenloom.install_as_gevent()" in said
    assert "keep objects of the original: __main__, holder." in said
    assert "Call install_as_gevent() first" in said


def test_an_original_that_nobody_has_imported_is_passed_over_in_silence(original: dict[str, str]) -> None:
    python(
        INSTALL + "import greenlet, holder\nassert holder.task is greenloom.greenlet.greenlet\n",
        "-W",
        "error",
        env=original,
    )
