"""Our own engine for the graphs that the trainer exports: trees in compiled C, linear models in C or numpy.

It reads `model.onnx` itself (`wire`, `graph`, `plan`), checks every index in it (`trees`), and lays the trees out for
`kernel.c` (`nodes`). `build` compiles that, `library` loads it; `compiled` and `plain` are the engines.

Trees give the bits that onnxruntime gives, so that either may stand in for the other. Linear models have one order of
additions here, whichever of the two engines computes them.
"""

FORMAT = 1
"""Of what a version served by the kernel relies on: the graphs that are read, and the bits that come out."""
NAME = f"kernel/{FORMAT}"
"""What a manifest says of a version that the kernel serves."""
PLAIN_NAME = f"{NAME} (numpy)"
"""Of the engine that computes what the kernel does, where there is no compiled one."""
