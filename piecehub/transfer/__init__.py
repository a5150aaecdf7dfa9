"""How well a piece transfers: tasks, protocol, trials, evidence and the gate's verdict.

    Task + Protocol ──► trials (one file each) ──► Evidence ──► judge ──► Verdict

`engine`, `inputs`, `batch_norm` and `pool` import TensorFlow and run in processes of their own; `metrics` imports TFMA,
`on_beam` and `staging` Beam. All other modules are light: evidence is read and judged with numpy and pyarrow only. Of
ours it imports `tensors` and `facts`. Read `evaluation.evaluate` first.
"""
