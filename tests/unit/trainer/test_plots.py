import io

import numpy as np

from services.trainer.plots import Residuals, draw_plots


def test_four_figures_are_drawn_whatever_the_names_hold() -> None:
    residuals = Residuals("price ($)", np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 2.0]))
    figures = draw_plots(residuals, [("a$b_$1", 0.6), ("a$b_$1", 0.3), *((f"c{i}", 0.01) for i in range(20))])

    assert set(figures) == {
        "predicted_vs_actual.png",
        "residuals.png",
        "residual_distribution.png",
        "feature_importance.png",
    }
    for figure in figures.values():
        file = io.BytesIO()
        figure.savefig(file)
        assert file.getvalue().startswith(b"\x89PNG")
    assert len(figures["feature_importance.png"].axes[0].patches) == 15
