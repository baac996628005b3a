-- Forgets every job. Tables go before those that they refer to.
DROP TABLE stepgate_effects;
DROP TABLE stepgate_records;
DROP TABLE stepgate_target_sets;
DROP TABLE stepgate_results;
DROP TABLE stepgate_target_names;
DROP TABLE stepgate_step_texts;
DROP TABLE stepgate_steps;
DROP TABLE stepgate_jobs;
DROP TABLE stepgate_version;
