//! Tables of environments.
