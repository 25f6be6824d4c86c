"""What the columns of the benchmarks are called in the tables that people read; the JSON keeps the short names."""

TITLES = {
    "photographs": "images",
    "pixels": "image size in pixels",
    "mean_length": "tokens per prompt, mean",
    "measured_on": "measured on",
    "scores_asked": "matcher scores computed",
    # seconds
    "published_s": "published (s)",
    "published_step_s": "published step (s)",
    "published_round_s": "published round (s)",
    "published_dtd_steps_s": "published, all steps (s)",
    "ours_s": "package (s)",
    "ours_embedding_s": "package: embedding (s)",
    "ours_tuning_s": "package: tuning (s)",
    "ours_matching_s": "package: matcher (s)",
    "text_pass_s": "text pass (s)",
    "floor_s": "lower bound (s)",
    "step_s": "step (s)",
    "first_round_s": "first round (s)",
    "round_s": "later round (s)",
    "products_s": "matrix products (s)",
    "gather_s": "later round: evidence (s)",
    "screen_s": "later round: screening (s)",
    "rectify_s": "later round: rectifying (s)",
    "rescreen_s": "later round: re-screening (s)",
    "dtd_run_s": "package, whole run (s)",
    # counts
    "published_steps": "published steps",
    "published_rounds": "published rounds",
    "ours_steps": "package: steps",
    "gflop": "operations (10^9)",
    "machine_gflops": "best rate (10^9 operations per s)",
    # images per second
    "ours_per_s": "package (images per s)",
    "own_forward_per_s": "forward pass of transformers (images per s)",
    "onnxruntime_per_s": "ONNX Runtime (images per s)",
    "openvino_per_s": "OpenVINO (images per s)",
    "disk_per_s": "package, from files (images per s)",
    "encoded_views_per_s": "package (views per s)",
    # ratios
    "ratio": "published / package",
    "run_ratio": "published, all steps / package, whole run",
    "ours_over_best_other": "package / better of ONNX Runtime and OpenVINO",
    "text_pass_over_floor": "text pass / lower bound",
    "text_pass_over_floor_at_own_rows": "text pass / lower bound, rate for the rows of the pass",
    "round_over_products": "later round / matrix products",
    "peak_over_previous": "peak / peak of the previous row",
    # spread
    "published_spread": "spread, published",
    "ours_spread": "spread, package",
    "text_pass_spread": "spread, text pass",
    "step_spread": "spread, step",
    "dtd_run_spread": "spread, whole run",
    # memory
    "published_peak_mb": "peak memory, published (MB)",
    "ours_peak_mb": "peak memory, package (MB)",
    "before_mb": "memory before the step (MB)",
    "peak_mb": "peak memory (MB)",
    "peak_gb": "peak memory (GB)",
    # differences
    "max_rel_diff_logits": "largest relative difference, logits",
    "max_rel_diff_ctx_grad": "largest relative difference, gradient of the context",
    "max_diff_match": "largest difference, matcher score",
    "ours_max_difference": "largest difference, package",
    "max_p_clean_difference": "largest difference of p_clean",
    "verdicts_equal": "same results on the checked slice",
    "groups_equal": "checked slice: share of samples with the same status",
    "targets_equal": "checked slice: share of samples with the same rectified label",
    "slice_not_clean": "checked slice: share of samples whose status is not clean",
}
"""Column -> title; a column that is not here has its own name."""

NOT_MEASURED = "not measured"
"""What a cell holds that was not measured."""
LABELS = {"cpu": "CPU", "gpu": "GPU"}
"""The same for what describes the machine."""
