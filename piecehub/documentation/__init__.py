"""The model page, written from what was measured. Light; imports `facts`.

    page               the page; template: its form
    evidence_table     accuracies with their intervals, for page and terminal; advice: what they say to a consumer

Read `page.write` first.
"""
