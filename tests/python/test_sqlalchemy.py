"""SQLAlchemy's asyncio extension, which requires greenlet by name and runs its blocking code in one, on greenloom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import greenloom
from programs import output, run

PROGRAM = """
import asyncio
import json
import sys
from importlib.metadata import version

import greenlet
import greenloom.greenlet
from sqlalchemy import String, func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)

async def main(path):
    facts = {"version": version("greenlet")}
    facts["ours"] = greenlet.greenlet is greenloom.greenlet.greenlet
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    new_session = async_sessionmaker(engine, expire_on_commit=False)
    seen = []

    def create(connection):
        seen.append(type(greenlet.getcurrent()))
        Base.metadata.create_all(connection)
        return inspect(connection).get_table_names()

    async with engine.begin() as connection:
        facts["tables"] = await connection.run_sync(create)
    facts["run_sync in a greenlet of ours"] = (
        issubclass(seen[0], greenloom.greenlet.greenlet) and seen[0] is not greenloom.greenlet.greenlet
    )

    async with new_session() as session:
        session.add_all(Person(name=name) for name in ("ada", "bob"))
        await session.commit()

    async def add(number):
        async with new_session() as session, session.begin():
            session.add(Person(name=f"person {number}"))
            await session.flush()
            await asyncio.sleep(0)
            return await session.scalar(select(func.count()).where(Person.name == f"person {number}"))

    facts["each saw its own"] = await asyncio.gather(*(add(number) for number in range(12)))

    try:
        async with new_session() as session, session.begin():
            session.add(Person(name="rolled back"))
            await session.flush()
            session.add(Person(name="ada"))
    except IntegrityError as error:
        facts["error"] = type(error.orig).__name__

    async with new_session() as session:
        names = (await session.scalars(select(Person.name).order_by(Person.id))).all()
        facts["names"] = sorted(names)
        stream = await session.stream_scalars(select(Person.id))
        facts["streamed"] = len([row async for row in stream])

    async with new_session() as session:
        person = await session.scalar(select(Person).where(Person.name == "bob"))
        session.expire(person)
        facts["lazily"] = await session.run_sync(lambda _: person.name)
    await engine.dispose()
    print(json.dumps(facts))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def python(compat_python: Path) -> Path:
    """The Python of an environment in which SQLAlchemy came to an installed stand-in."""
    packages = ["sqlalchemy[asyncio]>=2,<3", "aiosqlite>=0.20,<1"]
    installed = run(compat_python, "-m", "pip", "install", *packages, seconds=240)
    assert installed.returncode == 0, installed.stderr
    return compat_python


def test_pip_takes_the_stand_in_for_the_requirement(python: Path) -> None:
    code = (
        "from importlib.metadata import requires, version\n"
        "print(version('greenlet'))\n"
        "print(requires('sqlalchemy'))\n"
    )
    version, requires = output(python, "-c", code).splitlines()
    assert version == f"3.5.6+greenloom.{greenloom.__version__}"
    assert "greenlet" in requires
    assert output(python, "-m", "pip", "check", "--disable-pip-version-check")


def test_an_async_engine_creates_inserts_selects_and_rolls_back(python: Path, tmp_path: Path) -> None:
    program = tmp_path / "people.py"
    program.write_text(PROGRAM)
    said = output(python, "-W", "error", program, tmp_path / "people.sqlite", seconds=120)
    facts = json.loads(said)
    assert facts.pop("version").startswith("3.5.6+greenloom")
    names = sorted(["ada", "bob", *(f"person {number}" for number in range(12))])
    assert facts == {
        "ours": True,
        "tables": ["person"],
        "run_sync in a greenlet of ours": True,
        "each saw its own": [1] * 12,
        "error": "IntegrityError",
        "names": names,
        "streamed": 14,
        "lazily": "bob",
    }
