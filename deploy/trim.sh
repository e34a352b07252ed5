#!/bin/sh
# Removes from a virtual environment what no service loads: tests, headers, and tools that come along with libraries.
# A fifth of a serving image. What a library needs after all shows in tests/compose, which runs every image.
set -eu
cd "$1"/lib/python3*/site-packages
find . -type d -name tests -path '*/*/tests' -prune -exec rm -rf {} +
if [ -d pyarrow ]; then
    rm -rf pyarrow/include pyarrow/src pyarrow/includes
    rm -f pyarrow/libarrow_flight.* pyarrow/libarrow_python_flight.* pyarrow/_flight.* pyarrow/flight.py
fi
if [ -d onnxruntime ]; then
    rm -rf onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/datasets
fi
