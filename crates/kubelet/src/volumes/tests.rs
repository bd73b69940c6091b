//! Volumes on a temporary directory.
