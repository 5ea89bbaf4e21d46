from raykd.cli import app

app(prog_name="raykd")
