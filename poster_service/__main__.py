"""`python -m poster_service` is `poster-service`; this file only hands over."""

from poster_service.cli import run

if __name__ == "__main__":
    run()
