"""One file per revision, ``mNNNN_what.py``: never edited once released, never downgraded."""
