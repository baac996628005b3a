DROP TABLE
    stepgate_effects, stepgate_records, stepgate_target_sets, stepgate_results, stepgate_target_names,
    stepgate_steps, stepgate_creations, stepgate_jobs, stepgate_version;
