"""``python -m workers.webhooks``: the program that delivers webhooks."""

from workers.webhooks.process import main

if __name__ == "__main__":
    main()
