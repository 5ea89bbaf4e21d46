"""One HTML page that answers for a sweep: `page` gathers the numbers, `figures` and its neighbours
draw them, `render` writes the page. plotly and Jinja2 are imported here and nowhere else."""
