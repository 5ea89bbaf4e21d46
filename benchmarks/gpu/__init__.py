"""The sections of `python -m benchmarks.gpu_check`. They import the core alone, and no library that
it can train without."""
