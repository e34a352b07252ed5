"""Why a graph is not served by the kernel."""


class GraphUnsupported(ValueError):
    """A sound graph, perhaps, but none that the kernel knows: another engine may serve it."""


class GraphDamaged(ValueError):
    """No graph that an exporter of ours writes: cut off, or with an index that points nowhere."""
