"""`python -m probate`: the command, where its folder is not on the path."""

from probate.commands.app import main

if __name__ == "__main__":
    main()
