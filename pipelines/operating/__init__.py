"""Operates packages on a Kubeflow Pipelines server, over `kfp.Client`; `piecehub kubeflow` prints what it says.

    connection   host, token, CA, namespace; refusals: every failure of a call as one sentence
    package      what `kubeflow compile` wrote, read again; uploads: as a version of a pipeline
    runs         one run: submitted, waited for, and whether it published; pod_logs: what its pods wrote
    schedules    a recurring run that stands whatever fails; cron: when it fires
    listing      what stands on a server; checkup: what `kubeflow doctor` says of it

Nothing here imports TensorFlow or TFX: a command answers as soon as the server does.
"""
