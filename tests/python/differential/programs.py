"""Generates programs. Hypothesis shrinks those that fail, so what is simplest comes first in every choice."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SLOTS = 4
SCRIPTS = 4
Json = Any


def weighted(choices: list[tuple[int, st.SearchStrategy[Json]]]) -> st.SearchStrategy[Json]:
    """One of several strategies, by weight. `one_of` would count each branch of a nested one as one of its own."""
    table = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.sampled_from(table).flatmap(lambda strategy: strategy)


def op(kind: str, *arguments: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """An operation and its arguments."""
    return st.tuples(st.just(kind), *arguments)


slots: st.SearchStrategy[Json] = st.integers(0, SLOTS - 1)
scripts: st.SearchStrategy[Json] = st.integers(0, SCRIPTS - 1)
# Slots weigh most: a greenlet that is not the current one, nor main, is where things happen.
refs = weighted([(12, slots), (4, st.just("parent")), (3, st.just("main")), (1, st.just("current"))])
ref_values = refs.map(lambda ref: ["greenlet", ref])
exceptions = st.sampled_from(["GreenletExit", "GreenletExit", "ValueError", "KeyError", "KeyboardInterrupt"])

simple_values = weighted(
    [
        (1, st.just(["plain", None])),
        (3, st.integers(0, 9).map(lambda number: ["plain", number])),
        (1, st.just(["plain", "text"])),
        (1, st.just(["tuple", []])),
        (1, st.just(["tuple", [["plain", 1]]])),
        (1, st.just(["dict"])),
        (2, ref_values),
    ]
)
values = weighted(
    [(3, simple_values), (1, st.just(["context"])), (1, scripts.map(lambda number: ["body", number]))]
)
parents = weighted([(8, st.none()), (3, ref_values), (1, st.just(["plain", 5]))])
arguments = weighted([(1, st.just([])), (2, st.lists(simple_values, max_size=3))])
keywords = weighted(
    [(4, st.just({})), (1, st.dictionaries(st.sampled_from("ab"), simple_values, max_size=2))]
)
good_throws = st.sampled_from(
    [
        "nothing",
        "class",
        "instance",
        "class and value",
        "class and tuple",
        "class and instance",
        "class and another's instance",
        "class and none",
        "class and traceback",
    ]
)
bad_throws = st.sampled_from(["instance and value", "no traceback", "none", "text", "object", "too many"])
kinds = st.sampled_from(["plain", "plain", "plain", "subclass", "method", "falsy"])
attributes = st.sampled_from(["run", "parent", "gr_context", "dead", "gr_frame", "__dict__", "other"])
contexts = st.sampled_from([["plain", None], ["context"], ["plain", 1]])

plain_operations = weighted(
    [
        (24, op("switch", refs, arguments, keywords)),
        (8, op("throw", refs, weighted([(6, good_throws), (1, bad_throws)]), exceptions)),
        (5, op("create", slots, scripts, kinds, parents)),
        (5, op("drop", slots)),
        (6, op("state", refs)),
        (4, op("put", refs, st.just("parent"), ref_values)),
        (2, op("copy", slots, slots)),
        (2, op("trace", st.sampled_from(["on", "on", "on", "off", "raise", "bad"]))),
        (2, op("raise_error", exceptions)),
        (2, op("frames", refs)),
        (2, op("set_variable", st.integers(0, 9))),
        (1, op("get_variable")),
        (1, op("put", refs, st.just("gr_context"), contexts)),
        (1, op("put", refs, attributes, values)),
        (1, op("delete", refs, attributes)),
        (1, op("collect")),
        (1, op("cycle", refs)),
        (1, op("duplicate", refs)),
        (1, op("again", refs, scripts, parents)),
    ]
)
# Other threads get what takes effect at once. A greenlet made there would be ended after the thread has, whenever
# that comes to pass.
in_threads = weighted(
    [
        (2, op("switch", refs, arguments, keywords)),
        (2, op("throw", refs, good_throws, exceptions)),
        (2, op("state", refs)),
        (1, op("drop", slots)),
        (1, op("put", refs, st.just("parent"), ref_values)),
        (1, op("get_variable")),
    ]
)
nests = st.sampled_from(["except", "generator", "sort", "deep", "context", "del"])
operations = weighted(
    [
        (12, plain_operations),
        (3, op("nest", nests, plain_operations)),
        (1, op("nest", st.just("thread"), in_threads)),
    ]
)
finals = weighted([(8, st.none()), (1, plain_operations)])
catches = st.sampled_from(["all", "all", "ordinary", "ordinary", "again", "return", "replace", "during"])


def steps(catch: st.SearchStrategy[str], least: int, most: int) -> st.SearchStrategy[Json]:
    """A list of steps."""
    step = st.fixed_dictionaries({"do": operations, "catch": catch, "finally": finals})
    return st.lists(step, min_size=least, max_size=most)


bodies = st.fixed_dictionaries(
    {"steps": steps(catches, 1, 6), "end": st.sampled_from(["done", "done", "self", "raise", "exit"])}
)
first_parents = weighted([(3, st.none()), (1, ref_values)])


@st.composite
def programs(draw: st.DrawFn) -> dict[str, Json]:
    """A program: it makes some greenlets first and starts one, for without there is little to find."""
    first = draw(st.lists(st.tuples(kinds, first_parents), min_size=2, max_size=SLOTS))
    main = [
        {"do": ["create", slot, slot, kind, parent], "catch": "all", "finally": None}
        for slot, (kind, parent) in enumerate(first)
    ]
    main.append({"do": draw(op("switch", st.just(0), arguments, keywords)), "catch": "all", "finally": None})
    return {
        "scripts": draw(st.lists(bodies, min_size=SCRIPTS, max_size=SCRIPTS)),
        "main": main + draw(steps(st.just("all"), 2, 16)),
        "budget": 80,
    }
