"""What the start of each component took; benchmarks/bench_requests.py writes this file.

By executor: seconds of processors, and the peak of resident memory in bytes, of `python -m benchmarks.bench_starts`
at commit 10c70b1abf5b (benchmarks/results/starts.json).
"""

MEASURED: dict[str, tuple[float, int]] = {
    "components.documentation_writer.DocumentationWriter_Executor": (0.19, 33554432),
    "components.example_ingester.ExampleIngester_Executor": (5.66, 984612864),
    "components.fine_tune_evaluator.FineTuneEvaluator_Executor": (6.01, 986710016),
    "components.full_model_trainer.FullModelTrainer_Executor": (5.93, 984612864),
    "components.hub_pusher.HubPusher_Executor": (0.18, 33554432),
    "components.incumbent_resolver.IncumbentResolver_Executor": (0.15, 31457280),
    "components.parent_resolver.ParentResolver_Executor": (0.17, 32505856),
    "components.piece_extractor.PieceExtractor_Executor": (5.56, 984612864),
    "components.publish_gate.PublishGate_Executor": (0.56, 110100480),
    "components.reusability_validator.ReusabilityValidator_Executor": (5.31, 983564288),
    "components.reusable_exporter.ReusableExporter_Executor": (5.41, 981467136),
    "piecehub.store.parent.ParentLookup_Executor": (0.16, 32505856),
    "piecehub.training.written_examples.ExampleWriter_Executor": (0.2, 32505856),
    "tfx.components.example_validator.executor.Executor": (5.49, 979369984),
    "tfx.components.schema_gen.import_schema_gen.executor.Executor": (0.12, 30408704),
}
