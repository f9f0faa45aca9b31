//! Tells the cases of `sdk/conformance`, as its README says.

use std::{fs, path::Path};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::acts::Acts;

/// One case.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(default)]
    not: Vec<String>,
    steps: Vec<Step>,
}

/// One act, and what comes of it.
#[derive(Deserialize)]
struct Step {
    #[serde(rename = "do")]
    act: String,
    #[serde(default)]
    with: Map<String, Value>,
    #[serde(rename = "as")]
    token: Option<Value>,
    keep: Option<String>,
    gives: Option<Value>,
    refused: Option<Map<String, Value>>,
}

/// How an act was refused, as far as this client knows.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Value);

/// The cases that a client tells.
pub(crate) fn cases(client: &str) -> Vec<Case> {
    #[derive(Deserialize)]
    struct Kit {
        cases: Vec<Case>,
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("sdk/conformance/cases.json")).unwrap();
    let kit: Kit = serde_json::from_str(&text).unwrap();
    let told = |case: &Case| !case.not.iter().any(|name| name == client);
    kit.cases.into_iter().filter(told).collect()
}

/// Tells one case.
pub(crate) async fn tell(case: &Case, acts: &mut Acts<'_>) {
    let mut known = json!({ "run": uuid::Uuid::new_v4().simple().to_string()[..8] });
    for (at, step) in case.steps.iter().enumerate() {
        let place = format!("{}: step {}, {}", case.name, at + 1, step.act);
        let with = filled(&Value::Object(step.with.clone()), &known);
        let token = step.token.as_ref().map(|token| filled(token, &known));
        let token = token.as_ref().map(|token| token.as_str().unwrap());
        let outcome = acts.act(&step.act, &with, token, step.keep.as_deref());
        match (outcome.await, &step.refused) {
            (Err(Refused(told)), Some(wanted)) => {
                let heard = wanted.iter().filter(|(name, _)| told.get(name).is_some());
                let wanted: Map<_, _> = heard.map(|(n, v)| (n.clone(), v.clone())).collect();
                check(&Value::Object(wanted), &told, &place);
            }
            (Ok(given), None) => {
                if let Some(wanted) = &step.gives {
                    check(&filled(wanted, &known), &given, &place);
                }
                if let Some(name) = &step.keep {
                    known[name] = given;
                }
            }
            (outcome, _) => panic!("{place}: {outcome:?}"),
        }
    }
}

/// The same with every reference replaced by what earlier steps kept.
fn filled(value: &Value, known: &Value) -> Value {
    let at = |path: &str| {
        known
            .pointer(&format!("/{}", path.replace('.', "/")))
            .unwrap()
    };
    match value {
        Value::Object(members) => {
            let each = members.iter();
            each.map(|(name, part)| (name.clone(), filled(part, known)))
                .collect()
        }
        Value::Array(items) => items.iter().map(|part| filled(part, known)).collect(),
        Value::String(text) => {
            let reference = Regex::new(r"\$\{([a-z_.]+)\}").unwrap();
            match reference.captures(text) {
                Some(whole) if whole[0].len() == text.len() => at(&whole[1]).clone(),
                _ => reference
                    .replace_all(text, |found: &regex::Captures<'_>| {
                        at(&found[1]).as_str().unwrap().to_owned()
                    })
                    .into(),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Whether `given` is as it must be.
pub(crate) fn matches(wanted: &Value, given: &Value) -> bool {
    differs(wanted, given).is_none()
}

/// Stops the test where `given` is not as it must be.
fn check(wanted: &Value, given: &Value, place: &str) {
    if let Some(why) = differs(wanted, given) {
        panic!("{place}: {why}");
    }
}

/// Where `given` is not as it must be, if so.
fn differs(wanted: &Value, given: &Value) -> Option<String> {
    let no = || Some(format!("{given} is not {wanted}"));
    if let Some(pattern) = wanted.get("$like").and_then(Value::as_str) {
        let is = Regex::new(pattern)
            .unwrap()
            .is_match(given.as_str().unwrap_or_default());
        return if is { None } else { no() };
    }
    if let Some(item) = wanted.get("$has") {
        let has = given
            .as_array()?
            .iter()
            .any(|one| differs(item, one).is_none());
        return if has { None } else { no() };
    }
    match (wanted, given) {
        (Value::Object(wanted), Value::Object(given)) => wanted.iter().find_map(|(name, part)| {
            let why = differs(part, given.get(name).unwrap_or(&Value::Null))?;
            Some(format!("{name}: {why}"))
        }),
        (Value::Array(wanted), Value::Array(given)) if wanted.len() == given.len() => wanted
            .iter()
            .zip(given)
            .find_map(|(part, one)| differs(part, one)),
        _ if wanted == given => None,
        _ => no(),
    }
}
