//! ConversionReview: what a conversion webhook is asked, and what of its answer is taken.
//!
//! A webhook converts `spec`, `status` and whatever else is not metadata; of the metadata it may change labels and annotations.
//! The texts are those of `apiextensions-apiserver/pkg/apiserver/conversion`.

use crate::kinds::tree::{at, get, list, text};
use serde_json::{Value, json};

const GROUP: &str = "apiextensions.k8s.io";

/// The question, in the first version of the review that both sides know.
///
/// # Errors
/// When there is none.
pub fn question(versions: &[&str], uid: &str, desired: &str, objects: &[&Value]) -> Result<Value, String> {
    let known = versions.iter().find(|version| ["v1", "v1beta1"].contains(version));
    let version = known.ok_or_else(|| "no supported conversion review versions".to_owned())?;
    Ok(json!({"kind": "ConversionReview", "apiVersion": format!("{GROUP}/{version}"),
        "request": {"uid": uid, "desiredAPIVersion": desired, "objects": objects}}))
}

/// The converted objects of an answer.
///
/// # Errors
/// Why the webhook did not convert, or what is wrong with its answer.
pub fn answer(question: &Value, answer: &Value) -> Result<Vec<Value>, String> {
    let response = get(answer, "response");
    if text(question, "apiVersion").ends_with("/v1") {
        let (version, kind) = (text(answer, "apiVersion"), text(answer, "kind"));
        if version != text(question, "apiVersion") || kind != "ConversionReview" {
            return Err(format!(
                "expected webhook response of {GROUP}/v1, Kind=ConversionReview, got {version}, Kind={kind}"
            ));
        }
        if response.is_null() {
            return Err("no response provided".to_owned());
        }
        let (asked, told) = (text(at(question, "request"), "uid"), text(response, "uid"));
        if asked != told {
            return Err(format!("expected response.uid={asked:?}, got {told:?}"));
        }
    } else if response.is_null() {
        return Err("no response provided".to_owned());
    }
    let result = get(response, "result");
    match (text(result, "status"), text(result, "message")) {
        ("Success", _) => Ok(list(response, "convertedObjects").to_vec()),
        (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
        (_, message) => Err(message.to_owned()),
    }
}

/// The converted object with the metadata of the original. The failure is told in two parts: what is wrong with (`object`,
/// `metadata`), and why.
///
/// # Errors
/// When the webhook answered with another object.
pub fn accept(original: &Value, mut converted: Value, desired: &str) -> Result<Value, (&'static str, String)> {
    let object = |why: String| ("object", why);
    if text(&converted, "apiVersion") != desired {
        let got = text(&converted, "apiVersion");
        return Err(object(format!("invalid groupVersion (expected {desired}, received {got})")));
    }
    if text(&converted, "kind") != text(original, "kind") {
        let (expected, got) = (text(original, "kind"), text(&converted, "kind"));
        return Err(object(format!("invalid kind (expected {expected}, received {got})")));
    }
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (was, is) = (text(get(original, "metadata"), field), text(get(&converted, "metadata"), field));
        if was != is {
            return Err(object(format!("must have the same {name}: {was} != {is}")));
        }
    }
    let metadata = metadata(get(original, "metadata"), get(&converted, "metadata")).map_err(|why| ("metadata", why))?;
    converted["metadata"] = metadata;
    Ok(converted)
}

fn metadata(original: &Value, converted: &Value) -> Result<Value, String> {
    if !converted.is_object() {
        return Err("missing metadata in converted object".to_owned());
    }
    let mut out = original.clone();
    for field in ["labels", "annotations"] {
        match converted.get(field) {
            None | Some(Value::Null) => drop(out.as_object_mut().and_then(|map| map.remove(field))),
            Some(Value::Object(map)) => {
                if let Some((key, _)) = map.iter().find(|(_, value)| !value.is_string()) {
                    return Err(format!("metadata.{field}[{key}]: Invalid value: must be a string"));
                }
                out[field] = Value::Object(map.clone());
            }
            Some(_) => return Err(format!("invalid metadata.{field} in converted object: must be a map of strings")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_be_to_the_question() {
        let object = json!({"apiVersion": "g.io/v1", "kind": "W", "metadata": {"name": "a"}});
        let asked = question(&["v9", "v1"], "u1", "g.io/v2", &[&object]).unwrap();
        let told = |uid: &str, result: Value| {
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "response": {"uid": uid, "result": result, "convertedObjects": [1]}})
        };
        assert_eq!(answer(&asked, &told("u1", json!({"status": "Success"}))).unwrap(), [json!(1)]);
        let other = answer(&asked, &told("u2", json!({"status": "Success"}))).unwrap_err();
        assert_eq!(other, "expected response.uid=\"u1\", got \"u2\"");
        assert_eq!(answer(&asked, &told("u1", json!({"status": "Failure", "message": "no"}))).unwrap_err(), "no");
        let silent = answer(&asked, &told("u1", json!({}))).unwrap_err();
        assert_eq!(silent, "response.result.status was '', not 'Success'");
        assert!(question(&["v9"], "u", "g.io/v2", &[]).is_err());
    }

    #[test]
    fn metadata_stays_but_for_labels_and_annotations() {
        let original =
            json!({"apiVersion": "g.io/v1", "kind": "W", "metadata": {"name": "a", "uid": "u", "labels": {"x": "y"}}});
        let good = json!({"apiVersion": "g.io/v2", "kind": "W", "s": 1,
            "metadata": {"name": "a", "uid": "u", "finalizers": ["f"], "labels": {"x": "z"}}});
        let taken = accept(&original, good.clone(), "g.io/v2").unwrap();
        assert_eq!(taken["metadata"], json!({"name": "a", "uid": "u", "labels": {"x": "z"}}));
        let mut other = good.clone();
        other["metadata"]["uid"] = "v".into();
        assert_eq!(accept(&original, other, "g.io/v2").unwrap_err().1, "must have the same UID: u != v");
        assert!(accept(&original, good, "g.io/v3").unwrap_err().1.starts_with("invalid groupVersion"));
    }
}
