"""``python -m segpipe``."""

from segpipe.commands.app import main

if __name__ == "__main__":
    main()
