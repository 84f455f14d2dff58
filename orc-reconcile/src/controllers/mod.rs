//! The built-in Kubernetes control loops.
