"""What a published version was made from. Light; imports `store` and `facts`.

    published    lineage, read from the chain that was published, or from ML Metadata
    metadata     ML Metadata's records, as steps

Read `published.of_published` first.
"""
