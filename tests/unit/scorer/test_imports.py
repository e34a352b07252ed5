import subprocess
import sys

FORBIDDEN = ("sklearn", "pandas", "mlflow", "scipy", "onnx", "matplotlib")


def test_a_scorer_needs_nothing_of_the_trainer() -> None:
    """Its image has none of these, and its memory no room for them."""
    code = f"import services.scorer.__main__, sys; print([m for m in {FORBIDDEN!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
