//! Which devices an expression chooses: the seam to an evaluator of CEL, which this crate does not have.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::Device;

/// Compiles the expressions by which claims and classes choose devices (`selectors[].cel.expression`).
pub trait DeviceSelectors: Send + Sync + 'static {
    /// Compiles an expression. It is called for each pod that is prepared, so an implementation should remember what it
    /// compiled, a bounded number of them.
    ///
    /// # Errors
    /// What is wrong with the expression.
    fn compile(&self, expression: &str) -> Result<Arc<dyn DeviceSelector>, String>;
}

/// A compiled expression.
pub trait DeviceSelector: Send + Sync {
    /// Whether it chooses a device of a driver. Must depend on its arguments alone.
    ///
    /// # Errors
    /// What went wrong while it was evaluated, such as an attribute that the device does not have.
    fn matches(&self, driver: &str, device: &Device) -> Result<bool, String>;
}

/// Without an evaluator: expressions are refused, and the message says so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NoSelectors;

impl DeviceSelectors for NoSelectors {
    fn compile(&self, _: &str) -> Result<Arc<dyn DeviceSelector>, String> {
        Err("this scheduler was built without an evaluator of CEL expressions".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn selectors_are_object_safe() {
        fn takes(_: Option<&dyn super::DeviceSelectors>, _: Option<&dyn super::DeviceSelector>) {}
        takes(None, None);
    }
}
