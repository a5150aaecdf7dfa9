"""What each component took of `digits`, or to start; benchmarks/bench_requests.py writes this file.

By executor: seconds of processors, and the most memory that its pod held, in bytes. Measured at commit bc610b1ed134.
"""

MEASURED: dict[str, tuple[float, int]] = {
    "components.documentation_writer.DocumentationWriter_Executor": (0.25, 36405248),
    "components.example_ingester.ExampleIngester_Executor": (7.94, 1006526464),
    "components.fine_tune_evaluator.FineTuneEvaluator_Executor": (19.17, 1654228992),
    "components.full_model_trainer.FullModelTrainer_Executor": (11.6, 1071845376),
    "components.hub_pusher.HubPusher_Executor": (0.25, 35663872),
    "components.incumbent_resolver.IncumbentResolver_Executor": (0.2, 32874496),
    "components.parent_resolver.ParentResolver_Executor": (0.17, 32505856),
    "components.piece_extractor.PieceExtractor_Executor": (10.84, 1005559808),
    "components.publish_gate.PublishGate_Executor": (1.46, 178421760),
    "components.reusability_validator.ReusabilityValidator_Executor": (22.27, 1733750784),
    "components.reusable_exporter.ReusableExporter_Executor": (11.71, 1338687488),
    "piecehub.store.parent.ParentLookup_Executor": (0.16, 32505856),
    "piecehub.training.written_examples.ExampleWriter_Executor": (5.17, 790462464),
    "pipelines.recipe.submitted.SubmissionCheck_Executor": (0.32, 49127424),
    "tfx.components.example_validator.executor.Executor": (7.34, 982872064),
    "tfx.components.schema_gen.import_schema_gen.executor.Executor": (0.14, 31141888),
}
