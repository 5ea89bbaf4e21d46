"""One arm a file, each its own process: `python -m benchmarks.arms.<name> SETTING.json OUT.json`.

The peers' arms run in an environment of their own (peers-constraints.txt) that has no raykd.
"""
