"""Who vouches for a published version, and how a consumer finds out without a network.

keys        key pairs, fingerprints
envelope    DSSE: signed bytes with their type
signature   which files a model has, signed (`model.sig`)
slsa        what a version was made from (`provenance.dsse.json`)
attest      both of them for a version that is being published; place: where a run finds its key
push_of_run what the component does that publishes
trust       which key may sign for which publisher
verify      holds a version against all of these
fetch       fills the cache of TensorFlow Hub's client with what was verified
hub_cache   that cache, and what can be wrong in it

Light at import: what needs the extra `sign` is imported by the functions that use it. Of ours it imports `lineage`,
`store` and `facts`. Read `verify.verify_version` first.
"""
