"""Several collectors on one machine that share their ports: one process per core, in front of one database server.

    supervisor ─┬─ worker 0   journal/0   receivers (SO_REUSEPORT), pipeline, every extension but health_check
                ├─ worker 1   journal/1   receivers, pipeline
                └─ health_check of the whole

Each worker owns a journal; requests of one connection stay with one worker. A worker that ends is started again and
finds its journal as it left it. What another number of workers left, in a journal of a higher number or in the one
folder of a collector without workers, worker 0 delivers at its start (docs/journal.md).
"""
