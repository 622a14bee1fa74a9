"""How settings work: where a value comes from, how it is checked, and the object that holds them all."""

from __future__ import annotations

import importlib
import os
import textwrap
from typing import Any, ClassVar, NoReturn

#: Every class of a setting, in the order of definition.
ALL_SETTINGS: list[type[Setting]] = []

_TRUE = ("1", "true", "on", "yes")
_FALSE = ("0", "false", "off", "no", "")


def validate_invalid(value: Any) -> NoReturn:
    """Refuse any value: a setting has to say what it accepts."""
    raise ValueError(f"Not a valid value: {value!r}")


def validate_anything(value: Any) -> Any:
    """Accept any value as it is."""
    return value


convert_str_value_as_is = validate_anything


def validate_bool(value: Any) -> bool:
    """True or False. In the environment: ``1``, ``true``, ``on``, ``yes``, or ``0``, ``false``, ``off``, ``no``."""
    if isinstance(value, str):
        text = value.lower().strip()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise ValueError(f"Invalid boolean string: {value!r}")
    return bool(value)


class Setting:
    """One setting: what was set, or else what the environment says, or else the default.

    A subclass is a setting of its own, called as the class is in lower case unless it has a ``name``.
    """

    name: Any = None
    value: Any = None
    default: Any = None
    environment_key: Any = None
    desc: Any = ""
    #: Whether it is one of the documented properties of :class:`Config`.
    document: Any = True
    validate: Any = staticmethod(validate_invalid)

    def __init_subclass__(cls) -> None:
        """Complete the class: its name, its variable, its documentation, and its property of :class:`Config`."""
        cls.name = vars(cls).get("name") or cls.__name__.lower()
        cls.environment_key = vars(cls).get("environment_key") or f"GEVENT_{cls.name.upper()}"
        cls.__doc__ = cls._documentation()
        # `python -m greenloom._config` runs that module once more.
        ALL_SETTINGS[:] = [other for other in ALL_SETTINGS if other.name != cls.name] + [cls]
        if cls.document:
            setattr(Config, cls.name, _property(cls))

    @classmethod
    def _documentation(cls) -> str:
        paragraphs = [textwrap.dedent(cls.desc).strip()]
        if issubclass(cls, ImportableSetting):
            paragraphs.append(
                "Its value is something to import: the object itself, its dotted name, or several names of which "
                "the first that can be imported is taken (with commas between them in the environment)."
            )
            paragraphs.extend(f"Short names: {', '.join(names)}." for names in [cls.shortname_map] if names)
        if cls.validate.__doc__:
            paragraphs.append(textwrap.dedent(cls.validate.__doc__).strip())
        paragraphs.append(f"It is {cls.default!r} unless it is set, here or by ``{cls.environment_key}``.")
        return "\n\n".join(paragraphs)

    def _convert(self, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    def get(self) -> Any:
        """Return the value. The environment is read the first time, so that the value does not change later.

        Raises :class:`ValueError` or :class:`ImportError` if the environment has an invalid one.
        """
        if "value" not in self.__dict__:
            self.set(os.environ.get(self.environment_key, self.default))
        return self.value

    def set(self, value: Any) -> None:
        """Set the value. Raises :class:`ValueError` or :class:`ImportError` for an invalid one."""
        self.value = self.validate(self._convert(value))


def _property(kind: type[Setting]) -> property:
    def read(config: Config) -> Any:
        return config.settings[kind.name].get()

    # It is set by Config.__setattr__.
    return property(read, doc=kind.__doc__)


class ImportableSetting:
    """A setting whose value is imported by its name."""

    #: Names to use instead of the dotted ones.
    shortname_map: ClassVar[dict[str, str]] = {}

    def _import_one_of(self, candidates: Any) -> Any:
        failure = ImportError("Cannot import from empty list")
        for candidate in candidates:
            try:
                return self._import_one(candidate)
            except ImportError as error:
                failure = error
        raise failure

    def _import_one(self, path: Any) -> Any:
        if not isinstance(path, str):
            return path
        module_name, dot, item = path.rpartition(".")
        if not dot or "/" in path:
            known = ", ".join(self.shortname_map)
            raise ImportError(f"Cannot import {path!r}: not of the form module.name. Or choose from {known}")
        if module_name.split(".")[0] == "gevent":
            # Where the alias is not installed, the same thing under its own name.
            module_name = module_name.replace("gevent", "greenloom", 1)
        module = importlib.import_module(module_name)
        if not hasattr(module, item):
            raise ImportError(f"{module!r} has no {item!r}")
        return getattr(module, item)

    def validate(self, value: Any) -> Any:
        if callable(value):
            return value
        return self._import_one_of([self.shortname_map.get(name, name) for name in value])

    def get_options(self) -> dict[str, Any]:
        """Return what the short names stand for: the object, or the ImportError."""
        return {name: self._try(path) for name, path in self.shortname_map.items()}

    def _try(self, path: str) -> Any:
        try:
            return self._import_one(path)
        except ImportError as error:
            return error


class BoolSettingMixin:
    """A setting that is True or False."""

    _convert = staticmethod(convert_str_value_as_is)
    validate = staticmethod(validate_bool)


class IntSettingMixin:
    """A setting that is a whole number, or None."""

    _convert = staticmethod(lambda value: int(value) if value else None)
    validate = staticmethod(validate_anything)


def _validate_positive(value: Any) -> Any:
    if value is None or value > 0:
        return value
    raise ValueError(f"not a positive number: {value!r}")


class FloatSettingMixin:
    """A setting that is a number above 0, or None."""

    _convert = staticmethod(lambda value: float(value) if value else None)
    validate = staticmethod(_validate_positive)


_UNITS = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def _to_bytes(value: Any) -> Any:
    """Return the number of bytes that a text means; what is no text, as it is."""
    if isinstance(value, str):
        number, unit = value[:-2], value[-2:].lower()
        return int(number) * _UNITS[unit] if unit in _UNITS else int(value or 0) or None
    return value or None


class ByteCountSettingMixin:
    """A setting that is a number of bytes, ``512mb`` for example, or None."""

    _convert = staticmethod(_to_bytes)
    validate = staticmethod(_validate_positive)


def make_settings() -> dict[str, Setting]:
    """Return a new instance of each setting by its name."""
    return {kind.name: kind() for kind in ALL_SETTINGS}


class Config:
    """The settings as attributes. Set one before what it is about is first used, or set its variable.

    Reading or setting one that does not exist raises :class:`AttributeError`; an invalid value
    :class:`ValueError` or :class:`ImportError`.
    """

    #: Each by its name.
    settings: dict[str, Setting]

    def __init__(self) -> None:
        vars(self)["settings"] = make_settings()

    def _find(self, name: str) -> Setting:
        # Not by attribute: while an instance is copied it has none yet, and would be asked for it for ever.
        found = vars(self).get("settings", {}).get(name)
        if found is None:
            raise AttributeError(f"there is no setting called {name!r}")
        return found  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        # Those that have no property.
        return self._find(name).get()

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Set the setting called ``name``."""
        self._find(name).set(value)

    def __dir__(self) -> list[str]:
        return [setting.name for setting in self.settings.values()]

    def print_help(self) -> None:
        """Print all settings with their documentation."""
        for setting in self.settings.values():
            print(setting.name, textwrap.indent(setting.__doc__ or "", "    "), "", sep="\n")
