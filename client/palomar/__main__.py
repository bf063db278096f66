"""`python -m palomar` is the command line tool."""

from palomar.entry import main

main()
