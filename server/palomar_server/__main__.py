"""Lets `python -m palomar_server` run palomard."""

from palomar_server.entry import main

if __name__ == "__main__":
    main()
