"""``python -m workers.webhooks``: delivers webhooks."""

from workers.webhooks.process import main

if __name__ == "__main__":
    main()
