"""A NIR graph, read as populations and the ways between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyasync.errors import NetworkError, expected

# Neurons that never fire: what they send on is their potential, so only the output may follow.
INTEGRATORS = ("LI", "I", "CubaLI")
NEURONS = ("LIF", "IF", "CubaLIF", *INTEGRATORS)
MAPS = ("Linear", "Affine", "Scale", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten")
ENDS = ("Input", "Output")
# Metadata key for the order in which the populations were added. NIR files do not keep the order of
# nodes, but in a cycle it decides which projections are feedback.
ORDER = "populations"
# Metadata key for the refractoriness of each population, in that order; NIR nodes have none.
REFRACTORY = "refractory"
# Limits on the nodes of one way, and on the nodes looked at on all ways to a population: a graph
# may have exponentially many ways. What frameworks write stays far below both.
MOST_BETWEEN = 100
MOST_LOOKS = 100_000
ACCEPTED = f"nodes {', '.join((*NEURONS, *MAPS, *ENDS))} and graphs of them"


@dataclass(frozen=True)
class Way:
    """A way from a population or the input to a population that leads only through maps.

    Attributes
    ----------
    source : str
    maps : tuple of str
        The nodes along the way, starting at the source.
    """

    source: str
    maps: tuple[str, ...]


class Graph:
    """A NIR graph with its nested graphs flattened.

    Attributes
    ----------
    nodes : dict
        Every node by name; the name of a node in a nested graph is `graph.node`.
    source : str
        The input node.
    populations : list of str
        The nodes of neurons, in the order given by the graph's metadata, or else in the order in
        which spikes from the input may first reach them.
    output : str
        The population that leads to the graph's output.
    refractory : dict
        The refractoriness of each population, if the graph's metadata have it.

    Raises
    ------
    NetworkError
        If there is an unsupported node, a loop without neurons, a number of inputs or outputs
        other than one, or a way from neurons that never fire to other neurons.
    """

    def __init__(self, graph: Any) -> None:
        self.nodes: dict[str, Any] = {}
        self._before: dict[str, list[str]] = {}
        self._add(graph, "")
        self.source = self._end(graph, "Input")
        self.populations = self._reached()
        order, refractory = _listed(graph, ORDER), _listed(graph, REFRACTORY)
        self.refractory: dict[str, str] = {}
        if sorted(order) == sorted(self.populations):  # or the graph was changed after export
            self.populations = order
            if len(refractory) == len(order):
                self.refractory = dict(zip(order, refractory, strict=True))
        self.output = self._output(self._end(graph, "Output"))

    def _add(self, graph: Any, prefix: str) -> None:
        """Add the nodes and edges of a graph, and of the graphs nested in it."""
        parts: dict[str, Any] = {}
        for key, node in graph.nodes.items():
            name, kind = prefix + key, type(node).__name__
            if kind == "NIRGraph":
                parts[key] = node
                self._add(node, f"{name}.")
            elif kind in (*NEURONS, *MAPS, *ENDS):
                self.nodes[name] = node
                self._before.setdefault(name, [])
            else:
                raise NetworkError(expected("graph", f"node {name!r}, a {kind}", ACCEPTED))

        def ends(key: str, kind: str) -> list[str]:
            """The nodes that stand for `key` in an edge: itself, or a nested graph's end nodes."""
            if key not in parts:
                return [prefix + key]
            inner = [f"{prefix}{key}.{end}" for end in parts[key].nodes]
            return [name for name in inner if kind_of(self.nodes.get(name)) == kind]

        for start, end in dict.fromkeys(map(tuple, graph.edges)):
            for target in ends(end, "Input"):
                if target not in self._before:
                    given = f"an edge to {target!r}, which is not there"
                    raise NetworkError(expected("graph", given, "edges between its nodes"))
                self._before[target] += ends(start, "Output")

    def _end(self, graph: Any, kind: str) -> str:
        names = [name for name, node in graph.nodes.items() if kind_of(node) == kind]
        if len(names) != 1:
            given = f"{len(names)} nodes {kind}"
            raise NetworkError(expected("graph", given, f"one node {kind}"))
        return str(names[0])

    def ways_to(self, name: str) -> Iterator[Way]:
        """All ways from populations or the input to a node."""
        # Left to look at: a node, the nodes between it and the end, and the maps among those.
        Left = tuple[str, tuple[str, ...], tuple[str, ...]]
        left: list[Left] = [(before, (), ()) for before in reversed(self._before[name])]
        looks = 0
        while left:
            before, between, maps = left.pop()
            looks += 1
            kind = kind_of(self.nodes.get(before))
            if before == self.source or kind in NEURONS:
                yield Way(before, maps)
                continue
            if before in between:
                given = f"a loop through {before!r} without neurons"
                raise NetworkError(expected("graph", given, "neurons in every loop"))
            if kind not in (*MAPS, *ENDS):
                given = f"an edge from {before!r}, which is not there"
                raise NetworkError(expected("graph", given, "edges between its nodes"))
            # Where ways part and meet again, their number doubles each time.
            if len(between) == MOST_BETWEEN or looks > MOST_LOOKS:
                given = f"long or many ways to {name!r}, as through {before!r}"
                accepted = f"neurons after at most {MOST_BETWEEN} nodes, and fewer ways between"
                raise NetworkError(expected("graph", given, accepted))
            maps = (before, *maps) if kind in MAPS else maps
            left += [(each, (before, *between), maps) for each in reversed(self._before[before])]

    def maps_before(self, name: str) -> Iterator[str]:
        """The maps that lead directly to a node, ignoring the ends of nested graphs in between."""
        for before in self._before[name]:
            kind = kind_of(self.nodes[before])
            if kind in MAPS:
                yield before
            elif kind in ENDS and before != self.source:
                yield from self.maps_before(before)

    def _reached(self) -> list[str]:
        """All populations, in the order in which spikes from the input may first reach them."""
        named = [name for name, node in self.nodes.items() if kind_of(node) in NEURONS]
        sources = {name: {way.source for way in self.ways_to(name)} for name in named}
        for name, before in sources.items():
            for source in sorted(before):
                if kind_of(self.nodes[source]) in INTEGRATORS:
                    raise NetworkError(never_projects("graph", source, name))
        order = [self.source]
        for source in order:
            order += [each for each in named if source in sources[each] and each not in order]
        if missing := [name for name in named if name not in order]:
            given = f"{missing[0]!r}, which the input does not reach"
            raise NetworkError(expected("graph", given, "neurons that the input reaches"))
        return order[1:]

    def _output(self, name: str) -> str:
        ways = list(self.ways_to(name))
        fires = len(ways) == 1 and ways[0].source != self.source
        if not fires or any(kind_of(self.nodes[each]) != "Flatten" for each in ways[0].maps):
            last = [*ways[0].maps, ways[0].source][0] if ways else "nothing"
            given = f"{len(ways)} ways to the output, from {last!r}"
            accepted = f"neurons ({', '.join(NEURONS)}), and no other node, before the output"
            raise NetworkError(expected("graph", given, accepted))
        return ways[0].source


def _listed(graph: Any, key: str) -> list[str]:
    """A list of strings from the metadata, which in a file are bytes."""
    names = graph.metadata.get(key)
    if isinstance(names, np.ndarray):
        names = names.ravel()
    elif not isinstance(names, (list, tuple)):
        return []
    return [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in names
    ]


def never_projects(argument: str, source: str, target: str) -> str:
    """The message that neurons that never fire stand before others."""
    given = f"{source!r}, a population that never fires, which projects to {target!r}"
    return expected(argument, given, "such populations before the output, and nowhere else")


def kind_of(node: Any) -> str:
    """The class name of a node."""
    return type(node).__name__
