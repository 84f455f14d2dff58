//! What a simulated container does.
//!
//! | annotation of the pod | meaning |
//! |---|---|
//! | `sim.orc.dev/start-seconds` | time between start and running |
//! | `sim.orc.dev/run-seconds` | time until it ends by itself; absent: for ever |
//! | `sim.orc.dev/exit-code` | code it then ends with |
//! | `sim.orc.dev/stop-seconds` | time from the request to stop until it ends, unless the grace period is shorter |
//! | `sim.orc.dev/exec-exit-code` | what every `exec` in it (probes, hooks) answers |
//!
//! With `.<container>` behind the name it counts for that container alone (`sim.orc.dev/run-seconds.setup`).

use std::collections::BTreeMap;
use std::time::Duration;

const PREFIX: &str = "sim.orc.dev/";

/// What a simulated container does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// Time between start and running.
    pub start: Duration,
    /// Time until it ends by itself; `None`: for ever.
    pub run: Option<Duration>,
    /// Code it then ends with.
    pub exit_code: i32,
    /// Time from the request to stop until it ends.
    pub stop: Duration,
    /// What every `exec` in it answers.
    pub exec_exit_code: i32,
}

impl Script {
    /// This script changed by a pod's annotations.
    ///
    /// # Errors
    /// Names the annotation that is not a number.
    pub fn annotated(&self, container: &str, annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut script = self.clone();
        let seconds = |name| -> Result<Option<Duration>, String> {
            number(name, container, annotations)?
                .map(|n| Duration::try_from_secs_f64(n).map_err(|e| format!("annotation {PREFIX}{name}: {e}")))
                .transpose()
        };
        #[allow(clippy::cast_possible_truncation, reason = "exit codes are small; the cast saturates")]
        let code = |name| number(name, container, annotations).map(|code| code.map(|code| code as i32));
        script.start = seconds("start-seconds")?.unwrap_or(script.start);
        script.run = seconds("run-seconds")?.or(script.run);
        script.stop = seconds("stop-seconds")?.unwrap_or(script.stop);
        script.exit_code = code("exit-code")?.unwrap_or(script.exit_code);
        script.exec_exit_code = code("exec-exit-code")?.unwrap_or(script.exec_exit_code);
        Ok(script)
    }
}

fn number(name: &str, container: &str, annotations: &BTreeMap<String, String>) -> Result<Option<f64>, String> {
    let own = annotations.get(&format!("{PREFIX}{name}.{container}"));
    let Some(text) = own.or_else(|| annotations.get(&format!("{PREFIX}{name}"))) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("annotation {PREFIX}{name}: {text:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_change_the_script() {
        let pairs = [("sim.orc.dev/run-seconds", "2.5"), ("sim.orc.dev/exit-code.b", "3")];
        let annotations = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let a = Script::default().annotated("a", &annotations).unwrap();
        assert_eq!((a.run, a.exit_code), (Some(Duration::from_millis(2500)), 0));
        assert_eq!(Script::default().annotated("b", &annotations).unwrap().exit_code, 3);
        let bad = [("sim.orc.dev/run-seconds".to_owned(), "soon".to_owned())].into();
        assert!(Script::default().annotated("a", &bad).is_err());
    }
}
