"""What MLflow's own pages show of a sweep: addresses, views, and the server that serves them."""
