"""What a published version was made from. Light; imports `store` and `facts`.

    published    lineage, read from the chain that was published, or from ML Metadata
    metadata     ML Metadata's records, as steps
    recorded     the same as folders: what led to a version, and what an execution read and made

Read `published.of_published` first.
"""
