"""Speed, side by side: raykd, what people use today, and the limits of the machine, in one run.

`make bench` runs all of it, `make bench-quick` a part in minutes. Every arm is one file in arms/
and one process; setting.py makes what they share, run.py takes turns, report.py writes the table.
"""
