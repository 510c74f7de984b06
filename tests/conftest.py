"""What every test may use: the real servers, started when first asked for."""

pytest_plugins = ["tests.upstreams.fixtures"]
