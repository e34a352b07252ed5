"""What really came of predicted rows, over HTTP: `Feedback` is the use case, `feedback_router` puts it at /feedback."""

from services.gateway.feedback.routes import feedback_router
from services.gateway.feedback.service import Feedback

__all__ = ["Feedback", "feedback_router"]
