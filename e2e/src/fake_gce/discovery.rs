//! Google's own description of Compute v1, and what of a request it decides:
//! which method a path means, and which parameters that method knows.
//!
//! `compute.v1.json` is made by `trim.py`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, Mutex},
};

use http::Method;
use regex::Regex;
use serde::Deserialize;

use super::{kind::Kind, refusal::Refusal};

/// The document, read once.
pub(crate) static DISCOVERY: LazyLock<Discovery> =
    LazyLock::new(|| serde_json::from_str(include_str!("compute.v1.json")).unwrap());

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Discovery {
    base_path: String,
    parameters: BTreeMap<String, Schema>,
    pub(crate) methods: BTreeMap<String, MethodOf>,
    pub(crate) schemas: BTreeMap<String, Schema>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MethodOf {
    http_method: String,
    path: String,
    parameters: BTreeMap<String, Schema>,
    pub(crate) request: Option<String>,
    pub(crate) response: Option<String>,
}

/// A field, a parameter, or a whole message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schema {
    #[serde(rename = "$ref")]
    pub(crate) reference: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) minimum: Option<String>,
    pub(crate) maximum: Option<String>,
    location: Option<String>,
    #[serde(rename = "enum", default)]
    pub(crate) words: Vec<String>,
    #[serde(default)]
    pub(crate) read_only: bool,
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) additional_properties: Option<Box<Schema>>,
}

/// A request whose path and query are known to be well formed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// Parameters of the path and of the query, by name.
    pub(crate) with: BTreeMap<String, String>,
}

impl Call {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.with.get(name).map(String::as_str)
    }

    /// A parameter of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.get(name).expect("a parameter of this path")
    }
}

/// Which method this is and its parameters of the path, still unchecked.
pub(crate) fn route(method: &Method, path: &str) -> Option<Call> {
    let path = path.strip_prefix(&DISCOVERY.base_path)?;
    let given: Vec<_> = path.split('/').collect();
    let fits = |of: &MethodOf| {
        let wanted: Vec<_> = of.path.split('/').collect();
        if method.as_str() != of.http_method || wanted.len() != given.len() {
            return None;
        }
        let mut with = BTreeMap::new();
        for (want, have) in wanted.iter().zip(&given) {
            match want.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
                Some(name) => with.insert(name.to_owned(), (*have).to_owned()),
                None if want == have => None,
                None => return None,
            };
        }
        Some(with)
    };
    // Of two that fit, the one with fewer holes: `images/family/x` is no image.
    let found = DISCOVERY.methods.iter();
    let found = found.filter_map(|(id, of)| Some((id, fits(of)?)));
    let (id, with) = found.min_by_key(|(_, with)| with.len())?;
    let kind = Kind::of(id).expect("a method with a kind");
    Some(Call { kind, with })
}

/// Takes up the query, and refuses what the method does not know.
pub(crate) fn admit(call: &mut Call, query: &str) -> Result<(), Refusal> {
    let of = &DISCOVERY.methods[call.kind.id()];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name.starts_with('$') || DISCOVERY.parameters.contains_key(name.as_ref()) {
            continue;
        }
        let known = of.parameters.get(name.as_ref());
        if known.is_none_or(|known| known.location.as_deref() != Some("query")) {
            let why = format!("Unknown name \"{name}\": Cannot bind query parameter");
            return Err(Refusal::payload(&name, &why));
        }
        if call.with.contains_key(name.as_ref()) {
            return Err(Refusal::payload(&name, "given twice"));
        }
        call.with.insert(name.into_owned(), value.into_owned());
    }
    for (name, value) in &call.with {
        of.parameters[name].admit_word(name, value)?;
    }
    Ok(())
}

impl Schema {
    /// Whether a parameter's text is one that it takes.
    fn admit_word(&self, name: &str, value: &str) -> Result<(), Refusal> {
        let number = || value.parse::<i128>().ok();
        let bound = |bound: &Option<String>| bound.as_ref().and_then(|b| b.parse::<i128>().ok());
        let fits = match self.kind.as_deref() {
            Some("boolean") => matches!(value, "true" | "false"),
            Some("integer") => number().is_some_and(|n| {
                bound(&self.minimum).is_none_or(|least| n >= least)
                    && bound(&self.maximum).is_none_or(|most| n <= most)
            }),
            _ => true,
        };
        if !fits || !self.admits_text(value) {
            return Err(Refusal::field(name, value, "Not a value that it takes."));
        }
        Ok(())
    }

    /// Whether `text` is one of its words and has its pattern.
    pub(crate) fn admits_text(&self, text: &str) -> bool {
        static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
        if !self.words.is_empty() && !self.words.iter().any(|word| word == text) {
            return false;
        }
        let Some(pattern) = &self.pattern else {
            return true;
        };
        let mut known = KNOWN.lock().unwrap();
        let regex = known
            .entry(pattern.clone())
            .or_insert_with(|| Regex::new(&format!("^(?:{pattern})$")).unwrap());
        regex.is_match(text)
    }
}
