//! Whether a body is what the discovery document says: every name known, every
//! value of its type, and in requests nothing that only Google may say.

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use serde_json::Value;

use super::{
    discovery::{DISCOVERY, Schema},
    refusal::Refusal,
};

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Google,
}

/// Checks a whole message of this name.
pub(crate) fn check(message: &str, value: &Value, side: Side) -> Result<(), Refusal> {
    check_value(&DISCOVERY.schemas[message], value, "resource", side)
}

fn check_value(schema: &Schema, value: &Value, at: &str, side: Side) -> Result<(), Refusal> {
    if let Some(reference) = &schema.reference {
        return check_value(&DISCOVERY.schemas[reference], value, at, side);
    }
    let wrong = |want: &str| Err(Refusal::payload(at, &format!("Not {want}: {value}")));
    match (schema.kind.as_deref(), value) {
        // To Google a null is a field that is not there.
        (_, Value::Null)
        | (Some("boolean"), Value::Bool(_))
        | (Some("any"), _)
        | (Some("number"), Value::Number(_)) => Ok(()),
        (Some("object"), Value::Object(fields)) => {
            for (name, value) in fields {
                let at = format!("{at}.{name}");
                let known = schema.properties.get(name);
                let known = known.or(schema.additional_properties.as_deref());
                let Some(known) = known else {
                    let why = format!("Unknown name \"{name}\": Cannot find field");
                    return Err(Refusal::payload(&at, &why));
                };
                if known.read_only && side == Side::Client {
                    return Err(Refusal::field(&at, value, "Field is output only."));
                }
                check_value(known, value, &at, side)?;
            }
            Ok(())
        }
        (Some("array"), Value::Array(values)) => {
            let items = schema.items.as_ref().expect("arrays have items");
            for (place, value) in values.iter().enumerate() {
                check_value(items, value, &format!("{at}[{place}]"), side)?;
            }
            Ok(())
        }
        (Some("integer"), _) => whole(schema, value, at),
        (Some("string"), Value::Number(_)) if schema.format.is_some() => whole(schema, value, at),
        (Some("string"), Value::String(text)) => match schema.format.as_deref() {
            Some("int64" | "uint64") => whole(schema, value, at),
            Some("byte") if STANDARD.decode(text).or(URL_SAFE.decode(text)).is_err() => {
                wrong("base64")
            }
            _ if schema.admits_text(text) => Ok(()),
            _ if schema.words.is_empty() => {
                let pattern = schema.pattern.as_deref().unwrap_or_default();
                let why = format!("Must be a match of regex '{pattern}'");
                Err(Refusal::field(at, text, &why))
            }
            _ => wrong("one of its words"),
        },
        (Some(kind), _) => wrong(kind),
        (None, _) => wrong("typed"),
    }
}

/// Whole numbers may come as numbers or as decimal text, within their format.
fn whole(schema: &Schema, value: &Value, at: &str) -> Result<(), Refusal> {
    let number = match value {
        Value::Number(number) => number.to_string().parse::<i128>().ok(),
        Value::String(text) => text.parse::<i128>().ok(),
        _ => None,
    };
    let fits = number.is_some_and(|n| match schema.format.as_deref() {
        Some("int32") => i32::try_from(n).is_ok(),
        Some("uint32") => u32::try_from(n).is_ok(),
        Some("uint64") => u64::try_from(n).is_ok(),
        Some("int64") | None => i64::try_from(n).is_ok(),
        Some(_) => false,
    });
    if fits {
        return Ok(());
    }
    let format = schema.format.as_deref().unwrap_or("int64");
    Err(Refusal::payload(at, &format!("Not {format}: {value}")))
}
