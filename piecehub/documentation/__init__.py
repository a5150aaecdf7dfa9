"""The model page, written from what was measured. Light; imports `facts`.

    page               the page; template: its form; page_of_run: what the component does that writes it
    person             what only a person knows of a piece
    recommendation     what a version is recommended for: one sentence for every place that says so
    evidence_table     accuracies with their intervals, for page and terminal; advice: what they say to a consumer

Read `page.write` first.
"""
