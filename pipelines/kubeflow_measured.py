"""What each component took of `digits`, or to start; benchmarks/bench_requests.py writes this file.

By executor: seconds of processors, and the most memory that its pod held, in bytes. Measured at commit b4d2becb4aca.
"""

MEASURED: dict[str, tuple[float, int]] = {
    "components.documentation_writer.DocumentationWriter_Executor": (0.23, 35303424),
    "components.example_ingester.ExampleIngester_Executor": (14.39, 1005404160),
    "components.fine_tune_evaluator.FineTuneEvaluator_Executor": (22.77, 1653150720),
    "components.full_model_trainer.FullModelTrainer_Executor": (13.14, 1071476736),
    "components.hub_pusher.HubPusher_Executor": (0.25, 35635200),
    "components.incumbent_resolver.IncumbentResolver_Executor": (0.22, 31457280),
    "components.parent_resolver.ParentResolver_Executor": (0.17, 32505856),
    "components.piece_extractor.PieceExtractor_Executor": (10.25, 1005375488),
    "components.publish_gate.PublishGate_Executor": (1.56, 178180096),
    "components.reusability_validator.ReusabilityValidator_Executor": (23.76, 1732755456),
    "components.reusable_exporter.ReusableExporter_Executor": (12.62, 1331650560),
    "piecehub.store.parent.ParentLookup_Executor": (0.16, 32505856),
    "piecehub.training.written_examples.ExampleWriter_Executor": (4.92, 790224896),
    "tfx.components.example_validator.executor.Executor": (7.63, 983044096),
    "tfx.components.schema_gen.import_schema_gen.executor.Executor": (0.13, 31137792),
}
