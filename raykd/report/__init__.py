"""The report of a sweep as one HTML page: `page` holds the numbers, `figures` and the
`*_figures` modules draw them, `render` writes the page. Only this folder imports plotly and Jinja2.
"""
