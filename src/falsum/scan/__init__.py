"""The one driver: gather rows, compare, fold, merge, finish; its paths are chosen by one table."""
