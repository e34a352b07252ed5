"""Dead letters over HTTP: `Letters` is the use case, built by `__main__`; `dead_letters_router` is its routes."""

from services.gateway.dead_letters.routes import dead_letters_router
from services.gateway.dead_letters.service import Letters

__all__ = ["Letters", "dead_letters_router"]
