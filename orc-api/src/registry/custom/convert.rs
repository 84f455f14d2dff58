//! Conversion of objects between the versions of their definition.

use std::time::Duration;

use bytes::Bytes;
use orc_core::{ApiError, Reason};
use serde_json::Value;

use super::Definition;
use crate::custom::review;
use crate::kinds::tree::{at, text, texts};
use crate::registry::Registry;

/// How long a webhook may take, as client-go's default for conversion.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Registry {
    /// The objects in a version. Those that are in it already are not touched, and the others are asked about in one call.
    ///
    /// # Errors
    /// 500 when the webhook fails, as kube-apiserver words it.
    pub(super) async fn converted(
        &self,
        definition: &Definition,
        mut objects: Vec<Value>,
        to: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let foreign: Vec<usize> = (0..objects.len()).filter(|at| text(&objects[*at], "apiVersion") != to).collect();
        let conversion = at(definition.doc.value(), "spec.conversion");
        if foreign.is_empty() {
            return Ok(objects);
        }
        if text(conversion, "strategy") != "Webhook" {
            foreign.into_iter().for_each(|at| objects[at]["apiVersion"] = to.into());
            return Ok(objects);
        }
        let asked: Vec<&Value> = foreign.iter().map(|at| &objects[*at]).collect();
        let converted = self.ask(definition, &asked, to).await?;
        for (at, object) in foreign.into_iter().zip(converted) {
            objects[at] = object;
        }
        Ok(objects)
    }

    async fn ask(&self, definition: &Definition, objects: &[&Value], to: &str) -> Result<Vec<Value>, ApiError> {
        let conversion = at(definition.doc.value(), "spec.conversion");
        let first = objects[0];
        let what = format!("{}, Kind={}", text(first, "apiVersion"), text(first, "kind"));
        let failed = |why: &dyn std::fmt::Display| refuse(format!("conversion webhook for {what} failed: {why}"));
        let versions = texts(at(conversion, "webhook"), "conversionReviewVersions");
        let question = review::question(&versions, &self.system.ids.uid(), to, objects).map_err(refuse)?;
        let hook = definition.hook.as_ref().ok_or_else(|| failed(&"its configuration does not compile"))?;
        let (client, body) = (self.webhooks.load_full(), Bytes::from(question.to_string()));
        let bytes = tokio::select! {
            biased;
            answer = client.post(hook, body) => answer.map_err(|why| failed(&why))?,
            () = self.system.clock.sleep(TIMEOUT) => return Err(failed(&"context deadline exceeded")),
        };
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
        let converted = review::answer(&question, &answer).map_err(|why| failed(&why))?;
        if converted.len() != objects.len() {
            let (got, expected) = (converted.len(), objects.len());
            return Err(refuse(format!("conversion webhook for {what} returned {got} objects, expected {expected}")));
        }
        let accept = |(at, (original, converted)): (usize, (&&Value, Value))| {
            review::accept(original, converted, to).map_err(|(part, why)| {
                let place = if objects.len() > 1 { format!(" at index {at}") } else { String::new() };
                refuse(format!("conversion webhook for {what} returned invalid {part}{place}: {why}"))
            })
        };
        objects.iter().zip(converted).enumerate().map(accept).collect()
    }
}

fn refuse(message: String) -> ApiError {
    ApiError::new(Reason::Unknown, message).with_code(500)
}
