from raykd.cli.app import app

app(prog_name="raykd")
