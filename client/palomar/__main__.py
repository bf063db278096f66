"""`python -m palomar` is the command line tool."""

from palomar.cli import main

main()
