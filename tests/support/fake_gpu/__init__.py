"""raykd's steps and evaluations on a simulated GPU: `python -m tests.support.fake_gpu SECTION ...`
prints a JSON object with the outcome of each case. Not run in a test's own process, since it
registers a device for the whole process."""
