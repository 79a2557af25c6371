//! Longwave: pipeline.
