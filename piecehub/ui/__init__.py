"""Pages for people: runs with their DAG, and published models with what proves them. Read-only, without TensorFlow.

    app            the routes, with run_routes those of runs; answers: how pages are drawn; serve: the server
    run_pages      a run with its DAG (layout), its times (run_times), what became of it (run_outcomes) and its logs
    live           what a page that watches a run is told; static/live.js patches the page
    output_pages   an artifact of a run: previews reads what lies in it
    model_pages    a published version; static_pages: the same as files
    check_table    the validator's report in a terminal; table: lists; words, markdown, headers
    shown          how far a command is: board has the lines, and terminal, a process of its own, draws them

Of ours it imports `lineage`, `store` and `facts`, and never what trains or measures. Read `app.py` or `shown.py` first.
"""
