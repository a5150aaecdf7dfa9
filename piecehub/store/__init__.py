"""The store: its disk form and its wire form. Light; imports of ours only `facts`, and the layout of examples.

archive   a model folder as a deterministic `.tar.gz`, and back
members   reads an archive that nobody trusts
backend   what a store needs of the place it lies in; place: opens it
posix     a folder (disk: writing that survives a crash)
cloud     a bucket of S3, Google Cloud Storage or Azure
recipe_code   what a recipe's code may read, as an archive that pods fetch
keeping   trials and checkpoints of a pod, kept in a bucket
probe     whether a place keeps what it was told to create
layout    where things stand; catalog: what is there
publish   adds a version
index     what a list shows of all versions, derived; listing: searches and pages it
events    what people said of versions; curate: how they say it
fsck      reads every byte; gc: removes what nobody names; repair: mends from a second copy
server    the hosting protocol of TensorFlow Hub
proxies   by which way a request goes, to buckets and servers
data      the records that a recipe reads: the newest span, listed
source    a SavedModel that a person names: a folder, an archive, a handle, an address
shelf     a published version where it stands, in a store or on a server
foreign_files   what is none: a Keras file, a folder around one, …

Read `catalog.py` first, which draws the folder.
"""
