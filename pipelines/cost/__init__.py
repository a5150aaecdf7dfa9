"""What a run costs, told before it: `piecehub run --dry-run`.

    dry_run       the estimate: a rehearsal in a fresh process and a folder that is gone afterwards
    rehearsal     what that process does: each part of a run once, by its own code, on little
                  (sample: of the records; training, trials: those two parts)
    stopwatch     which part took which processor time; processes: memory of a process and all that it started;
                  allocated: room on a disk; a run notes these, too
    arithmetic    from what little took to what all of it takes; plain numbers, without TensorFlow
    earlier       what components took in an earlier run that was told the same
    table         the same for a person

Read `dry_run.estimate` first.
"""
