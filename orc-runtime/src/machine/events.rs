//! What is told to people about a pod: data for Event objects.

/// One thing worth an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEvent {
    /// `Warning`, else `Normal`.
    pub warning: bool,
    /// Kubernetes' reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The field concerned (`spec.containers{web}`); empty for the whole pod.
    pub field: String,
}

impl PodEvent {
    /// Of a normal course of things.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into(), field: String::new() }
    }

    /// Of trouble.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, message) }
    }

    /// Names the container that it is about, and the list of the pod's spec that it stands in (`containers`,
    /// `initContainers`, `ephemeralContainers`).
    pub fn of_container(mut self, list: &str, name: &str) -> Self {
        self.field = format!("spec.{list}{{{name}}}");
        self
    }
}
